"""Probes of TCP and UDP ports with real packets."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading

import pytest

from lab.network.probe import Target
from tests.lab.network.kernel import Kernel
from tests.lab.network.worlds import (
    ADDRESS,
    HUB,
    RELAY,
    THIRD_HOST,
    acl_rule,
    company,
    group,
    rule,
    with_acl,
    with_groups,
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]


def probed(kernel: Kernel, source: str, *targets: Target) -> list[str]:
    enter = ("nsenter", f"--net=/run/netns/{source}")
    text = json.dumps(targets)
    return json.loads(kernel.run(*enter, sys.executable, "-m", "lab.network.probe", text=text))


def answer(server: socket.socket) -> None:
    data, where = server.recvfrom(10)
    server.sendto(data, where)


def test_open_refused_and_nothing(kernel: Kernel) -> None:
    both = [rule("sg-x", "ingress", protocol, 1, 200) for protocol in ("tcp", "udp")]
    kernel.apply(with_groups(company(), RELAY, group("sg-x", *both)))
    relay = ADDRESS[RELAY]
    with kernel.listen(RELAY, 25), kernel.udp(RELAY, 53) as names:
        replying = threading.Thread(target=answer, args=(names,))
        replying.start()
        found = probed(
            kernel,
            HUB,
            *(("tcp", relay, port) for port in (25, 26, 201)),
            *(("udp", relay, port) for port in (53, 54, 201)),
        )
        replying.join()
    assert found == ["open", "refused", "nothing"] * 2


def test_a_udp_port_that_says_nothing_looks_filtered(kernel: Kernel) -> None:
    kernel.apply(company())
    with kernel.udp(RELAY, 123) as silent:
        assert probed(kernel, HUB, ("udp", ADDRESS[RELAY], 123)) == ["nothing"]
        assert silent.recv(10) == b"?"


def test_refusals_of_udp_need_no_group_but_an_acl(kernel: Kernel) -> None:
    only_out = group("sg-x", rule("sg-x", "egress", "udp", 53))
    world = with_groups(company(), HUB, only_out)
    kernel.apply(world)
    target = ("udp", ADDRESS[RELAY], 53)
    assert probed(kernel, HUB, target) == ["refused"]
    kernel.apply(
        with_acl(world, "subnet-inside", acl_rule(1, "egress"), acl_rule(1, "ingress", "udp"))
    )
    assert probed(kernel, HUB, target) == ["nothing"]


def test_one_more_refusal_than_the_kernel_gives_at_once(kernel: Kernel) -> None:
    kernel.apply(company())
    targets = [("udp", ADDRESS[THIRD_HOST], port) for port in range(100, 107)]
    assert probed(kernel, HUB, *targets) == ["refused"] * len(targets)


def test_more_ports_than_descriptors(kernel: Kernel) -> None:
    kernel.apply(company())
    targets = [("tcp", ADDRESS[THIRD_HOST], port) for port in range(100, 300)]
    enter = ("nsenter", f"--net=/run/netns/{HUB}", "prlimit", "--nofile=32")
    argv = (*enter, sys.executable, "-m", "lab.network.probe")
    assert json.loads(kernel.run(*argv, text=json.dumps(targets))) == ["refused"] * len(targets)


def test_no_route_is_nothing_and_the_probes_own_failure_is_no_answer(kernel: Kernel) -> None:
    kernel.apply(company())
    without_routes = ("unshare", "--net", sys.executable, "-m", "lab.network.probe")
    for protocol in ("tcp", "udp"):
        target = json.dumps([(protocol, ADDRESS[RELAY], 25)])
        assert json.loads(kernel.run(*without_routes, text=target)) == ["nothing"]
    broadcast = json.dumps([("udp", "255.255.255.255", 25)])
    enter = ("nsenter", f"--net=/run/netns/{HUB}")
    done = kernel.attempt(*enter, sys.executable, "-m", "lab.network.probe", text=broadcast)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr
    assert "while probing udp 255.255.255.255 25" in done.stderr
