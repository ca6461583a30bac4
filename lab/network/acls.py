"""Network ACLs as nftables chains.

An ACL stands at the border of its subnets and keeps no state: each packet that enters or leaves a
subnet is judged by itself, a reply or an ICMP error as well, and what goes from one interface of a
subnet to another is not seen (VPC User Guide, "Network ACL basics"). NAT gateways and Connect
endpoints are interfaces like any other. The VPC's own services answer from within the router and
are out of the ACLs' reach, as in AWS. Addresses are private ones: an Internet gateway translates
outside of the subnet. The kernel's connection tracking puts fragments together beforehand, so that
all of a fragmented packet passes or none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.network.errors import NetworkError
from lab.network.matches import chain_name, ipv4_only, match
from lab.network.ports import Port
from lab.world.model import AclRule, Direction, NetworkAcl, Vpc, World

_SIDES: dict[Direction, tuple[str, str]] = {
    "egress": ("iifname", "oifname"),
    "ingress": ("oifname", "iifname"),
}
"""The link within the subnet, and the one that tells whether the packet crosses its border."""
_PRIORITIES: dict[Direction, str] = {"egress": "filter - 20", "ingress": "filter + 20"}
"""On the far side of the security groups; every one of these chains must let a packet pass."""

Chain = tuple[str, list[str]]
"""A chain's name and its lines."""


def compile_acls(world: World, vpc: Vpc, ports: Sequence[Port]) -> Iterator[Chain]:
    """The chains of a VPC's ACLs, of its subnets that have one, and those that lead to them.

    `ports` are the VPC's own.

    Raises:
        NetworkError: a subnet has two ACLs.
    """
    acls = [acl for acl in world.network_acls if acl.vpc == vpc.id]
    borders = _borders(acls)
    links: dict[str, list[str]] = {}
    for port in ports:
        if port.subnet_id in borders:
            links.setdefault(port.subnet_id, []).append(f'"{port.link}"')
    for direction in _SIDES:
        for acl in acls:
            yield chain_name(acl.id, direction), [*_rules(acl, direction), "drop"]
        for subnet, own in links.items():
            yield _border(direction, subnet, borders[subnet], own)
        yield _entry(direction, links)


def _borders(acls: Sequence[NetworkAcl]) -> dict[str, str]:
    """The ACL of each subnet that has one."""
    borders: dict[str, str] = {}
    for acl in acls:
        for subnet in acl.subnets:
            other = borders.setdefault(subnet, acl.id)
            if other != acl.id:
                raise NetworkError(f"subnet {subnet} has two network ACLs, {other} and {acl.id}")
    return borders


def _entry(direction: Direction, links: dict[str, list[str]]) -> Chain:
    """What comes from or goes to a port of a subnet with an ACL is for that subnet's chain."""
    within, _ = _SIDES[direction]
    verdicts = ", ".join(
        f"{link} : jump {chain_name(subnet, direction)}"
        for subnet, own in links.items()
        for link in own
    )
    return f"acls-{direction}", [
        f"type filter hook forward priority {_PRIORITIES[direction]}; policy accept;",
        f"{within} vmap {{ {verdicts} }}" if verdicts else "",
    ]


def _border(direction: Direction, subnet: str, acl: str, own: Sequence[str]) -> Chain:
    """What stays within the subnet passes; the rest is for the ACL."""
    _, beyond = _SIDES[direction]
    return chain_name(subnet, direction), [
        f"{beyond} {{ {', '.join(own)} }} accept",
        f"jump {chain_name(acl, direction)}",
    ]


def _rules(acl: NetworkAcl, direction: Direction) -> Iterator[str]:
    """The rules in the order of their numbers, of which the first that matches decides."""
    own = (rule for rule in acl.rules if rule.direction == direction)
    for rule in sorted(own, key=lambda rule: rule.number):
        text = compile_acl_rule(rule)
        if text is not None:
            yield text


def compile_acl_rule(rule: AclRule) -> str | None:
    """One rule as text, or None where it can match no IPv4 packet."""
    peers = ipv4_only(rule.protocol, [rule.cidr])
    if not peers:
        return None
    matched = match(rule.direction, peers, rule.protocol, rule.from_port, rule.to_port)
    verdict = "accept" if rule.allow else "drop"
    return f'{matched} {verdict} comment "rule {rule.number}"'.lstrip()
