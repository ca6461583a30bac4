"""Packets by way of a Transit Gateway, in the kernel; and what cannot be laid out."""

from __future__ import annotations

import os
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from lab.network.errors import NetworkError
from lab.network.layout import lay_out
from lab.network.names import FAR_END, transit_link
from lab.network.routes import Hop, compile_transit_table
from lab.world.model import World
from tests.lab.network.kernel import Kernel
from tests.lab.network.worlds import (
    ADDRESS,
    ATTACHED,
    BRANCH,
    BRANCH_HOST,
    HUB,
    MAIN,
    RELAY,
    THIRD_HOST,
    acl_rule,
    group,
    joined,
    rule,
    with_acl,
    with_groups,
)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def without(world: World, attachment: str) -> World:
    kept = tuple(item for item in world.transit_attachments if item.id != attachment)
    return replace(world, transit_attachments=kept)


def test_a_gateway_s_table_leads_to_attached_vpcs_only() -> None:
    [table] = joined().transit_tables
    hops = compile_transit_table(joined(), table)
    assert hops == {
        IPv4Network("10.0.0.0/16"): Hop(link=transit_link(ATTACHED[MAIN]), via=FAR_END),
        IPv4Network("10.1.0.0/16"): Hop(link=transit_link(ATTACHED[BRANCH]), via=FAR_END),
        IPv4Network("10.2.0.0/16"): Hop(link=transit_link("tgw-attach-00000000003"), via=FAR_END),
        # A black hole, a VPN whose tunnels are down, and whatever no route names.
        IPv4Network("10.1.9.0/24"): None,
        IPv4Network("10.9.0.0/16"): None,
        IPv4Network("0.0.0.0/0"): None,
    }


def test_an_acl_at_an_attachment_is_refused() -> None:
    guarded = with_acl(joined(), "subnet-branch", acl_rule(100, "ingress", "tcp", 25))
    with pytest.raises(NetworkError, match="acl-subnet-branch: the lab does not filter"):
        lay_out(guarded)


@pytest.mark.lab
@needs_root
def test_attached_vpcs_talk(kernel: Kernel) -> None:
    kernel.apply(joined())
    assert kernel.source_seen(BRANCH_HOST, HUB, ADDRESS[HUB]) == ADDRESS[BRANCH_HOST]
    assert kernel.source_seen(HUB, BRANCH_HOST, ADDRESS[BRANCH_HOST]) == ADDRESS[HUB]


@pytest.mark.lab
@needs_root
def test_a_zone_without_an_attachment_reaches_nothing(kernel: Kernel) -> None:
    kernel.apply(joined())
    assert kernel.blocked(RELAY, ADDRESS[BRANCH_HOST], 25)
    assert kernel.blocked(BRANCH_HOST, ADDRESS[RELAY], 25), "the reply cannot come back"
    everywhere = tuple(
        replace(item, subnets=("subnet-inside", "subnet-dmz"))
        if item.id == ATTACHED[MAIN]
        else item
        for item in joined().transit_attachments
    )
    kernel.apply(replace(joined(), transit_attachments=everywhere))
    assert kernel.reaches(RELAY, ADDRESS[BRANCH_HOST], 25)
    assert kernel.reaches(BRANCH_HOST, ADDRESS[RELAY], 25)


@pytest.mark.lab
@needs_root
def test_an_attachment_without_a_table_sends_nowhere(kernel: Kernel) -> None:
    kernel.apply(joined())
    assert kernel.blocked(THIRD_HOST, ADDRESS[BRANCH_HOST], 25)
    associated = tuple(
        replace(item, table="tgw-rtb-0000000001") for item in joined().transit_attachments
    )
    kernel.apply(replace(joined(), transit_attachments=associated))
    # Unlike peerings: a gateway joins all that are attached to it.
    assert kernel.reaches(THIRD_HOST, ADDRESS[BRANCH_HOST], 25)


@pytest.mark.lab
@needs_root
def test_nothing_passes_once_the_attachment_is_gone(kernel: Kernel) -> None:
    kernel.apply(joined())
    assert kernel.reaches(HUB, ADDRESS[BRANCH_HOST], 25)
    kernel.apply(without(joined(), ATTACHED[BRANCH]))
    assert kernel.blocked(HUB, ADDRESS[BRANCH_HOST], 25)
    kernel.apply(joined())
    assert kernel.reaches(HUB, ADDRESS[BRANCH_HOST], 25)


@pytest.mark.lab
@needs_root
def test_rules_name_blocks_not_groups_across_it(kernel: Kernel) -> None:
    members = group("sg-branch", rule("sg-branch", "ingress"), rule("sg-branch", "egress"))
    by_group = group("sg-hub", rule("sg-hub", "ingress", "tcp", 25, group=members.id))
    kernel.apply(with_groups(joined(), HUB, by_group))
    assert kernel.blocked(BRANCH_HOST, ADDRESS[HUB], 25)
    by_block = group("sg-hub", rule("sg-hub", "ingress", "tcp", 25, cidr="10.1.0.0/16"))
    kernel.apply(with_groups(joined(), HUB, by_block))
    assert kernel.reaches(BRANCH_HOST, ADDRESS[HUB], 25)
    assert kernel.blocked(BRANCH_HOST, ADDRESS[HUB], 26)


@pytest.mark.lab
@needs_root
def test_a_false_source_is_not_heard_across_it(kernel: Kernel) -> None:
    kernel.apply(joined())
    kernel.run("ip", "-n", BRANCH_HOST, "addr", "add", f"{ADDRESS[THIRD_HOST]}/32", "dev", "eth0")
    kernel.run(
        *("ip", "-n", BRANCH_HOST, "route", "replace", "default", "via", "10.1.1.1"),
        *("dev", "eth0", "src", ADDRESS[THIRD_HOST]),
    )
    assert kernel.blocked(BRANCH_HOST, ADDRESS[HUB], 25)
