"""The firewall: a probe of every pair of hosts must equal the table of flows.

What passes is computed from the model's table for each stack, from nothing that AWS says.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from checks.suite import Check, Scene, expect
from model import flows, ports

PROBED = (21, ports.SSH, ports.SMTP, 53, ports.HTTP, 111, 143, ports.HTTPS, 465, 587, 993, 3306)
"""Mail and administration, and a few that a machine might have open unawares."""


@dataclass(frozen=True, kw_only=True)
class Party:
    """One end of a probe: `private` and `public` as the parts of the network see it."""

    name: str
    role: str
    stack: str
    private: str
    public: str


def checks(_: Scene) -> list[Check]:
    """The matrix, and the one flow that the seed forbids by its design."""
    return [matrix, branch_and_relay]


def matrix(scene: Scene) -> str:
    """a probe of every pair of hosts equals the table of flows"""
    parties = _parties(scene)
    firewalls = _firewalls(scene)

    def probe(source: Party) -> tuple[list[str], int]:
        targets = {
            (address, port): expected(scene, firewalls, source, target, address, port)
            for target in parties
            if target.name != source.name and target.role != flows.SHELL
            if {source.role, target.role} != {flows.INTERNET}
            for address in {target.private, target.public} - {""}
            for port in PROBED
        }
        answers = scene.deployment.connect(source.name, targets)
        wrong = [
            f"{source.name} → {address} port {port} should {'' if wanted else 'not '}pass"
            for (address, port), wanted in targets.items()
            if answers[address, port].passed != wanted
        ]
        return wrong, len(targets)

    # All at once: a probe is nothing but waiting for what does not answer.
    with ThreadPoolExecutor(max_workers=len(parties)) as pool:
        results = list(pool.map(probe, parties))
    wrong = [line for lines, _ in results for line in lines]
    expect(not wrong, f"{len(wrong)} differ: {'; '.join(wrong[:5])}")
    return f"{sum(count for _, count in results)} probes from {len(parties)} places"


def branch_and_relay(scene: Scene) -> str:
    """a branch cannot relay through the DMZ"""
    if scene.branch is None:
        return "no branch is up"
    targets = [(scene.relay.private_ip, ports.SMTP), (scene.relay.public_ip, ports.SMTP)]
    answers = scene.deployment.connect(scene.branch.name, targets)
    passed = [f"{address}:{port}" for (address, port), a in answers.items() if a.passed]
    expect(not passed, f"{scene.branch.name} reaches the relay at {passed}")
    return "neither its private nor its public address answers"


def expected(
    scene: Scene,
    firewalls: dict[str, flows.Firewall],
    source: Party,
    target: Party,
    address: str,
    port: int,
) -> bool:
    """Whether the table lets `source` reach `target` by `address` (its private or public one)."""
    private = address == target.private
    if private and not _reachable(source, target):
        return False
    seen = source.private if private else source.public
    if not seen:
        return False
    sender = firewalls.get(source.stack)
    receiver = firewalls.get(target.stack)
    same = private and source.stack == target.stack
    leaves = sender is None or any(
        flow.source == source.role
        and flow.port == port
        and _names(sender, flow.destination, target.role if same else "", address)
        for flow in sender.flows
    )
    enters = receiver is None or any(
        flow.destination == target.role
        and flow.port == port
        and _names(receiver, flow.source, source.role if same else "", seen)
        for flow in receiver.flows
    )
    return leaves and enters


def _names(firewall: flows.Firewall, place: str, role: str, address: str) -> bool:
    """Whether a flow's `place` means the host of that role, or a network that holds `address`."""
    if place in firewall.hosts:
        return place == role
    network: IPv4Network = firewall.places[place]
    return IPv4Address(address) in network


def _reachable(source: Party, target: Party) -> bool:
    """Whether there is a private way: one VPC, or the peering between the hub and a branch."""
    pair = {source.role, target.role}
    same_network = source.stack == target.stack != ""
    return same_network or pair == {flows.HUB, flows.BRANCH}


def _parties(scene: Scene) -> list[Party]:
    nat = scene.environment["nat"]
    parties = [
        Party(
            name=host.name,
            role=host.role,
            stack=host.stack,
            private=host.private_ip,
            public=host.public_ip,
        )
        for host in scene.hosts
    ]
    # AWS chooses the endpoint's address; the table names it by its group, so any one will do.
    parties += [
        Party(
            name=outputs["shell"],
            role=flows.SHELL,
            stack=stack,
            private=str(IPv4Network(outputs["network"])[-2]),
            public="",
        )
        for stack, outputs in scene.deployment.outputs().items()
    ]
    parties += [
        Party(name=host.name, role=flows.INTERNET, stack="", private="", public=host.address)
        for host in scene.outside
    ]
    # The hub has no address of its own on the Internet: it is seen as the NAT gateway's.
    return [_seen_as(party, nat) if party.role == flows.HUB else party for party in parties]


def _seen_as(party: Party, nat: str) -> Party:
    return Party(
        name=party.name, role=party.role, stack=party.stack, private=party.private, public=nat
    )


def _firewalls(scene: Scene) -> dict[str, flows.Firewall]:
    environment: dict[str, Any] = scene.environment
    found = {}
    for stack, outputs in scene.deployment.outputs().items():
        if outputs["kind"] == "environment":
            found[stack] = flows.environment_firewall(
                environment["outbound"], IPv4Network(environment["branches"])
            )
        else:
            found[stack] = flows.branch_firewall(IPv4Address(outputs["hub_address"]))
    return found
