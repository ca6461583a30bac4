"""What AWS has against the tables: each rule too many or too few is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from checks.fences import rules
from checks.suite import Failed, Scene
from cli.fences import fences
from lab.world.model import AclRule, Rule, World
from model.acl import dmz_acl
from tests.checks.company import BRANCHES, Company, guarded
from tests.checks.fakes import FakeDeployment
from tests.lab.network.kernel import Kernel
from tests.lab.network.worlds import (
    BRANCH,
    HUB,
    MAIN,
    RELAY,
    acl_rule,
    group,
    instance,
    rule,
    with_acl,
    with_interface,
)

RELAYS, HUBS, BRANCH_ONES = f"sg-{MAIN}-relay", f"sg-{MAIN}-hub", f"sg-{BRANCH}-branch"
EVIL = "sg-evil"


def world() -> World:
    """The company with the DMZ's ACL, its hosts' groups alone, and subnets where they belong."""
    found = guarded()
    used = {f"sg-{MAIN}-{role}" for role in ("relay", "hub", "shell")}
    used |= {f"sg-{BRANCH}-{role}" for role in ("branch", "shell")}
    table = dmz_acl("relay", IPv4Network("10.0.0.0/16"), BRANCHES)
    entries = (
        acl_rule(
            each.number,
            "egress" if each.egress else "ingress",
            each.protocol,
            *(each.ports or each.icmp or ()),
            cidr=str(each.cidr),
            allow=each.allow,
        )
        for each in table
    )
    found = with_acl(found, "subnet-dmz", *entries)
    planned = {"10.0.2.0/24": "10.0.11.0/24", "10.0.3.0/24": "10.0.21.0/24"}
    return replace(
        found,
        groups=tuple(each for each in found.groups if each.id in used),
        subnets=tuple(replace(s, cidr=planned.get(s.cidr, s.cidr)) for s in found.subnets),
    )


def scene(found: World) -> Scene:
    told = Company(Kernel.__new__(Kernel)).outputs()
    return Scene(FakeDeployment(told=told, fenced=fences(found, told)))


def found(of: World) -> list[str]:
    """What the check has to say, each difference by itself."""
    with pytest.raises(Failed) as failure:
        rules(scene(of))
    return str(failure.value).partition(" differ: ")[2].split("; ")


def with_rules(
    of: World, name: str, change: Callable[[tuple[Rule, ...]], tuple[Rule, ...]]
) -> World:
    groups = (replace(g, rules=change(g.rules)) if g.id == name else g for g in of.groups)
    return replace(of, groups=tuple(groups))


def opened(name: str, *service: object, **peer: str) -> World:
    more = rule(name, *service, **peer)  # ty: ignore[invalid-argument-type]
    return with_rules(world(), name, lambda there: (*there, more))


def of_dmz(change: Callable[[tuple[AclRule, ...]], tuple[AclRule, ...]]) -> World:
    [fence] = (acl for acl in world().network_acls if acl.subnets == ("subnet-dmz",))
    return with_acl(world(), "subnet-dmz", *change(fence.rules))


def test_what_the_tables_say_is_in_order() -> None:
    assert rules(scene(world())).endswith(" rules of 5 groups, 3 network ACLs")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            opened(RELAYS, "ingress", "tcp", 5000),
            f"dev: sg {RELAYS} ingress tcp 5000 from 0.0.0.0/0: not in the table",
        ),
        (
            opened(RELAYS, "ingress", "tcp", 7, 9, cidr="192.0.2.0/24"),
            f"dev: sg {RELAYS} ingress tcp 7-9 from 192.0.2.0/24: not in the table",
        ),
        (
            # A port that flows have, to somewhere else.
            opened(HUBS, "egress", "tcp", 25, cidr="0.0.0.0/0"),
            f"dev: sg {HUBS} egress tcp 25 to 0.0.0.0/0: not in the table",
        ),
        (
            opened(HUBS, "ingress", "tcp", 443, group=RELAYS),
            f"dev: sg {HUBS} ingress tcp 443 from {RELAYS}: not in the table",
        ),
        (
            opened(HUBS, "ingress", "-1", group=EVIL),
            f"dev: sg {HUBS} ingress all from {EVIL}: not in the table",
        ),
        (
            opened(BRANCH_ONES, "egress", "udp", 53),
            f"branch: sg {BRANCH_ONES} egress udp 53 to 0.0.0.0/0: not in the table",
        ),
        (
            with_rules(world(), BRANCH_ONES, lambda there: there[1:]),
            f"branch: sg {BRANCH_ONES} egress tcp 25 to 10.0.2.10/32: in the table only",
        ),
        (
            of_dmz(lambda there: (*there, acl_rule(5, "ingress", "tcp", 22))),
            "dev: acl-subnet-dmz of 10.0.1.0/24 ingress 5 allow tcp 22 from 0.0.0.0/0: "
            "not in the table",
        ),
        (
            of_dmz(
                lambda there: tuple(e for e in there if (e.number, e.direction) != (90, "egress"))
            ),
            "dev: acl-subnet-dmz of 10.0.1.0/24 egress 90 deny all to 10.1.0.0/16: "
            "in the table only",
        ),
    ],
)
def test_one_difference_is_named(changed: World, said: str) -> None:
    assert found(changed) == [said]


def test_a_subnet_inside_has_no_rules_of_its_own() -> None:
    everything = (acl_rule(100, "egress"), acl_rule(100, "ingress"))
    deny = acl_rule(50, "ingress", "tcp", 25, allow=False)
    changed = with_acl(world(), "subnet-inside", deny, *everything)
    where = "dev: acl-subnet-inside of 10.0.11.0/24"
    assert found(changed) == [f"{where} ingress 50 deny tcp 25 from 0.0.0.0/0: not in the table"]


def test_a_dmz_that_left_its_acl_is_told() -> None:
    everything = (acl_rule(100, "egress"), acl_rule(100, "ingress"))
    told = found(with_acl(world(), "subnet-dmz", *everything))
    assert "dev: acl-subnet-dmz of 10.0.1.0/24 ingress 100 allow all from 0.0.0.0/0: " in told[1]


def test_a_second_group_of_a_host_is_told() -> None:
    more = group(EVIL, rule(EVIL, "ingress", "tcp", 5000))
    changed = with_interface(world(), RELAY, groups=(RELAYS, EVIL))
    changed = replace(changed, groups=(*changed.groups, more))
    assert found(changed) == [
        f"dev: sg {EVIL} has {RELAY}: not in the table",
        f"dev: sg {EVIL} ingress tcp 5000 from 0.0.0.0/0: not in the table",
    ]


def test_a_stranger_in_a_group_of_ours_is_told() -> None:
    stranger = instance("i-bastion", groups=(HUBS,))
    changed = replace(world(), instances=(*world().instances, stranger))
    assert f"dev: sg {HUBS} has {HUB}, i-bastion: not in the table" in found(changed)


def test_a_group_of_nobody_must_be_empty() -> None:
    changed = replace(world(), groups=(*world().groups, group("sg-default")))
    assert rules(scene(changed))
    full = group("sg-default", rule("sg-default", "egress"))
    changed = replace(world(), groups=(*world().groups, full))
    assert found(changed) == ["dev: sg sg-default egress all to 0.0.0.0/0: not in the table"]
