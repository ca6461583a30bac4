"""What the rules of security groups and of network ACLs have in common, as nftables matches."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, collapse_addresses

from lab.world.model import Direction

_EVERYWHERE = IPv4Network("0.0.0.0/0")
_PEER_FIELD: dict[Direction, str] = {"ingress": "saddr", "egress": "daddr"}
_IPV6_ONLY = ("icmpv6", "58")
_ANY = (None, -1)
"""How EC2 says "all ports" or "all ICMP types" (API reference, AuthorizeSecurityGroupIngress)."""


def chain_name(owner: str, direction: Direction) -> str:
    """The nftables chain of what `owner`, a group, port, ACL or subnet, says of a direction."""
    return f"{owner}-{direction}"


def ipv4_only(protocol: str, cidrs: Iterable[str]) -> list[IPv4Network]:
    """The peers that a rule can match in a packet of IPv4; none for a protocol of IPv6."""
    if protocol in _IPV6_ONLY:
        return []
    return [IPv4Network(cidr) for cidr in cidrs if ":" not in cidr]


def match(
    direction: Direction,
    peers: Iterable[IPv4Network],
    protocol: str,
    first: int | None,
    last: int | None,
) -> str:
    """The match of packets from (ingress) or to (egress) any of `peers`.

    `first` and `last` are ports of TCP and UDP, type and code of ICMP, without meaning for others.
    """
    networks = sorted(collapse_addresses(peers))
    named = ", ".join(map(str, networks))
    peer = "" if networks == [_EVERYWHERE] else f"ip {_PEER_FIELD[direction]} {{ {named} }}"
    return " ".join(part for part in (peer, _protocol(protocol, first, last)) if part)


def _protocol(protocol: str, first: int | None, last: int | None) -> str:
    if protocol == "-1":
        return ""
    if protocol == "icmp":
        return _icmp(first, last)
    if protocol in ("tcp", "udp") and first not in _ANY:
        return f"{protocol} dport {_span(first, last)}"
    return f"meta l4proto {protocol}"


def _span(first: int | None, last: int | None) -> str:
    # nftables refuses a range of one.
    return f"{first}" if first == last else f"{first}-{last}"


def _icmp(kind: int | None, code: int | None) -> str:
    if kind in _ANY:
        return "meta l4proto icmp"
    if code in _ANY:
        return f"icmp type {kind}"
    return f"icmp type {kind} icmp code {code}"
