"""Security group rules as nftables matches, without a kernel."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.network.errors import NetworkError
from lab.network.groups import compile_group, compile_rule
from lab.network.ports import find_ports
from lab.world.model import PrefixList, Rule, World
from tests.lab.network.worlds import (
    ADDRESS,
    BRANCH,
    BRANCH_HOST,
    HUB,
    RELAY,
    company,
    group,
    open_group,
    rule,
    with_groups,
)


def compiled(tested: Rule, world: World | None = None) -> str | None:
    world = world or company()
    text = compile_rule(world, group("sg-x", tested), tested, find_ports(world))
    return text.partition(" comment ")[0] if text else None


@pytest.mark.parametrize(
    ("protocol", "first", "last", "expected"),
    [
        ("tcp", 25, 25, "tcp dport 25 accept"),
        ("tcp", 1024, 65535, "tcp dport 1024-65535 accept"),
        ("udp", 53, 53, "udp dport 53 accept"),
        ("tcp", None, None, "meta l4proto tcp accept"),
        ("tcp", -1, -1, "meta l4proto tcp accept"),
        ("tcp", 0, 0, "tcp dport 0 accept"),
        ("-1", None, None, "accept"),
        ("icmp", -1, -1, "meta l4proto icmp accept"),
        ("icmp", 8, -1, "icmp type 8 accept"),
        ("icmp", 3, 4, "icmp type 3 icmp code 4 accept"),
        ("icmp", 0, 0, "icmp type 0 icmp code 0 accept"),
        ("50", None, None, "meta l4proto 50 accept"),
    ],
)
def test_protocols_and_ports(
    protocol: str, first: int | None, last: int | None, expected: str
) -> None:
    assert compiled(rule("sg-x", "egress", protocol, first, last)) == expected


def test_the_peer_is_the_source_of_ingress_and_the_destination_of_egress() -> None:
    assert compiled(rule("sg-x", "ingress", cidr="10.0.0.0/8")) == "ip saddr { 10.0.0.0/8 } accept"
    assert compiled(rule("sg-x", "egress", cidr="10.0.0.0/8")) == "ip daddr { 10.0.0.0/8 } accept"


def test_what_can_match_no_ipv4_packet_is_left_out() -> None:
    assert compiled(rule("sg-x", "ingress", cidr="::/0")) is None
    assert compiled(rule("sg-x", "ingress", "icmpv6")) is None
    assert compiled(rule("sg-x", "ingress", group="sg-nobody")) is None


def test_only_rules_of_the_direction_are_taken() -> None:
    both = group("sg-x", rule("sg-x", "ingress", "tcp", 25), rule("sg-x", "egress", "tcp", 26))
    world = company()
    (text,) = compile_group(world, both, "egress", find_ports(world))
    assert text.startswith("tcp dport 26 accept")


def test_a_group_means_its_members_of_this_vpc_and_of_peered_ones() -> None:
    world = with_groups(company(), BRANCH_HOST, open_group("sg-members", BRANCH))
    from_members = rule("sg-x", "ingress", group="sg-members")
    assert compiled(from_members, world) == f"ip saddr {{ {ADDRESS[BRANCH_HOST]}/32 }} accept"
    cut = tuple(replace(peering, active=False) for peering in world.peerings)
    assert compiled(from_members, replace(world, peerings=cut)) is None


def test_members_are_all_that_have_the_group_among_theirs() -> None:
    members, more = open_group("sg-members", "vpc-main0000001"), open_group("sg-more", "")
    world = with_groups(with_groups(company(), RELAY, members, more), HUB, members)
    text = compiled(rule("sg-x", "egress", "tcp", 25, group="sg-members"), world)
    assert text == f"ip daddr {{ {ADDRESS[RELAY]}/32, {ADDRESS[HUB]}/32 }} tcp dport 25 accept"


def test_an_unknown_prefix_list_is_named() -> None:
    with pytest.raises(NetworkError, match="pl-unknown"):
        compiled(rule("sg-x", "egress", prefix_list="pl-unknown"))


@given(
    st.lists(
        st.builds(
            lambda address, length: IPv4Network((address, length), strict=False),
            st.ip_addresses(v=4, network="10.0.0.0/8"),
            st.integers(8, 32),
        ),
        min_size=1,
        max_size=6,
    ),
    st.ip_addresses(v=4, network="10.0.0.0/8"),
)
def test_a_prefix_list_matches_just_its_entries(
    entries: list[IPv4Network], address: IPv4Address
) -> None:
    world = replace(
        company(),
        prefix_lists=(PrefixList(id="pl-x", name="x", cidrs=tuple(map(str, entries))),),
    )
    text = compiled(rule("sg-x", "egress", prefix_list="pl-x"), world)
    assert text is not None
    listed = [IPv4Network(item) for item in re.findall(r"[\d.]+/\d+", text)]
    assert any(address in item for item in listed) == any(address in item for item in entries)
    # nftables refuses a set whose entries overlap.
    assert not any(a.overlaps(b) for a in listed for b in listed if a is not b)
