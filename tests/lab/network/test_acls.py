"""Network ACLs: as text, and with real packets through the network of a small company."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from lab.internet.plan import CLOUD, INTERNET
from lab.network.acls import compile_acl_rule, compile_acls
from lab.network.errors import NetworkError
from lab.network.names import METADATA, RESOLVER, TIME
from lab.network.ports import find_ports
from lab.world.model import AclRule, World
from tests.lab.network.kernel import Kernel
from tests.lab.network.worlds import (
    ADDRESS,
    BRANCH_HOST,
    CONNECT,
    HUB,
    MAIN,
    PUBLIC,
    RELAY,
    S3_ENDPOINT,
    S3_LIST,
    WEB,
    acl_rule,
    company,
    group,
    route,
    rule,
    with_acl,
    with_groups,
    with_routes,
)

OUTSIDE = INTERNET.namespace
DMZ, INSIDE, NAT_SUBNET = "subnet-dmz", "subnet-inside", "subnet-nat"
INSIDE_CIDR = "10.0.2.0/24"
MAIL_IN = acl_rule(100, "ingress", "tcp", 25)
REPLIES_OUT = acl_rule(100, "egress", "tcp", 1024, 65535)
REPLIES_IN = acl_rule(110, "ingress", "tcp", 1024, 65535)
S3_ROUTE = route(S3_LIST, "gateway_endpoint", S3_ENDPOINT)
ALL = (acl_rule(100, "ingress"), acl_rule(100, "egress"))


def real(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that sends packets through a network of its own."""
    needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
    return pytest.mark.lab(needs_root(test))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (acl_rule(1, "ingress"), "accept"),
        (acl_rule(1, "ingress", allow=False), "drop"),
        (acl_rule(1, "ingress", cidr="10.0.0.0/8"), "ip saddr { 10.0.0.0/8 } accept"),
        (acl_rule(1, "egress", cidr="10.0.0.0/8"), "ip daddr { 10.0.0.0/8 } accept"),
        (acl_rule(1, "egress", "tcp", 1024, 65535), "tcp dport 1024-65535 accept"),
        (acl_rule(1, "egress", "udp", 53), "udp dport 53 accept"),
        (acl_rule(1, "egress", "icmp", 3, 4), "icmp type 3 icmp code 4 accept"),
        (acl_rule(1, "egress", "icmp", 3, -1), "icmp type 3 accept"),
        (acl_rule(1, "egress", "47", allow=False), "meta l4proto 47 drop"),
    ],
)
def test_a_rule_as_text(given: AclRule, expected: str) -> None:
    assert compile_acl_rule(given) == f'{expected} comment "rule 1"'


def test_rules_of_ipv6_match_nothing_here() -> None:
    assert compile_acl_rule(acl_rule(101, "egress", cidr="::/0")) is None
    assert compile_acl_rule(acl_rule(101, "egress", "icmpv6")) is None


def test_a_subnet_has_one_acl() -> None:
    world = with_acl(company(), DMZ)
    twice = replace(world, network_acls=(*world.network_acls, *company().network_acls))
    with pytest.raises(NetworkError, match="subnet-dmz has two network ACLs"):
        list(compile_acls(twice, twice.vpcs[0], find_ports(twice)))


@real
def test_an_acl_without_rules_shuts_its_subnet_but_not_the_inside_of_it(kernel: Kernel) -> None:
    kernel.apply(with_routes(with_acl(company(), DMZ), "rtb-public", S3_ROUTE))
    assert kernel.reaches(RELAY, ADDRESS[WEB], 25)
    for target in (ADDRESS[HUB], ADDRESS[BRANCH_HOST], INTERNET.address, CLOUD.address):
        assert kernel.blocked(RELAY, target, 25)
    # Out by the Internet gateway and in again: the neighbour is then outside of the subnet.
    assert kernel.blocked(RELAY, PUBLIC[WEB], 25)
    assert kernel.blocked(HUB, ADDRESS[RELAY], 25)
    assert kernel.blocked(BRANCH_HOST, ADDRESS[RELAY], 25)
    assert kernel.blocked(OUTSIDE, PUBLIC[RELAY], 25)
    assert kernel.reaches(HUB, INTERNET.address, 25)


