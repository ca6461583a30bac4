"""Route 53's record sets as DNS master files (RFC 1035 section 5)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lab.world.model import Record, Zone

ROUTE53_SOA_TIMERS = "1 7200 900 1209600 86400"
"""Serial, refresh, retry, expire and minimum of a new hosted zone (Route 53 Developer Guide,
"SOA and NS records that Amazon Route 53 creates for a public hosted zone")."""
ROUTE53_SOA_TTL = 900
ROUTE53_HOSTMASTER = "awsdns-hostmaster.amazon.com."

SOA_FIELDS = 7
CHARACTER_STRING_MAX = 255
"""Octets in one character string (RFC 1035 section 3.3)."""
TTL_MAX = 2**31 - 1
"""RFC 2181 section 8."""

_ESCAPE = re.compile(r"\\(?:([0-7]{3})|(.))")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_STRINGS = re.compile(rf"{_QUOTED.pattern}(?: +{_QUOTED.pattern})*")


class ZoneError(ValueError):
    """A hosted zone holds something that Route 53 would not serve."""


def absolute(name: str) -> str:
    """`name` in lower case with its final dot: how zones and records are compared."""
    return name.lower().rstrip(".") + "."


def within(name: str, zone: str) -> bool:
    """Whether `name` is `zone` or lies beneath it; both absolute."""
    return zone == "." or name == zone or name.endswith("." + zone)


def zone_text(zone: Zone) -> str:
    """The master file of one hosted zone, private or public.

    Every name in it is read relative to the root, since Route 53 takes a name without a final
    dot as complete ("Supported DNS record types").

    Raises:
        ZoneError: a record lies outside the zone, is an alias, or has a malformed value.
    """
    lines = [_soa(zone)]
    for record in zone.records:
        if record.type != "SOA":
            lines += record_lines(record, zone.name)
    return master_file(lines)


def master_file(lines: Iterable[str]) -> str:
    """Joins record lines; `$ORIGIN .` makes each name in them absolute."""
    return "\n".join(["$ORIGIN .", *lines, ""])


def record_lines(record: Record, zone: str) -> list[str]:
    """The lines of one record set of `zone`.

    Raises:
        ZoneError: as for `zone_text`.
    """
    where = f"record {record.type} {record.name} of zone {zone}"
    owner = _master_escapes(absolute(record.name), where)
    if not within(absolute(record.name), absolute(zone)):
        raise ZoneError(f"{where}: the name lies outside the zone")
    if not record.values:
        raise ZoneError(
            f"{where}: it has no values; alias records are not served here: use a plain record"
        )
    if not 0 <= record.ttl <= TTL_MAX:
        raise ZoneError(f"{where}: the TTL {record.ttl} is not between 0 and {TTL_MAX}")
    return [
        f"{owner} {record.ttl} IN {record.type} {_value(record.type, value, where)}"
        for value in record.values
    ]


def txt_strings(value: str, where: str = "TXT value") -> tuple[bytes, ...]:
    """The character strings of a TXT value as Route 53 holds it: `"one" "two"`.

    Raises:
        ZoneError: not all in double quotes, or a string of more than 255 octets.
    """
    if not _STRINGS.fullmatch(value):
        raise ZoneError(f"{where}: {value!r} is not a list of strings in double quotes")
    strings = tuple(_unescape(match, where) for match in _QUOTED.findall(value))
    for string in strings:
        if len(string) > CHARACTER_STRING_MAX:
            raise ZoneError(
                f"{where}: a string of {len(string)} octets; at most {CHARACTER_STRING_MAX} fit:"
                ' split it into "…" "…"'
            )
    return strings


def _soa(zone: Zone) -> str:
    name = absolute(zone.name)
    for record in zone.records:
        if record.type == "SOA" and len(record.values[0].split()) == SOA_FIELDS:
            return record_lines(record, zone.name)[0]
    # Without a readable SOA (not every emulator has one) the zone gets what Route 53 gives a new
    # one, since no name server loads a zone without it.
    servers = name_servers(zone)
    return f"{name} {ROUTE53_SOA_TTL} IN SOA {servers[0]} {ROUTE53_HOSTMASTER} {ROUTE53_SOA_TIMERS}"


def name_servers(zone: Zone) -> tuple[str, ...]:
    """The name servers that the zone itself names at its apex, absolute.

    Raises:
        ZoneError: the zone has none.
    """
    for record in zone.records:
        if record.type == "NS" and absolute(record.name) == absolute(zone.name):
            return tuple(absolute(value) for value in record.values)
    raise ZoneError(f"zone {zone.name} ({zone.id}): no NS record at its apex")


def _value(kind: str, value: str, where: str) -> str:
    bad = next((c for c in value if not " " <= c <= "~"), None)
    if bad is not None:
        raise ZoneError(
            f"{where}: character {bad!r} in {value!r}; write it as an octal escape like \\303"
        )
    if kind in ("TXT", "SPF"):
        txt_strings(value, where)
    unquoted = _QUOTED.sub("", value)
    special = re.search(r'[;()"]', unquoted)
    if special:
        raise ZoneError(f"{where}: {special[0]!r} outside double quotes in {value!r}")
    return _master_escapes(value, where)


def _master_escapes(text: str, where: str) -> str:
    """Route 53 writes octal escapes ("DNS domain name format"), master files decimal ones."""

    def convert(match: re.Match[str]) -> str:
        octal, other = match.groups()
        return f"\\{_octet(octal, text, where):03d}" if octal else f"\\{_plain(other, text, where)}"

    return _ESCAPE.sub(convert, text)


def _unescape(text: str, where: str) -> bytes:
    def convert(match: re.Match[str]) -> str:
        octal, other = match.groups()
        return chr(_octet(octal, text, where)) if octal else _plain(other, text, where)

    return _ESCAPE.sub(convert, text).encode("latin-1")


def _octet(octal: str, text: str, where: str) -> int:
    if int(octal, 8) > 0o377:
        raise ZoneError(f"{where}: the escape \\{octal} in {text!r} is over \\377, the last octet")
    return int(octal, 8)


def _plain(character: str, text: str, where: str) -> str:
    if character.isdigit():
        raise ZoneError(f"{where}: \\{character} in {text!r} is no escape: three octal digits are")
    return character
