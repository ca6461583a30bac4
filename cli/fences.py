"""What filters packets in an account, for the checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from checks.deployment import Acl, AclEntry, Fences, Group, GroupRule
from lab.world.model import AclRule, Interface, Rule, World


def fences(world: World, outputs: Mapping[str, Mapping[str, Any]]) -> Fences:
    """The groups and ACLs of the networks in which the stacks of these outputs have something.

    Which network is whose is told by who is in it, not by any name or tag.
    """
    interfaces = list(_interfaces(world))
    owners = {
        owner: stack
        for stack, told in outputs.items()
        for owner in (*(host["host"] for host in told["hosts"]), told.get("shell", ""))
    }
    stacks = {own.vpc: owners[owner] for owner, own in interfaces if owner in owners}
    blocks = {subnet.id: subnet.cidr for subnet in world.subnets}
    return Fences(
        groups=tuple(
            Group(
                id=group.id,
                name=group.name,
                stack=stacks[group.vpc],
                members=tuple(owner for owner, own in interfaces if group.id in own.groups),
                rules=tuple(map(_rule, group.rules)),
            )
            for group in world.groups
            if group.vpc in stacks
        ),
        acls=tuple(
            Acl(
                id=acl.id,
                stack=stacks[acl.vpc],
                subnets=tuple(blocks[subnet] for subnet in acl.subnets),
                entries=tuple(map(_entry, acl.rules)),
            )
            for acl in world.network_acls
            if acl.vpc in stacks
        ),
    )


def _interfaces(world: World) -> Iterator[tuple[str, Interface]]:
    """By the names of instances and the ids of Instance Connect endpoints."""
    for instance in world.instances:
        yield instance.name, instance.interface
    for endpoint in world.connect_endpoints:
        yield endpoint.id, endpoint.interface


def _rule(rule: Rule) -> GroupRule:
    return GroupRule(
        egress=rule.direction == "egress",
        protocol=rule.protocol,
        ports=_ports(rule),
        peer=rule.cidr or rule.group or rule.prefix_list or "",
    )


def _entry(rule: AclRule) -> AclEntry:
    return AclEntry(
        number=rule.number,
        egress=rule.direction == "egress",
        allow=rule.allow,
        protocol=rule.protocol,
        ports=_ports(rule),
        cidr=rule.cidr,
    )


def _ports(rule: Rule | AclRule) -> tuple[int, int] | None:
    if rule.from_port is None or rule.to_port is None:
        return None
    return rule.from_port, rule.to_port