@real
def test_a_subnet_that_no_acl_names_is_open(kernel: Kernel) -> None:
    kernel.apply(replace(company(), network_acls=()))
    assert kernel.reaches(HUB, ADDRESS[RELAY], 25)


@real
@pytest.mark.parametrize(
    ("rules", "passes"),
    [
        ((MAIL_IN, REPLIES_OUT), True),
        ((MAIL_IN,), False),
        ((REPLIES_OUT,), False),
        ((acl_rule(100, "ingress", "tcp", 25, cidr=INSIDE_CIDR), REPLIES_OUT), True),
        ((acl_rule(100, "ingress", "tcp", 25, cidr="10.0.3.0/24"), REPLIES_OUT), False),
        ((acl_rule(100, "ingress", "udp", 25), REPLIES_OUT), False),
    ],
)
def test_requests_and_replies_need_a_rule_each(
    kernel: Kernel, rules: tuple[AclRule, ...], passes: bool
) -> None:
    kernel.apply(with_acl(company(), DMZ, *rules))
    answered = kernel.reaches if passes else kernel.blocked
    assert answered(HUB, ADDRESS[RELAY], 25)
    assert kernel.blocked(HUB, ADDRESS[RELAY], 26)


@real
def test_both_subnets_must_let_it_pass(kernel: Kernel) -> None:
    mail_out = acl_rule(100, "egress", "tcp", 25)
    dmz = with_acl(company(), DMZ, MAIL_IN, REPLIES_OUT)
    kernel.apply(with_acl(dmz, INSIDE, mail_out))
    assert kernel.blocked(HUB, ADDRESS[RELAY], 25)
    kernel.apply(with_acl(dmz, INSIDE, mail_out, REPLIES_IN))
    assert kernel.reaches(HUB, ADDRESS[RELAY], 25)
    kernel.apply(with_acl(dmz, INSIDE, REPLIES_IN))
    assert kernel.blocked(HUB, ADDRESS[RELAY], 25)


@real
def test_the_lowest_number_that_matches_decides(kernel: Kernel) -> None:
    def ordered(allow: int, deny: int) -> World:
        rules = (
            acl_rule(allow, "ingress", "tcp", 25),
            acl_rule(deny, "ingress", "tcp", 20, 30, allow=False),
            acl_rule(500, "ingress"),
            acl_rule(100, "egress"),
        )
        return with_acl(company(), DMZ, *rules)

    kernel.apply(ordered(allow=90, deny=100))
    assert kernel.reaches(HUB, ADDRESS[RELAY], 25)
    assert kernel.blocked(HUB, ADDRESS[RELAY], 26)
    assert kernel.reaches(HUB, ADDRESS[RELAY], 31)
    kernel.apply(ordered(allow=100, deny=90))
    assert kernel.blocked(HUB, ADDRESS[RELAY], 25)


@real
def test_security_groups_still_judge_what_an_acl_lets_pass(kernel: Kernel) -> None:
    only_25 = group("sg-25", rule("sg-25", "ingress", "tcp", 25))
    kernel.apply(with_acl(with_groups(company(), RELAY, only_25), DMZ, *ALL))
    assert kernel.reaches(HUB, ADDRESS[RELAY], 25)
    assert kernel.blocked(HUB, ADDRESS[RELAY], 26)


@real
def test_connections_under_way_are_cut(kernel: Kernel) -> None:
    kernel.apply(company())
    with kernel.listen(RELAY, 25) as server, kernel.connect(HUB, ADDRESS[RELAY], 25) as client:
        accepted, _ = server.accept()
        with accepted:
            kernel.apply(with_acl(company(), DMZ, REPLIES_OUT))
            accepted.settimeout(0.3)
            client.sendall(b"lost")
            with pytest.raises(TimeoutError):
                accepted.recv(10)


@real
def test_elastic_ips_are_translated_outside_of_the_subnet(kernel: Kernel) -> None:
    there = f"{INTERNET.address}/32"
    rules = (
        acl_rule(100, "ingress", "tcp", 25, cidr=there),
        acl_rule(100, "egress", "tcp", 1024, 65535, cidr=there),
    )
    kernel.apply(with_acl(company(), DMZ, *rules))
    assert kernel.reaches(OUTSIDE, PUBLIC[RELAY], 25)
    assert kernel.blocked(OUTSIDE, PUBLIC[RELAY], 26)
    assert kernel.blocked(HUB, ADDRESS[RELAY], 25)


