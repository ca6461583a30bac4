"""What is broken on purpose, with real packets: a NAT gateway's memory, and port 25."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import pytest

from lab.faults import NAT_IDLE, Faults
from lab.internet.plan import INTERNET
from lab.world.model import World
from tests.lab.network.kernel import Kernel
from tests.lab.network.worlds import ADDRESS, BRANCH_HOST, HUB, NAT, PUBLIC, RELAY, company

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]

OUTSIDE = INTERNET.namespace


def named(world: World, names: dict[str, str]) -> World:
    return replace(
        world,
        instances=tuple(
            replace(item, name=names.get(item.id, item.name)) for item in world.instances
        ),
    )


def test_a_nat_gateway_resets_what_it_has_forgotten(kernel: Kernel) -> None:
    timeout = "net.netfilter.nf_conntrack_tcp_timeout_established"
    seconds = ("nsenter", f"--net=/run/netns/{NAT}", "sysctl", "-n", timeout)
    kernel.apply(company())
    assert kernel.run(*seconds) == f"{NAT_IDLE}\n"
    # On the gateway that is there already: the others' connections go on.
    kernel.apply(company(), Faults(nat_idle=1))
    with (
        kernel.listen(OUTSIDE, 7003) as server,
        kernel.connect(HUB, INTERNET.address, 7003) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            kernel.until(lambda: not kernel.connections(NAT))
            client.sendall(b"x")
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    kernel.apply(company())
    assert kernel.run(*seconds) == f"{NAT_IDLE}\n"


def test_a_nat_gateway_drops_what_comes_back_too_late(kernel: Kernel) -> None:
    kernel.apply(company(), Faults(nat_idle=1))
    with (
        kernel.listen(OUTSIDE, 7003) as server,
        kernel.connect(HUB, INTERNET.address, 7003) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            kernel.until(lambda: not kernel.connections(NAT))
            accepted.sendall(b"250 late")
            client.settimeout(1)
            with pytest.raises(TimeoutError):
                client.recv(1)
    kernel.apply(company())


def test_keepalive_keeps_a_silent_connection_in_a_nat_gateways_mind(kernel: Kernel) -> None:
    kernel.apply(company(), Faults(nat_idle=2))
    with (
        kernel.listen(OUTSIDE, 7003) as server,
        kernel.connect(HUB, INTERNET.address, 7003) as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        accepted, _ = server.accept()
        with accepted:
            client.settimeout(4)  # longer than the gateway's patience: nothing is said meanwhile
            with pytest.raises(TimeoutError):
                client.recv(1)
            accepted.sendall(b"250 late")
            assert client.recv(8) == b"250 late"
    kernel.apply(company())


@pytest.mark.parametrize("cut_off", ["all", "hub"])
def test_port_25_to_public_addresses_can_vanish(kernel: Kernel, cut_off: str) -> None:
    world = named(company(), {HUB: "hub", RELAY: "relay"})
    kernel.apply(world, Faults(port_25=(cut_off,)))
    assert kernel.blocked(HUB, INTERNET.address, 25)
    assert kernel.blocked(HUB, PUBLIC[RELAY], 25)
    assert kernel.reaches(HUB, INTERNET.address, 443)
    assert kernel.reaches(HUB, ADDRESS[RELAY], 25)
    assert kernel.reaches(BRANCH_HOST, ADDRESS[HUB], 25)
    assert kernel.reaches(OUTSIDE, PUBLIC[RELAY], 25)
    assert kernel.blocked(RELAY, INTERNET.address, 25) is (cut_off == "all")
    kernel.apply(world)
    assert kernel.reaches(HUB, INTERNET.address, 25)


def test_port_25_vanishes_without_a_word(kernel: Kernel) -> None:
    kernel.apply(company())
    with (
        kernel.listen(OUTSIDE, 25) as server,
        kernel.connect(RELAY, INTERNET.address, 25) as client,
    ):
        accepted, _ = server.accept()
        with accepted:
            kernel.apply(company(), Faults(port_25=("all",)))
            client.sendall(b"QUIT")
            accepted.settimeout(1)
            with pytest.raises(TimeoutError):
                accepted.recv(1)
    kernel.apply(company())
