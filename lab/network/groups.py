"""Security group rules as nftables matches."""

from __future__ import annotations

from collections.abc import Sequence

from lab.network.errors import NetworkError
from lab.network.matches import ipv4_only, match
from lab.network.ports import Port
from lab.network.routes import peerings_of
from lab.world.model import Direction, Rule, SecurityGroup, World


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
    peers = ipv4_only(rule.protocol, _peers(world, group, rule, ports))
    if not peers:
        return None
    matched = match(rule.direction, peers, rule.protocol, rule.from_port, rule.to_port)
    return f'{matched} accept comment "{rule.id}"'.lstrip()


def _peers(world: World, group: SecurityGroup, rule: Rule, ports: Sequence[Port]) -> Sequence[str]:
    if rule.group is not None:
        return _members(world, group.vpc, rule.group, ports)
    if rule.prefix_list is not None:
        return _entries(world, rule.prefix_list, rule.id)
    return [rule.cidr] if rule.cidr else []


def _entries(world: World, prefix_list_id: str, rule_id: str) -> tuple[str, ...]:
    for prefix_list in world.prefix_lists:
        if prefix_list.id == prefix_list_id:
            return prefix_list.cidrs
    raise NetworkError(f"rule {rule_id} names prefix list {prefix_list_id}, which does not exist")


def _members(world: World, vpc: str, group_id: str, ports: Sequence[Port]) -> list[str]:
    """The private addresses of a group's members, as far as VPC `vpc` may refer to them.

    A rule may name a group of its own VPC or of one peered with it; once the peering is gone the
    rule is stale and matches nothing (VPC Peering Guide, "Reference peer security groups").
    """
    visible = {vpc, *peerings_of(world, vpc).values()}
    return [port.private_ip for port in ports if port.vpc in visible and group_id in port.groups]
