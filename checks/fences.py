"""The rules themselves, as AWS has them: probes find no rule for a port that they do not try, nor
one that a second fence hides."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from typing import TypeVar

from checks.deployment import AclEntry, Fences, Group, GroupRule
from checks.suite import Check, Scene, expect
from checks.table import Table, parties, zones
from model import acl
from model.flows import ANYWHERE, Firewall

Rule = TypeVar("Rule", GroupRule, AclEntry)

_EVERYTHING = frozenset(
    AclEntry(number=100, egress=egress, allow=True, protocol="-1", ports=None, cidr=str(ANYWHERE))
    for egress in (False, True)
)
"""A network's own ACL, as EC2 makes it (VPC User Guide, "Default network ACL")."""


def checks(_: Scene) -> list[Check]:
    """What the probes of the firewall's checks cannot see."""
    return [rules]


def rules(scene: Scene) -> str:
    """the rules that AWS has are those of the tables, no more and no fewer"""
    fences = scene.deployment.fences()
    found = []
    for stack, firewall in Table.of(scene).firewalls.items():
        groups = [group for group in fences.groups if group.stack == stack]
        found += [f"{stack}: {each}" for each in _of_groups(scene, firewall, groups)]
    found += _of_acls(scene, fences)
    expect(not found, f"{len(found)} differ: {'; '.join(found[:5])}")
    count = sum(len(group.rules) for group in fences.groups)
    return f"{count} rules of {len(fences.groups)} groups, {len(fences.acls)} network ACLs"


def _of_groups(scene: Scene, firewall: Firewall, groups: Sequence[Group]) -> Iterator[str]:
    """How a stack's groups differ from its flows: each host is in the group of its role alone."""
    roles = {party.name: party.role for party in parties(scene)}
    own: dict[str, Group] = {}
    for group in groups:
        inside = {roles.get(member, "") for member in group.members}
        role = inside.pop() if len(inside) == 1 else ""
        if role in firewall.hosts and role not in own:
            own[role] = group
        elif group.members:
            yield f"sg {group.name} has {', '.join(group.members)}: not in the table"
    names = {group.id: group.name for group in groups}
    ids = {role: group.id for role, group in own.items()}
    for role in firewall.hosts:
        there = own[role].rules if role in own else ()
        where = f"sg {own[role].name}" if role in own else f"no sg of the {role}"
        yield from _differences(where, there, _wanted(firewall, role, ids), names)
    for group in groups:
        # Such as a network's default group, which must be empty: anything may be put into it.
        if group not in own.values():
            yield from _differences(f"sg {group.name}", group.rules, (), names)


def _wanted(firewall: Firewall, role: str, groups: Mapping[str, str]) -> list[GroupRule]:
    """The rules of a role's group; `groups` are the ids of all roles' groups."""
    return [
        GroupRule(
            egress=egress,
            protocol=flow.protocol,
            ports=(flow.port, flow.port),
            peer=groups.get(peer, f"the {peer}'s sg")
            if peer in firewall.hosts
            else str(firewall.places[peer]),
        )
        for flow in firewall.flows
        for egress, side, peer in (
            (True, flow.source, flow.destination),
            (False, flow.destination, flow.source),
        )
        if side == role
    ]


def _of_acls(scene: Scene, fences: Fences) -> Iterator[str]:
    """How the ACL of each subnet differs from its table: the DMZ's, or none of our own."""
    plan, environment = zones(scene), scene.environment
    fence = [
        AclEntry(
            number=rule.number,
            egress=rule.egress,
            allow=rule.allow,
            protocol=rule.protocol,
            ports=rule.ports or rule.icmp,
            cidr=str(rule.cidr),
        )
        for rule in acl.dmz_acl(
            scene.outbound,
            IPv4Network(environment["network"]),
            IPv4Network(environment["branches"]),
        )
    ]
    dmz = {str(zone.dmz) for zone in plan}
    for each in fences.acls:
        for subnet in each.subnets:
            wanted = fence if subnet in dmz else _EVERYTHING
            where = f"{each.stack}: {each.id} of {subnet}"
            yield from _differences(where, each.entries, wanted, {})


def _differences(
    where: str,
    there: Collection[Rule],
    wanted: Collection[Rule],
    names: Mapping[str, str],
) -> Iterator[str]:
    for rules, said in (
        ([rule for rule in there if rule not in wanted], "not in the table"),
        ([rule for rule in wanted if rule not in there], "in the table only"),
    ):
        for rule in rules:
            yield f"{where} {_told(rule, names)}: {said}"


def _told(rule: GroupRule | AclEntry, names: Mapping[str, str]) -> str:
    """A rule as a person reads it: `ingress tcp 25 from 0.0.0.0/0`, `egress 90 deny all to …`."""
    first, last = rule.ports or (None, None)
    ports = "" if first is None else f" {first}" if first == last else f" {first}-{last}"
    way = "egress" if rule.egress else "ingress"
    if isinstance(rule, AclEntry):
        way += f" {rule.number} {'allow' if rule.allow else 'deny'}"
        peer = rule.cidr
    else:
        peer = names.get(rule.peer, rule.peer)
    what = "all" if rule.protocol == "-1" else rule.protocol
    return f"{way} {what}{ports} {'to' if rule.egress else 'from'} {peer}"
