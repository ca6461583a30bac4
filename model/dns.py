"""The public DNS records that follow from the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TTL = 300
"""Seconds; short enough that a moved Elastic IP is found within minutes."""

PREFERENCE = 10
"""The MX preference of every relay: equal, so that senders spread (RFC 5321 section 5.1)."""

OUTBOUND_LABEL = "out"
"""The label, in the primary domain, of the name under which the hub sends in `direct` mode."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record set of the zone `domain`; `name` has no final dot."""

    domain: str
    name: str
    type: str
    values: tuple[str, ...]


def outbound_name(primary: str) -> str:
    """The name of the NAT gateway's address, which the hub gives as HELO in `direct` mode."""
    return f"{OUTBOUND_LABEL}.{primary}"


def records(
    domains: tuple[str, ...], relays: Mapping[str, str], nats: Sequence[str]
) -> tuple[Record, ...]:
    """All records of the mail `domains`, the primary first.

    `relays` are the relays' addresses by name. `nats` are the addresses from which the hub sends
    in `direct` mode; there are none in `relay` mode. SPF (RFC 7208) names exactly the addresses
    that mail leaves from: for each mail domain, and for each HELO name, which is what a receiver
    checks for the null sender (section 2.4).
    """
    primary = domains[0]
    result = []
    for host, address in relays.items():
        result += [
            _record(primary, host, "A", [address]),
            _record(primary, host, "TXT", [spf([address])]),
        ]
    if nats:
        name = outbound_name(primary)
        result += [
            _record(primary, name, "A", nats),
            _record(primary, name, "TXT", [spf(nats)]),
        ]
    for domain in domains:
        result += [
            _record(domain, domain, "MX", [f"{PREFERENCE} {host}." for host in relays]),
            _record(domain, domain, "TXT", [spf([*relays.values(), *nats])]),
        ]
    return tuple(result)


def spf(addresses: Sequence[str]) -> str:
    """An SPF policy that passes `addresses` (IPv4) and fails everyone else, as zone file text."""
    return " ".join(["v=spf1", *(f"ip4:{address}" for address in addresses), "-all"])


def _record(domain: str, name: str, kind: str, values: Sequence[str]) -> Record:
    return Record(domain=domain, name=name, type=kind, values=tuple(values))
