"""Going from one network to the next: what stays, what goes, and what a failure leaves."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lab.internet.plan import HOSTS, INTERNET
from lab.network.names import INET
from lab.world.model import World
from tests.lab.network.kernel import Kernel
from tests.lab.network.worlds import (
    ADDRESS,
    BRANCH,
    BRANCH_HOST,
    CONNECT,
    HUB,
    MAIN,
    NAT,
    PUBLIC,
    RELAY,
    THIRD,
    THIRD_HOST,
    WEB,
    company,
    group,
    instance,
    rule,
    with_groups,
    with_interface,
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

NEW = "i-new"


@contextmanager
def connection(
    kernel: Kernel, source: str, target: str, address: str
) -> Generator[tuple[socket.socket, socket.socket]]:
    """Both ends of a TCP connection."""
    with kernel.listen(target, 7100) as server, kernel.connect(source, address, 7100) as client:
        accepted, _ = server.accept()
        accepted.settimeout(5)
        with accepted:
            yield client, accepted


def assert_alive(ends: tuple[socket.socket, socket.socket]) -> None:
    client, server = ends
    for sender, receiver in ((client, server), (server, client)):
        sender.sendall(b"alive")
        assert receiver.recv(10) == b"alive"


def namespaces_of(world: World) -> set[str]:
    return {
        INET,
        *(host.namespace for host in HOSTS),
        *(vpc.id for vpc in world.vpcs),
        *(item.id for item in world.instances),
        *(item.id for item in world.connect_endpoints),
        *(item.id for item in world.nat_gateways),
    }


def links_here() -> str:
    return subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout


def without(world: World, owner: str) -> World:
    return replace(world, instances=tuple(item for item in world.instances if item.id != owner))


def test_there_is_a_namespace_for_each_part(kernel: Kernel) -> None:
    kernel.apply(company())
    assert kernel.namespaces() == namespaces_of(company())
    assert {MAIN, BRANCH, THIRD, RELAY, NAT, CONNECT, "inet", "cloud"} <= kernel.namespaces()


def test_an_instance_has_its_mac_address_and_no_ip_address(kernel: Kernel) -> None:
    kernel.close()
    kernel.apply(company(), configure=False)
    shown = kernel.run("ip", "-n", RELAY, "addr", "show", "dev", "eth0")
    assert company().instances[0].interface.mac in shown
    assert "state UP" in shown
    assert "inet " not in shown


def test_connections_outlive_an_apply_that_does_not_concern_them(kernel: Kernel) -> None:
    kernel.apply(company())
    other = with_groups(company(), THIRD_HOST, group("sg-other", vpc=THIRD))
    with (
        connection(kernel, INTERNET.namespace, RELAY, PUBLIC[RELAY]) as inward,
        connection(kernel, HUB, INTERNET.namespace, INTERNET.address) as outward,
        connection(kernel, BRANCH_HOST, HUB, ADDRESS[HUB]) as across,
    ):
        for world in (company(), other, without(other, WEB), company()):
            kernel.apply(world)
            for ends in (inward, outward, across):
                assert_alive(ends)


def test_a_rule_taken_away_stops_new_connections_only(kernel: Kernel) -> None:
    before = with_groups(company(), RELAY, group("sg-mx", rule("sg-mx", "ingress", "tcp", 7100)))
    after = with_groups(company(), RELAY, group("sg-mx"))
    kernel.apply(before)
    with connection(kernel, WEB, RELAY, ADDRESS[RELAY]) as ends:
        kernel.apply(after)
        assert_alive(ends)
        assert kernel.blocked(WEB, ADDRESS[RELAY], 7100)


def test_an_elastic_ip_taken_away_ends_its_connections(kernel: Kernel) -> None:
    kernel.apply(company())
    with connection(kernel, INTERNET.namespace, RELAY, PUBLIC[RELAY]) as (client, server):
        kernel.apply(with_interface(company(), RELAY, public_ip=None))
        server.settimeout(0.3)
        client.sendall(b"lost")
        with pytest.raises(TimeoutError):
            server.recv(10)


def test_an_instance_goes_and_another_comes(kernel: Kernel) -> None:
    kernel.apply(company())
    gone = without(company(), WEB)
    new = instance(NEW)
    with connection(kernel, RELAY, HUB, ADDRESS[HUB]) as ends:
        kernel.apply(gone)
        assert WEB not in kernel.namespaces()
        assert kernel.blocked(RELAY, ADDRESS[WEB], 25)
        kernel.apply(replace(gone, instances=(*gone.instances, new)))
        assert kernel.reaches(RELAY, new.interface.private_ip, 25)
        assert kernel.source_seen(NEW, RELAY, ADDRESS[RELAY]) == new.interface.private_ip
        assert_alive(ends)


def test_an_instance_is_replaced_at_the_same_address(kernel: Kernel) -> None:
    kernel.apply(company())
    new = instance(NEW)
    same = replace(new.interface, private_ip=ADDRESS[WEB], public_ip=PUBLIC[WEB])
    gone = without(company(), WEB)
    kernel.apply(replace(gone, instances=(*gone.instances, replace(new, interface=same))))
    assert kernel.source_seen(INTERNET.namespace, NEW, PUBLIC[WEB]) == INTERNET.address
    kernel.apply(company())
    assert kernel.source_seen(INTERNET.namespace, WEB, PUBLIC[WEB]) == INTERNET.address


def test_a_changed_interface_gets_a_new_link(kernel: Kernel) -> None:
    kernel.apply(company())
    kernel.apply(with_interface(company(), WEB, mac="06:00:00:00:01:01"))
    assert "06:00:00:00:01:01" in kernel.run("ip", "-n", WEB, "link", "show", "dev", "eth0")
    assert kernel.source_seen(RELAY, WEB, ADDRESS[WEB]) == ADDRESS[RELAY]


def broken_link(world: World) -> World:
    new = instance(NEW)
    bad = replace(new, interface=replace(new.interface, mac="no-mac"))
    return replace(world, instances=(*world.instances, bad))


def broken_filter(world: World) -> World:
    return with_groups(world, RELAY, group("sg-bad", rule("sg-bad", "egress", "no-protocol")))


def broken_route(world: World) -> World:
    """The Internet cannot have one address in two places."""
    vpcs = tuple(replace(vpc, internet_gateway=f"igw-{vpc.id}") for vpc in world.vpcs)
    return replace(with_interface(world, BRANCH_HOST, public_ip=PUBLIC[RELAY]), vpcs=vpcs)


@pytest.mark.parametrize("breaking", [broken_link, broken_filter, broken_route])
def test_a_failure_puts_the_former_network_back(
    kernel: Kernel, breaking: Callable[[World], World]
) -> None:
    kernel.apply(company())
    before = kernel.namespaces()
    with connection(kernel, INTERNET.namespace, RELAY, PUBLIC[RELAY]) as ends:
        with pytest.raises(AssertionError, match=r"CommandError: in .* failed: "):
            kernel.apply(breaking(without(company(), WEB)))
        assert kernel.namespaces() == before
        assert_alive(ends)
        kernel.apply(company())
        assert kernel.source_seen(RELAY, WEB, ADDRESS[WEB]) == ADDRESS[RELAY]


def test_a_failure_at_the_start_leaves_nothing(kernel: Kernel) -> None:
    kernel.close()
    with pytest.raises(AssertionError, match="no-mac"):
        kernel.apply(with_interface(company(), WEB, mac="no-mac"))
    assert kernel.namespaces() == set()
    kernel.apply(company())
    assert kernel.reaches(RELAY, ADDRESS[WEB], 25)


def test_close_leaves_nothing_and_the_host_is_never_touched(kernel: Kernel) -> None:
    kernel.close()
    before = links_here()
    kernel.apply(company())
    assert links_here() == before
    kernel.close()
    assert kernel.namespaces() == set()
    assert links_here() == before
    kernel.close()


def test_two_networks_with_equal_addresses_stand_side_by_side(kernel: Kernel) -> None:
    other = Kernel()
    try:
        kernel.apply(company())
        other.apply(without(company(), WEB))
        assert kernel.reaches(RELAY, ADDRESS[WEB], 25)
        assert other.blocked(RELAY, ADDRESS[WEB], 25)
    finally:
        other.stop()
