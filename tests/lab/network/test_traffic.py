"""What passes and what does not, with real packets through the network of a small company."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from ipaddress import IPv4Network

import pytest

from lab.internet.plan import CLOUD, INTERNET, NAMES
from lab.network.names import METADATA, RESOLVER, TIME, aws_address
from lab.world.model import World
from tests.lab.network.kernel import Kernel
from tests.lab.network.worlds import (
    ADDRESS,
    BRANCH,
    BRANCH_HOST,
    CONNECT,
    HUB,
    IGW,
    MAIN,
    NAT_PUBLIC,
    PUBLIC,
    RELAY,
    S3_ENDPOINT,
    S3_LIST,
    THIRD_HOST,
    TO_BRANCH,
    WEB,
    company,
    group,
    open_group,
    route,
    rule,
    with_groups,
    with_interface,
    with_routes,
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

OUTSIDE = INTERNET.namespace
S3_ROUTE = route(S3_LIST, "gateway_endpoint", S3_ENDPOINT)


def without_nat(world: World) -> World:
    return replace(world, nat_gateways=())


def test_open_groups_let_neighbours_subnets_and_peers_talk(kernel: Kernel) -> None:
    kernel.apply(company())
    for source, target in [(RELAY, WEB), (RELAY, HUB), (HUB, RELAY), (CONNECT, HUB)]:
        assert kernel.source_seen(source, target, ADDRESS[target]) == ADDRESS[source]
    assert kernel.source_seen(BRANCH_HOST, HUB, ADDRESS[HUB]) == ADDRESS[BRANCH_HOST]
    assert kernel.source_seen(HUB, BRANCH_HOST, ADDRESS[BRANCH_HOST]) == ADDRESS[HUB]


def test_the_router_answers_for_neighbours_at_once(kernel: Kernel) -> None:
    kernel.apply(company())

    def seconds_for_six() -> float:
        start = time.monotonic()
        for _ in range(6):
            kernel.run("ip", "-n", RELAY, "neigh", "flush", "all")
            assert kernel.reaches(RELAY, ADDRESS[WEB], 25)
        return time.monotonic() - start

    # The kernel's own delay is up to 0.8 s each time, 2.4 s for six on average (arp(7)). A busy
    # machine may take as long, but not each time.
    kernel.until(lambda: seconds_for_six() < 0.6)


@pytest.mark.parametrize("target", [WEB, HUB, BRANCH_HOST])
def test_egress_must_allow(kernel: Kernel, target: str) -> None:
    only_25 = group("sg-25", rule("sg-25", "egress", "tcp", 25))
    kernel.apply(with_groups(company(), RELAY, only_25))
    assert kernel.reaches(RELAY, ADDRESS[target], 25)
    assert kernel.blocked(RELAY, ADDRESS[target], 26)


@pytest.mark.parametrize("source", [WEB, HUB, BRANCH_HOST])
def test_ingress_must_allow(kernel: Kernel, source: str) -> None:
    only_25 = group("sg-25", rule("sg-25", "ingress", "tcp", 25))
    kernel.apply(with_groups(company(), RELAY, only_25))
    assert kernel.reaches(source, ADDRESS[RELAY], 25)
    assert kernel.blocked(source, ADDRESS[RELAY], 26)


def test_without_rules_nothing_passes(kernel: Kernel) -> None:
    kernel.apply(with_groups(company(), RELAY, group("sg-none")))
    assert kernel.blocked(RELAY, ADDRESS[WEB], 25)
    assert kernel.blocked(WEB, ADDRESS[RELAY], 25)


def test_rules_of_several_groups_add_up(kernel: Kernel) -> None:
    first = group("sg-first", rule("sg-first", "ingress", "tcp", 25))
    second = group("sg-second", rule("sg-second", "ingress", "tcp", 587))
    kernel.apply(with_groups(company(), RELAY, first, second))
    assert kernel.reaches(WEB, ADDRESS[RELAY], 25)
    assert kernel.reaches(WEB, ADDRESS[RELAY], 587)
    assert kernel.blocked(WEB, ADDRESS[RELAY], 588)


def test_answers_pass_without_a_rule_of_their_own(kernel: Kernel) -> None:
    only_in = group("sg-in", rule("sg-in", "ingress", "tcp", 25))
    kernel.apply(with_groups(company(), RELAY, only_in))
    with kernel.listen(RELAY, 25) as server, kernel.connect(OUTSIDE, PUBLIC[RELAY], 25) as client:
        accepted, _ = server.accept()
        with accepted:
            accepted.sendall(b"220 relay\r\n")
            assert client.recv(100) == b"220 relay\r\n"


def test_what_only_looks_like_an_answer_is_dropped(kernel: Kernel) -> None:
    only_out = group("sg-out", rule("sg-out", "egress", "udp", 53))
    kernel.apply(with_groups(company(), RELAY, only_out))
    with kernel.udp(RELAY, 4000) as asker, kernel.udp(WEB, 53) as server:
        server.sendto(b"unasked", (ADDRESS[RELAY], 4000))
        asker.sendto(b"question", (ADDRESS[WEB], 53))
        assert server.recv(100) == b"question"
        server.sendto(b"answer", (ADDRESS[RELAY], 4000))
        assert asker.recv(100) == b"answer"


@pytest.mark.parametrize("target", [WEB, HUB])
def test_a_false_source_is_dropped_unless_the_check_is_off(kernel: Kernel, target: str) -> None:
    def first_source_seen() -> str:
        with (
            kernel.udp(target, 7001) as receiver,
            kernel.udp(RELAY, 4001, "10.0.1.99") as liar,
            kernel.udp(RELAY, 4001, ADDRESS[RELAY]) as honest,
        ):
            liar.sendto(b"x", (ADDRESS[target], 7001))
            honest.sendto(b"x", (ADDRESS[target], 7001))
            return receiver.recvfrom(10)[1][0]

    kernel.apply(company())
    assert first_source_seen() == ADDRESS[RELAY]
    kernel.apply(with_interface(company(), RELAY, source_dest_check=False))
    assert first_source_seen() == "10.0.1.99"


def test_outside_an_instance_has_its_elastic_ip(kernel: Kernel) -> None:
    kernel.apply(company())
    assert kernel.source_seen(RELAY, OUTSIDE, INTERNET.address) == PUBLIC[RELAY]
    assert kernel.source_seen(OUTSIDE, RELAY, PUBLIC[RELAY]) == INTERNET.address


def test_outside_a_private_instance_has_the_nat_gateways_elastic_ip(kernel: Kernel) -> None:
    kernel.apply(company())
    assert kernel.source_seen(HUB, OUTSIDE, INTERNET.address) == NAT_PUBLIC
    assert kernel.blocked(OUTSIDE, NAT_PUBLIC, 25)


def test_a_private_instance_needs_the_nat_gateway(kernel: Kernel) -> None:
    kernel.apply(without_nat(company()))
    assert kernel.blocked(HUB, INTERNET.address, 25)


def test_an_internet_gateway_carries_nothing_without_a_public_address(kernel: Kernel) -> None:
    kernel.apply(with_interface(company(), RELAY, public_ip=None))
    assert kernel.blocked(RELAY, INTERNET.address, 25)


def test_no_private_source_leaves_an_internet_gateway(kernel: Kernel) -> None:
    kernel.apply(with_interface(company(), RELAY, public_ip=None))
    with (
        kernel.udp(OUTSIDE, 7004) as receiver,
        kernel.udp(RELAY, 4004) as private,
        kernel.udp(WEB, 4004) as public,
    ):
        private.sendto(b"x", (INTERNET.address, 7004))
        public.sendto(b"x", (INTERNET.address, 7004))
        assert receiver.recvfrom(10)[1][0] == PUBLIC[WEB]


def test_a_public_address_needs_the_route(kernel: Kernel) -> None:
    world = with_interface(without_nat(company()), HUB, public_ip="198.51.100.12")
    kernel.apply(world)
    assert kernel.blocked(HUB, INTERNET.address, 25)
    assert kernel.blocked(OUTSIDE, "198.51.100.12", 25)


def test_no_way_from_outside_to_a_private_address(kernel: Kernel) -> None:
    kernel.apply(company())
    far_end = ("via", "169.254.0.1", "dev", f"i-{MAIN[-11:]}", "onlink")
    kernel.run("ip", "-n", "inet", "route", "add", "10.0.0.0/16", *far_end)
    try:
        assert kernel.blocked(OUTSIDE, ADDRESS[RELAY], 25)
        assert kernel.blocked(OUTSIDE, "10.0.0.2", 53)
    finally:
        kernel.run("ip", "-n", "inet", "route", "del", "10.0.0.0/16", *far_end)


def test_an_elastic_ip_is_reached_through_the_internet_gateway_even_from_inside(
    kernel: Kernel,
) -> None:
    kernel.apply(company())
    assert kernel.source_seen(RELAY, WEB, PUBLIC[WEB]) == PUBLIC[RELAY]
    assert kernel.source_seen(HUB, WEB, PUBLIC[WEB]) == NAT_PUBLIC
    assert kernel.source_seen(RELAY, RELAY, PUBLIC[RELAY]) == PUBLIC[RELAY]


def test_a_group_stands_for_its_members_private_addresses(kernel: Kernel) -> None:
    relays = open_group("sg-relays", MAIN)
    from_relays = group("sg-hub", rule("sg-hub", "ingress", "tcp", 25, group="sg-relays"))
    world = with_groups(with_groups(company(), RELAY, relays), WEB, from_relays)
    kernel.apply(world)
    assert kernel.reaches(RELAY, ADDRESS[WEB], 25)
    assert kernel.blocked(HUB, ADDRESS[WEB], 25)
    assert kernel.blocked(RELAY, PUBLIC[WEB], 25)


def test_a_group_of_a_peered_vpc_counts_while_the_peering_is_active(kernel: Kernel) -> None:
    branches = open_group("sg-branches", BRANCH)
    from_branch = group("sg-hub", rule("sg-hub", "ingress", "tcp", 25, group="sg-branches"))
    world = with_groups(with_groups(company(), BRANCH_HOST, branches), HUB, from_branch)
    kernel.apply(world)
    assert kernel.reaches(BRANCH_HOST, ADDRESS[HUB], 25)
    assert kernel.blocked(THIRD_HOST, ADDRESS[HUB], 25)


def test_a_prefix_list_stands_for_its_entries(kernel: Kernel) -> None:
    to_s3 = group("sg-s3", rule("sg-s3", "egress", "tcp", 443, prefix_list=S3_LIST))
    kernel.apply(with_groups(company(), RELAY, to_s3))
    assert kernel.reaches(RELAY, CLOUD.address, 443)
    assert kernel.blocked(RELAY, INTERNET.address, 443)


def test_a_gateway_endpoint_needs_neither_nat_nor_internet_gateway(kernel: Kernel) -> None:
    kernel.apply(without_nat(company()))
    assert kernel.blocked(HUB, CLOUD.address, 443)
    kernel.apply(with_routes(without_nat(company()), "rtb-inside", S3_ROUTE))
    seen = kernel.source_seen(HUB, CLOUD.namespace, CLOUD.address)
    assert seen == str(aws_address(MAIN))
    assert kernel.blocked(HUB, INTERNET.address, 443)


def test_a_gateway_endpoint_beats_the_default_route(kernel: Kernel) -> None:
    kernel.apply(company())
    assert kernel.source_seen(RELAY, CLOUD.namespace, CLOUD.address) == PUBLIC[RELAY]
    kernel.apply(with_routes(company(), "rtb-public", S3_ROUTE))
    seen = kernel.source_seen(RELAY, CLOUD.namespace, CLOUD.address)
    assert seen == str(aws_address(MAIN))


def test_peering_is_not_transitive(kernel: Kernel) -> None:
    kernel.apply(company())
    assert kernel.reaches(BRANCH_HOST, ADDRESS[RELAY], 25)
    assert kernel.blocked(BRANCH_HOST, ADDRESS[THIRD_HOST], 25)
    assert kernel.blocked(BRANCH_HOST, INTERNET.address, 25)
    assert kernel.blocked(BRANCH_HOST, PUBLIC[RELAY], 25)


def test_a_peering_carries_only_while_it_is_active(kernel: Kernel) -> None:
    world = company()
    peerings = tuple(replace(item, active=item.id != TO_BRANCH) for item in world.peerings)
    kernel.apply(replace(world, peerings=peerings))
    assert kernel.blocked(BRANCH_HOST, ADDRESS[HUB], 25)
    assert kernel.reaches(THIRD_HOST, ADDRESS[HUB], 25)


def test_a_black_hole_swallows_and_the_longest_prefix_wins(kernel: Kernel) -> None:
    gone = route("192.0.2.0/24", "nat_gateway", "nat-gone", active=False)
    back = route(f"{NAMES.address}/32", "internet_gateway", IGW)
    kernel.apply(with_routes(company(), "rtb-public", gone, back))
    assert kernel.blocked(RELAY, INTERNET.address, 25)
    assert kernel.reaches(RELAY, NAMES.address, 53)


def test_a_route_to_an_interface_needs_its_check_off(kernel: Kernel) -> None:
    world = with_routes(
        company(), "rtb-inside", route("192.0.2.0/25", "interface", "eni-00000000web")
    )
    with kernel.udp(WEB, 7002, INTERNET.address) as receiver, kernel.udp(HUB, 4002) as sender:
        kernel.run("ip", "-n", WEB, "route", "add", "local", "192.0.2.0/25", "dev", "lo")
        try:
            kernel.apply(world)
            sender.sendto(b"dropped", (INTERNET.address, 7002))
            kernel.apply(with_interface(world, WEB, source_dest_check=False))
            sender.sendto(b"passed", (INTERNET.address, 7002))
            assert receiver.recv(100) == b"passed"
        finally:
            kernel.run("ip", "-n", WEB, "route", "del", "local", "192.0.2.0/25", "dev", "lo")


@pytest.mark.parametrize("address", [METADATA, RESOLVER, TIME, "10.0.0.2", "10.0.1.1"])
def test_the_vpcs_own_services_are_never_filtered(kernel: Kernel, address: str) -> None:
    kernel.apply(with_groups(company(), RELAY, group("sg-none")))
    assert kernel.source_seen(RELAY, MAIN, address) == ADDRESS[RELAY]


def test_the_vpcs_own_services_are_for_the_vpc_only(kernel: Kernel) -> None:
    kernel.apply(company())
    assert kernel.blocked(BRANCH_HOST, "10.0.0.2", 53)
    assert kernel.blocked(OUTSIDE, str(aws_address(MAIN)), 53)


@pytest.mark.parametrize("vpc", [MAIN, BRANCH])
def test_a_vpcs_services_reach_the_internets_names(kernel: Kernel, vpc: str) -> None:
    kernel.apply(company())
    seen = kernel.source_seen(vpc, NAMES.namespace, NAMES.address)
    assert seen == str(aws_address(vpc))


def test_a_machine_without_an_address_can_ask_for_one(kernel: Kernel) -> None:
    kernel.apply(company())
    with kernel.udp(MAIN, 67) as server, kernel.udp(RELAY, 68, "0.0.0.0") as client:
        kernel.run("ip", "-n", RELAY, "addr", "flush", "dev", "eth0")
        kernel.run("ip", "-n", RELAY, "route", "add", "default", "dev", "eth0")
        client.setsockopt(1, 6, 1)  # SOL_SOCKET, SO_BROADCAST
        client.sendto(b"discover", ("255.255.255.255", 67))
        assert server.recvfrom(100) == (b"discover", ("0.0.0.0", 68))
        kernel.run("ip", "-n", RELAY, "route", "del", "default", "dev", "eth0")


def test_every_form_of_rule_is_understood_by_the_kernel(kernel: Kernel) -> None:
    forms = [
        ("tcp", None, None),
        ("tcp", 0, 65535),
        ("tcp", 25, 25),
        ("udp", 1000, 2000),
        ("icmp", -1, -1),
        ("icmp", 8, -1),
        ("icmp", 3, 4),
        ("icmpv6", -1, -1),
        ("47", None, None),
        ("-1", None, None),
    ]
    rules = [
        rule("sg-all", direction, protocol, first, last, cidr=cidr)
        for protocol, first, last in forms
        for direction in ("ingress", "egress")
        for cidr in ("0.0.0.0/0", "10.9.0.0/16", "::/0")
    ]
    kernel.apply(with_groups(company(), RELAY, group("sg-all", *rules)))
    assert IPv4Network("10.9.0.0/16").with_prefixlen in kernel.run(
        *("nsenter", f"--net=/run/netns/{MAIN}", "nft", "list", "chain", "ip", "gatepost"),
        "sg-all-egress",
    )
