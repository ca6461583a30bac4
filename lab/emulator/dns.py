"""Route 53: record sets checked as the service checks them."""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from moto.route53.exceptions import Route53ClientError
from moto.route53.models import RecordSet, Route53Backend, route53_backends

Key = tuple[str, str, str | None]

LABEL = re.compile(r"^(?!-)[a-z0-9_-]{1,63}(?<!-)$", re.IGNORECASE)
TXT = re.compile(r'^"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*$')
CAA = re.compile(r'^(0|128) (issue|issuewild|iodef) "[^"]*"$')
TLSA = re.compile(r"^[0-3] [01] [0-2] ([0-9a-f]{2})+$", re.IGNORECASE)


def public_addresses(name: str, account: str) -> list[str]:
    """The A records of `name` as the Internet finds them.

    The registrar has delegated every zone that lies beneath no other one. From there on a resolver
    goes down as far as NS records lead: a zone that the one above does not name stays unknown.
    """
    zones = list(route53_backends[account]["aws"].zones.values())
    public = [z for z in zones if not z.private_zone and f".{name}.".endswith(f".{z.name}")]
    reached = None
    for zone in sorted(public, key=lambda zone: len(zone.name)):
        if reached is None or _values(reached, zone.name, "NS"):
            reached = zone
    return _values(reached, f"{name}.", "A") if reached else []


def _values(zone: Any, name: str, kind: str) -> list[str]:
    return [
        value
        for record in zone.rrsets
        if record.type == kind and record.name.lower() == name
        for value in record.records
    ]


def change_resource_record_sets(
    _moto: Any, self: Any, zoneid: str, change_list: list[dict[str, Any]]
) -> None:
    """All changes of a batch in their order, or none; names become lower case.

    In place of moto's own, which goes by a journal of what was once created: it takes a DELETE of
    what is no longer there, and leaves half a batch behind.
    """
    with _ONE_BATCH_AT_A_TIME:
        zone = self.get_hosted_zone(zoneid)
        after: dict[Key, Any] = {_key(vars(record)): record for record in zone.rrsets}
        for change in change_list:
            given = change["ResourceRecordSet"]
            values = [value["Value"] for value in given.get("ResourceRecords") or []]
            name = given["Name"].lower().rstrip(".") + "."
            record = _RECORD_SET({**given, "Name": name, "ResourceRecords": values})
            _check(zone, after, change["Action"], record)
            if change["Action"] == "DELETE":
                del after[_key(vars(record))]
            else:
                after[_key(vars(record))] = record
        zone.rrsets = list(after.values())


_ONE_BATCH_AT_A_TIME = threading.Lock()
_RECORD_SET: Any = RecordSet


def _key(record: dict[str, Any]) -> Key:
    """What no two record sets of a zone have in common."""
    return record["name"].lower(), record["type"], record["set_identifier"]


def _check(zone: Any, existing: dict[Key, RecordSet], action: str, record: RecordSet) -> None:
    """Refuse what ChangeResourceRecordSets refuses (Route 53 API reference)."""
    name, kind = record.name, str(record.type)
    what = f"resource record set [name='{name}', type='{kind}']"
    if not f".{name}".endswith(f".{zone.name}"):
        _refuse(f"RRSet with DNS name {name} is not permitted in zone {zone.name}")
    present = existing.get(_key(vars(record)))
    if action == "CREATE" and present is not None:
        _refuse(f"Tried to create {what} but it already exists")
    if action == "DELETE":
        if present is None:
            _refuse(f"Tried to delete {what} but it was not found")
        elif _content(present) != _content(record):
            _refuse(
                f"Tried to delete {what} but the values provided do not match the current values"
            )
        return
    if action not in ("CREATE", "UPSERT"):
        raise Route53ClientError("InvalidInput", f"{action!r} is not a valid action")
    others = {key[1] for key in existing if key[0] == name} - {kind}
    if others and "CNAME" in {kind, *others}:
        _refuse(
            f"RRSet of type {kind} with DNS name {name} is not permitted as it conflicts with "
            f"other records with the same DNS name in zone {zone.name}"
        )
    for value in record.records:
        _check_value(name, kind, value)


def _content(record: RecordSet) -> tuple[Any, ...]:
    """What a DELETE must state exactly; the order of values means nothing."""
    ttl = None if record.ttl is None else int(record.ttl)
    return ttl, sorted(record.records), record.alias_target


def _refuse(why: str) -> NoReturn:
    raise Route53ClientError("InvalidChangeBatch", f"[{why}]")


def _check_value(name: str, kind: str, value: str) -> None:
    check = CHECKS.get(kind)
    if check is not None and not check(value):
        _refuse(f"Invalid Resource Record: value {value!r} of {name} is not valid for type {kind}")


def is_name(text: str) -> bool:
    """A domain name of at most 255 octets (RFC 1035, 2.3.4); underscores as Route 53 allows."""
    labels = text.rstrip(".").split(".")
    return len(text) <= 255 and all(LABEL.match(label) for label in labels)


def _is_a(value: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(value))
    except ValueError:
        return False


def _is_aaaa(value: str) -> bool:
    try:
        return ipaddress.IPv6Address(value) is not None
    except ValueError:
        return False


def _is_mx(value: str) -> bool:
    """Preference and host (RFC 1035, 3.3.9), or the null MX of RFC 7505."""
    preference, _, host = value.partition(" ")
    if not preference.isdecimal() or int(preference) > 65535:
        return False
    return value == "0 ." or is_name(host)


def _is_txt(value: str) -> bool:
    """Quoted strings of at most 255 characters each ("TXT record type", Route 53 guide)."""
    if TXT.match(value) is None:
        return False
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', value)
    return all(len(re.sub(r"\\(\d{3}|.)", "x", part)) <= 255 for part in parts)


CHECKS: dict[str, Callable[[str], bool]] = {
    "A": _is_a,
    "AAAA": _is_aaaa,
    "CAA": lambda value: CAA.match(value) is not None,
    "CNAME": is_name,
    "MX": _is_mx,
    "NS": is_name,
    "TLSA": lambda value: TLSA.match(value) is not None,
    "TXT": _is_txt,
}

CORRECTIONS = ((Route53Backend, "change_resource_record_sets", change_resource_record_sets),)
