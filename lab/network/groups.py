"""Security group rules as nftables matches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, collapse_addresses

from lab.network.errors import NetworkError
from lab.network.ports import Port
from lab.network.routes import peerings_of
from lab.world.model import Direction, Rule, SecurityGroup, World

_EVERYWHERE = IPv4Network("0.0.0.0/0")
_PEER_FIELD: dict[Direction, str] = {"ingress": "saddr", "egress": "daddr"}
_IPV6_ONLY = ("icmpv6", "58")
_ANY = (None, -1)
"""How EC2 says "all ports" or "all ICMP types" (API reference, AuthorizeSecurityGroupIngress)."""


def chain_name(group_id: str, direction: Direction) -> str:
    """The nftables chain that holds a group's rules of one direction."""
    return f"{group_id}-{direction}"


def compile_group(
    world: World, group: SecurityGroup, direction: Direction, ports: Sequence[Port]
) -> list[str]:
    """The nftables rules of `group` in `direction`; whatever none of them accepts goes on."""
    rules = (rule for rule in group.rules if rule.direction == direction)
    return [text for rule in rules if (text := compile_rule(world, group, rule, ports))]


def compile_rule(
    world: World, group: SecurityGroup, rule: Rule, ports: Sequence[Port]
) -> str | None:
    """One rule as text, or None where it can match no IPv4 packet (an empty group, IPv6)."""
    peers = sorted(collapse_addresses(_peers(world, group, rule, ports)))
    if not peers or rule.protocol in _IPV6_ONLY:
        return None
    peer = "" if peers == [_EVERYWHERE] else f"ip {_PEER_FIELD[rule.direction]} {_set(peers)}"
    parts = (peer, _protocol(rule), "accept", f'comment "{rule.id}"')
    return " ".join(part for part in parts if part)


def _set(networks: Iterable[IPv4Network]) -> str:
    return "{ " + ", ".join(map(str, networks)) + " }"


def _peers(
    world: World, group: SecurityGroup, rule: Rule, ports: Sequence[Port]
) -> list[IPv4Network]:
    if rule.group is not None:
        return [IPv4Network(ip) for ip in _members(world, group.vpc, rule.group, ports)]
    if rule.prefix_list is not None:
        return _ipv4(_entries(world, rule.prefix_list, rule.id))
    return _ipv4([rule.cidr] if rule.cidr else [])


def _entries(world: World, prefix_list_id: str, rule_id: str) -> tuple[str, ...]:
    for prefix_list in world.prefix_lists:
        if prefix_list.id == prefix_list_id:
            return prefix_list.cidrs
    raise NetworkError(f"rule {rule_id} names prefix list {prefix_list_id}, which does not exist")


def _ipv4(cidrs: Iterable[str]) -> list[IPv4Network]:
    return [IPv4Network(cidr) for cidr in cidrs if ":" not in cidr]


def _members(world: World, vpc: str, group_id: str, ports: Sequence[Port]) -> list[str]:
    """The private addresses of a group's members, as far as VPC `vpc` may refer to them.

    A rule may name a group of its own VPC or of one peered with it; once the peering is gone the
    rule is stale and matches nothing (VPC Peering Guide, "Reference peer security groups").
    """
    visible = {vpc, *peerings_of(world, vpc).values()}
    return [port.private_ip for port in ports if port.vpc in visible and group_id in port.groups]


def _protocol(rule: Rule) -> str:
    if rule.protocol == "-1":
        return ""
    if rule.protocol == "icmp":
        return _icmp(rule)
    if rule.protocol in ("tcp", "udp") and rule.from_port not in _ANY:
        return f"{rule.protocol} dport {_span(rule.from_port, rule.to_port)}"
    return f"meta l4proto {rule.protocol}"


def _span(first: int | None, last: int | None) -> str:
    # nftables refuses a range of one.
    return f"{first}" if first == last else f"{first}-{last}"


def _icmp(rule: Rule) -> str:
    """For ICMP the "ports" are the type and the code."""
    if rule.from_port in _ANY:
        return "meta l4proto icmp"
    if rule.to_port in _ANY:
        return f"icmp type {rule.from_port}"
    return f"icmp type {rule.from_port} icmp code {rule.to_port}"
