"""The public DNS records that follow from the settings."""

from __future__ import annotations

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
    domains: tuple[str, ...], relay: str, relay_ip: str, nat_ip: str | None
) -> tuple[Record, ...]:
    """All records of the mail `domains`, the primary first.

    `nat_ip` is the address from which the hub sends in `direct` mode, None in `relay` mode. SPF
    (RFC 7208) names exactly the addresses that mail leaves from: for each mail domain, and for
    each HELO name, which is what a receiver checks for the null sender (section 2.4).
    """
    senders = [relay_ip] + ([nat_ip] if nat_ip is not None else [])
    primary = domains[0]
    result = [
        _record(primary, relay, "A", relay_ip),
        _record(primary, relay, "TXT", spf([relay_ip])),
    ]
    if nat_ip is not None:
        name = outbound_name(primary)
        result += [
            _record(primary, name, "A", nat_ip),
            _record(primary, name, "TXT", spf([nat_ip])),
        ]
    for domain in domains:
        result += [
            _record(domain, domain, "MX", f"{PREFERENCE} {relay}."),
            _record(domain, domain, "TXT", spf(senders)),
        ]
    return tuple(result)


def spf(addresses: list[str]) -> str:
    """An SPF policy that passes `addresses` (IPv4) and fails everyone else, as zone file text."""
    return " ".join(["v=spf1", *(f"ip4:{address}" for address in addresses), "-all"])


def _record(domain: str, name: str, kind: str, value: str) -> Record:
    return Record(domain=domain, name=name, type=kind, values=(value,))
