"""The plan of a network, without a kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.internet.plan import HOSTS
from lab.network.errors import NetworkError
from lab.network.layout import lay_out
from lab.network.names import aws_address, mac_address, resolver_address, router_address
from lab.network.plan import Plan
from lab.network.record import read_plan, write_plan
from lab.world.model import World
from lab.world.names import link_name
from tests.lab.network.worlds import (
    ADDRESS,
    HUB,
    MAIN,
    NAT_ADDRESS,
    RELAY,
    WEB,
    company,
    group,
    rule,
    with_groups,
    with_interface,
)


def test_the_same_world_gives_the_same_plan() -> None:
    assert lay_out(company()) == lay_out(company())


def test_names_fit_the_kernel() -> None:
    for link in lay_out(company()).links:
        # IFNAMSIZ is 16 with its final zero byte (netdevice(7)).
        assert len(link.near.name) <= 15
        assert len(link.far.name) <= 15


def test_an_empty_account_still_has_an_internet() -> None:
    plan = lay_out(World(region="ap-northeast-1", account="123456789012"))
    names = {namespace.name for namespace in plan.namespaces}
    assert names == {"inet", *(host.namespace for host in HOSTS)}


def test_a_rule_changes_nothing_but_its_filter() -> None:
    before = with_groups(company(), RELAY, group("sg-x"))
    after = with_groups(company(), RELAY, group("sg-x", rule("sg-x", "egress")))
    old, new = lay_out(before), lay_out(after)
    assert (old.namespaces, old.links, old.settings) == (new.namespaces, new.links, new.settings)
    changed = {a.namespace for a, b in zip(old.rulesets, new.rulesets, strict=True) if a != b}
    assert changed == {MAIN}


def test_an_instances_namespace_gets_a_link_that_is_up_and_nothing_else() -> None:
    settings = [part.add for part in lay_out(company()).settings if part.namespace == RELAY]
    assert settings == ["link set dev eth0 up"]


def test_two_interfaces_cannot_have_one_address() -> None:
    with pytest.raises(NetworkError, match=f"{MAIN}: .*private_ip, {ADDRESS[RELAY]}"):
        lay_out(with_interface(company(), WEB, private_ip=ADDRESS[RELAY]))
    with pytest.raises(NetworkError, match=f"private_ip, {NAT_ADDRESS}"):
        lay_out(with_interface(company(), HUB, private_ip=NAT_ADDRESS))


def test_two_interfaces_cannot_have_one_link_name() -> None:
    with pytest.raises(NetworkError, match="same link"):
        lay_out(with_interface(company(), WEB, id="eni-2-000000relay"))


def test_a_plan_survives_its_record(tmp_path: Path) -> None:
    plan, path = lay_out(company()), tmp_path / "network.json"
    assert read_plan(path) == Plan()
    write_plan(plan, path)
    assert read_plan(path) == plan


def test_addresses_that_aws_reserves() -> None:
    assert str(router_address(IPv4Network("10.0.1.128/25"))) == "10.0.1.129"
    assert str(resolver_address(IPv4Network("10.0.0.0/16"))) == "10.0.0.2"


def test_derived_addresses_are_steady_and_of_their_kind() -> None:
    address = aws_address("vpc-0123456789abcdef0")
    assert address == aws_address("vpc-0123456789abcdef0") != aws_address("vpc-1")
    assert address in IPv4Network("100.64.0.0/10")
    first = int(mac_address("nat-0123456789abcdef0").split(":")[0], 16)
    assert first & 3 == 2  # locally administered, not a group address (IEEE 802)


def test_link_names_come_from_one_place() -> None:
    world = company()
    near = {link.near.name for link in lay_out(world).links}
    assert {link_name(item.interface.id) for item in world.instances} <= near


def test_two_vpcs_with_the_same_block_do_not_meet() -> None:
    world = company()
    vpcs = tuple(replace(vpc, cidrs=("10.0.0.0/16",)) for vpc in world.vpcs)
    lay_out(replace(world, vpcs=vpcs, peerings=()))