@real
@pytest.mark.parametrize("missing", ["ingress request", "egress request", "ingress reply", None])
def test_a_nat_gateway_is_behind_its_subnets_acl(kernel: Kernel, missing: str | None) -> None:
    world = with_groups(company(), HUB, group("sg-out", rule("sg-out", "egress")))
    rules = {
        "ingress request": acl_rule(100, "ingress", "tcp", 25, cidr=INSIDE_CIDR),
        "egress request": acl_rule(100, "egress", "tcp", 25, cidr=f"{INTERNET.address}/32"),
        "ingress reply": acl_rule(110, "ingress", "tcp", 1024, 65535),
        "egress reply": acl_rule(110, "egress", "tcp", 1024, 65535, cidr=INSIDE_CIDR),
    }
    kept = [item for name, item in rules.items() if name != missing]
    kernel.apply(with_acl(world, NAT_SUBNET, *kept))
    answered = kernel.blocked if missing else kernel.reaches
    assert answered(HUB, INTERNET.address, 25)


@real
def test_a_connect_endpoint_is_behind_its_subnets_acl(kernel: Kernel) -> None:
    kernel.apply(with_acl(company(), INSIDE))
    assert kernel.reaches(CONNECT, ADDRESS[HUB], 22)
    assert kernel.blocked(CONNECT, ADDRESS[RELAY], 22)
    kernel.apply(with_acl(company(), INSIDE, acl_rule(1, "egress", "tcp", 22), REPLIES_IN))
    assert kernel.reaches(CONNECT, ADDRESS[RELAY], 22)


@real
def test_a_peer_can_be_denied(kernel: Kernel) -> None:
    no_branch = acl_rule(90, "ingress", cidr="10.1.0.0/16", allow=False)
    kernel.apply(with_acl(company(), DMZ, no_branch, *ALL))
    assert kernel.blocked(BRANCH_HOST, ADDRESS[RELAY], 25)
    assert kernel.blocked(RELAY, ADDRESS[BRANCH_HOST], 25)
    assert kernel.reaches(BRANCH_HOST, ADDRESS[HUB], 25)


@real
def test_a_gateway_endpoint_is_outside_of_the_subnet(kernel: Kernel) -> None:
    world = with_routes(company(), "rtb-inside", S3_ROUTE)
    https = acl_rule(100, "egress", "tcp", 443)
    kernel.apply(with_acl(world, INSIDE, https))
    assert kernel.blocked(HUB, CLOUD.address, 443)
    kernel.apply(with_acl(world, INSIDE, https, REPLIES_IN))
    assert kernel.reaches(HUB, CLOUD.address, 443)


@real
@pytest.mark.parametrize("address", [METADATA, RESOLVER, TIME, "10.0.0.2", "10.0.1.1"])
def test_the_vpcs_own_services_are_out_of_its_reach(kernel: Kernel, address: str) -> None:
    kernel.apply(with_acl(company(), DMZ))
    assert kernel.source_seen(RELAY, MAIN, address) == ADDRESS[RELAY]


@real
@pytest.mark.parametrize("told", [False, True])
def test_an_icmp_error_needs_a_rule_of_its_own(kernel: Kernel, told: bool) -> None:
    asked = (acl_rule(100, "egress", "udp", 53), acl_rule(100, "ingress", "udp", 1024, 65535))
    unreachable = (acl_rule(110, "ingress", "icmp", 3, -1),) if told else ()
    kernel.apply(with_acl(company(), INSIDE, *asked, *unreachable))
    with kernel.inside(HUB):
        asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with asker:
        asker.connect((ADDRESS[RELAY], 53))
        asker.settimeout(5 if told else 0.3)
        asker.send(b"?")
        with pytest.raises(ConnectionRefusedError if told else TimeoutError):
            asker.recv(10)


@real
def test_fragments_are_judged_as_the_whole_packet(kernel: Kernel) -> None:
    kernel.apply(with_acl(company(), DMZ, acl_rule(100, "ingress", "udp", 7000)))
    with kernel.udp(RELAY, 7000) as receiver, kernel.udp(HUB, 4000) as sender:
        sender.sendto(b"x" * 4000, (ADDRESS[RELAY], 7000))
        assert len(receiver.recv(5000)) == 4000
