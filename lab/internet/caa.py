"""Whether a domain lets an authority issue for a name: CAA records (RFC 8659)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import dns.exception
import dns.name
import dns.resolver
from dns.rdtypes.ANY.CAA import CAA

ISSUER = "letsencrypt.org"
"""What Let's Encrypt takes to be itself ("Certificate Authority Authorization", Let's Encrypt)."""
METHOD = "dns-01"
_CRITICAL = 0x80
_KNOWN = {"issue", "issuewild", "iodef"}
LIMIT = 10.0
"""Seconds for one look-up."""

Lookup = Callable[[str], Iterable[CAA]]
"""The CAA records at exactly one name, if any."""


def refusal(name: str, lookup: Lookup) -> str | None:
    """Why no certificate may be issued for `name` (`*.` in front means a wildcard), or None.

    The records are those of the closest name upwards that has any (RFC 8659 section 3).

    Raises:
        dns.exception.DNSException: as `lookup`.
    """
    place = dns.name.from_text(name.removeprefix("*."))
    while place != dns.name.root:
        if found := tuple(lookup(place.to_text())):
            return _judge(found, place.to_text(omit_final_dot=True), name.startswith("*."))
        place = place.parent()
    return None


def resolver_at(address: str) -> Lookup:
    """Asks a validating resolver; the look-up raises NoNameservers of a bogus answer."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.lifetime = [address], LIMIT

    def lookup(name: str) -> Iterable[CAA]:
        try:
            return tuple(resolver.resolve(name, "CAA", raise_on_no_answer=False).rrset or ())
        except dns.resolver.NXDOMAIN:
            return ()

    return lookup


def _judge(records: tuple[CAA, ...], place: str, wildcard: bool) -> str | None:
    tagged = [(record.tag.decode().lower(), record) for record in records]
    for tag, record in tagged:
        if tag not in _KNOWN and record.flags & _CRITICAL:
            return f"CAA of {place}: {tag} is critical and not known here"
    tags = {tag for tag, _ in tagged}
    wanted = "issuewild" if wildcard and "issuewild" in tags else "issue"
    values = [record.value.decode() for tag, record in tagged if tag == wanted]
    if not values or any(_names_us(value) for value in values):
        return None
    return f"CAA of {place} allows {', '.join(map(repr, values))}, not {ISSUER} by {METHOD}"


def _names_us(value: str) -> bool:
    """An issuer with parameters (RFC 8659 section 4.2); `validationmethods` is RFC 8657's."""
    issuer, *parameters = (part.strip() for part in value.split(";"))
    methods = [
        given.split(",")
        for name, _, given in (parameter.partition("=") for parameter in parameters)
        if name.strip() == "validationmethods"
    ]
    return issuer.lower() == ISSUER and all(METHOD in allowed for allowed in methods)
