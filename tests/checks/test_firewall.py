"""The firewall's checks against a company without machines: they pass, and they find faults."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from checks import firewall, packets
from checks.packets import Packet, arrived
from checks.suite import Failed, Scene
from checks.table import Table, parties
from lab.internet.plan import INTERNET
from lab.world.model import World
from tests.checks.company import Company, guarded
from tests.lab.network.kernel import Kernel
from tests.lab.network.worlds import (
    ADDRESS,
    BRANCH,
    BRANCH_HOST,
    CONNECT,
    HUB,
    MAIN,
    PUBLIC,
    RELAY,
    rule,
    with_acl,
    with_interface,
)

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]


@pytest.fixture(scope="module")
def company() -> Iterator[Company]:
    kernel = Kernel()
    yield Company(kernel)
    kernel.stop()


@pytest.fixture
def scene(company: Company) -> Scene:
    company.kernel.apply(guarded())
    return Scene(company)


def opened(world: World, name: str, direction: str, protocol: str, *ports: int) -> World:
    """`world` with one more rule in a group."""
    more = rule(name, direction, protocol, *ports)
    return replace(
        world,
        groups=tuple(
            replace(g, rules=(*g.rules, more)) if g.id == name else g for g in world.groups
        ),
    )


@pytest.mark.parametrize(
    ("source", "target", "address", "service", "allowed"),
    [
        (INTERNET.namespace, RELAY, PUBLIC[RELAY], ("tcp", 25), True),
        (INTERNET.namespace, RELAY, PUBLIC[RELAY], ("udp", 25), False),
        (INTERNET.namespace, RELAY, ADDRESS[RELAY], ("tcp", 25), False),
        (INTERNET.namespace, BRANCH_HOST, "198.51.100.12", ("tcp", 25), False),
        (RELAY, HUB, ADDRESS[HUB], ("tcp", 25), True),
        (RELAY, HUB, ADDRESS[HUB], ("tcp", 22), False),
        (RELAY, INTERNET.namespace, INTERNET.address, ("tcp", 443), True),
        (INTERNET.namespace, RELAY, PUBLIC[RELAY], ("tcp", 443), True),
        (INTERNET.namespace, RELAY, PUBLIC[RELAY], ("tcp", 10025), False),
        (RELAY, INTERNET.namespace, INTERNET.address, ("udp", 53), True),
        (HUB, INTERNET.namespace, INTERNET.address, ("udp", 53), False),
        (HUB, RELAY, ADDRESS[RELAY], ("tcp", 25), False),
        (HUB, RELAY, ADDRESS[RELAY], ("tcp", 10025), True),
        (HUB, RELAY, PUBLIC[RELAY], ("tcp", 10025), False),
        (HUB, INTERNET.namespace, INTERNET.address, ("tcp", 25), False),
        (HUB, INTERNET.namespace, INTERNET.address, ("tcp", 80), False),
        (HUB, BRANCH_HOST, ADDRESS[BRANCH_HOST], ("tcp", 25), True),
        (BRANCH_HOST, HUB, ADDRESS[HUB], ("tcp", 25), True),
        (BRANCH_HOST, RELAY, ADDRESS[RELAY], ("tcp", 25), False),
        (BRANCH_HOST, RELAY, PUBLIC[RELAY], ("tcp", 25), False),
        (CONNECT, HUB, ADDRESS[HUB], ("tcp", 22), True),
        (CONNECT, BRANCH_HOST, ADDRESS[BRANCH_HOST], ("tcp", 22), False),
    ],
)
def test_the_table(
    company: Company,
    source: str,
    target: str,
    address: str,
    service: tuple[str, int],
    allowed: bool,
) -> None:
    found = {party.name: party for party in parties(Scene(company))}
    table = Table.of(Scene(company))
    assert table.allows(found[source], found[target], address, service) is allowed


def test_all_is_well(company: Company, scene: Scene) -> None:
    with ExitStack() as stack:
        for host, port in ((RELAY, 25), (RELAY, 10025), (HUB, 25), (BRANCH_HOST, 25)):
            stack.enter_context(company.kernel.listen(host, port))
        # The second time the network still knows the connections of the first.
        for check in (*firewall.checks(scene), firewall.unasked_replies):
            check(scene)


@pytest.mark.parametrize(
    ("breaking", "words"),
    [
        (lambda w: opened(w, f"sg-{MAIN}-relay", "ingress", "udp", 123), "udp 123 should not pass"),
        (lambda w: opened(w, f"sg-{MAIN}-relay", "ingress", "tcp", 1024), "tcp 1024 should not"),
        (lambda w: opened(w, f"sg-{MAIN}-hub", "egress", "udp", 53), "udp 53 should not pass"),
        (lambda w: with_acl(w, "subnet-dmz"), "tcp 25 should pass"),
    ],
)
def test_the_matrix_sees_what_is_open_and_what_is_shut(
    company: Company, breaking: Callable[[World], World], words: str
) -> None:
    company.kernel.apply(breaking(guarded()))
    with pytest.raises(Failed, match=words):
        firewall.matrix(Scene(company))


@pytest.mark.parametrize(
    ("breaking", "words"),
    [
        (lambda w: opened(w, f"sg-{MAIN}-relay", "ingress", "tcp", 10025), "tcp 10025"),
        (lambda w: opened(w, f"sg-{MAIN}-relay", "ingress", "udp", 53), "udp 53"),
    ],
)
def test_what_must_never_pass_is_told(
    company: Company, breaking: Callable[[World], World], words: str
) -> None:
    company.kernel.apply(breaking(guarded()))
    with pytest.raises(Failed, match=f"must never pass and do: .*{INTERNET.namespace} → .*{words}"):
        firewall.must_never(Scene(company))


@pytest.mark.parametrize("liar", [RELAY, HUB, BRANCH_HOST])
def test_a_liar_is_found_when_its_source_is_not_checked(company: Company, liar: str) -> None:
    company.kernel.apply(with_interface(guarded(), liar, source_dest_check=False))
    with pytest.raises(Failed, match=f"heard {liar} as "):
        firewall.false_sources(Scene(company))


@pytest.mark.parametrize(
    ("group", "direction", "protocol", "words"),
    [
        (f"sg-{MAIN}-relay", "ingress", "tcp", f"{RELAY} got unasked from internet: tcp 443"),
        (f"sg-{MAIN}-relay", "ingress", "udp", f"{RELAY} got unasked from internet: udp 53"),
        (f"sg-{BRANCH}-branch", "ingress", "udp", None),
    ],
)
def test_an_unasked_reply_is_found(
    company: Company, group: str, direction: str, protocol: str, words: str | None
) -> None:
    company.kernel.apply(opened(guarded(), group, direction, protocol, 1024, 65535))
    if words is None:
        # The sender's own group still keeps it.
        firewall.unasked_replies(Scene(company))
        return
    with pytest.raises(Failed, match=words):
        firewall.unasked_replies(Scene(company))


def test_replies_that_could_not_be_tried_are_told(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firewall, "_SERVED", ())
    with pytest.raises(Failed, match=r"^no pair of hosts was found to try it with$"):
        firewall.unasked_replies(scene)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never comes is not waited for long."""
    monkeypatch.setattr(packets, "LIMIT", 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_control_that_does_not_arrive_is_a_failure(scene: Scene) -> None:
    lost = Packet(
        protocol="tcp",
        source=ADDRESS[RELAY],
        source_port=40000,
        destination=ADDRESS[HUB],
        destination_port=26,
    )
    with pytest.raises(Failed, match=f"{HUB} did not get what {RELAY} may send it"):
        arrived(scene, RELAY, HUB, [], lost)


@pytest.mark.usefixtures("impatient")
def test_a_host_that_cannot_send_is_named(scene: Scene) -> None:
    bad = Packet(
        protocol="tcp",
        source="nowhere",
        source_port=1,
        destination=ADDRESS[HUB],
        destination_port=25,
    )
    with pytest.raises(Failed, match=f"on {RELAY}: .*illegal IP address"):
        arrived(scene, RELAY, HUB, [], bad)
