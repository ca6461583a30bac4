"""The table of flows as an answer: who may reach whom, at which address and port.

It is computed from the model's flows for each stack, from nothing that AWS says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from checks.suite import Scene
from model import addressing, flows, ports
from model.addressing import ZonePlan
from model.flows import Firewall
from model.settings import ZONES

Service = tuple[str, int]
"""A protocol (`tcp` or `udp`) and a port."""


@dataclass(frozen=True, kw_only=True)
class Party:
    """One end of a connection: `private` and `public` as the parts of the network see it."""

    name: str
    role: str
    stack: str
    private: str
    public: str


def parties(scene: Scene) -> list[Party]:
    """Every mail host, every stack's shell endpoint and the hosts on the Internet."""
    stacks = scene.deployment.outputs()
    hosts = [
        Party(
            name=host.name,
            role=host.role,
            stack=host.stack,
            private=host.private_ip,
            # One without an address of its own on the Internet is seen as its NAT gateway.
            public=host.public_ip or stacks[host.stack]["nat"],
        )
        for host in scene.hosts
    ]
    # AWS chooses the endpoint's address; the table names it by its group, so any one will do.
    shells = [
        Party(
            name=outputs["shell"],
            role=flows.SHELL,
            stack=stack,
            private=str(IPv4Network(outputs["network"])[-2]),
            public="",
        )
        for stack, outputs in stacks.items()
        if outputs["kind"] != "office"
    ]
    outside = [
        Party(name=host.name, role=flows.INTERNET, stack="", private="", public=host.address)
        for host in scene.outside
    ]
    return [*hosts, *shells, *outside]


def zones(scene: Scene) -> tuple[ZonePlan, ...]:
    """The environment's subnets for all zones there may be: they hold those of fewer, too."""
    network = IPv4Network(scene.environment["network"])
    return addressing.environment_plan(network, ZONES[1], []).zones


@dataclass(frozen=True, kw_only=True)
class Table:
    """The firewalls of all stacks, by stack; `dmz` are the subnets that the DMZ's ACL guards."""

    firewalls: dict[str, Firewall]
    dmz: tuple[IPv4Network, ...] = ()

    @classmethod
    def of(cls, scene: Scene) -> Table:
        """The table of a deployment."""
        environment = scene.environment
        found = {}
        for stack, outputs in scene.deployment.outputs().items():
            if outputs["kind"] == "environment":
                found[stack] = flows.environment_firewall(
                    environment["outbound"],
                    IPv4Network(environment["branches"]),
                    environment["smarthost_port"],
                    {name: IPv4Address(address) for name, address in environment["legacy"].items()},
                )
            elif outputs["kind"] == "branch":
                found[stack] = flows.branch_firewall(IPv4Address(outputs["hub_address"]))
        return cls(firewalls=found, dmz=tuple(zone.dmz for zone in zones(scene)))

    def allows(self, source: Party, target: Party, address: str, service: Service) -> bool:
        """Whether `source` may reach `target` by `address`, its private or its public one."""
        private = address == target.private
        if private and not (_reachable(source, target) and self._crosses(source, target, service)):
            return False
        # By the Internet everyone is but a public address.
        seen = source if private else replace(source, private=source.public, stack="")
        return (
            seen.private != ""
            and self._leaves(source, target, address, service)
            and self.admits(seen, target, service)
        )

    def _crosses(self, source: Party, target: Party, service: Service) -> bool:
        """Whether the DMZ's ACL lets a relay's connection out: nothing but mail for the hub goes
        inwards.

        It matters between relays alone, whose groups take each other for anybody on the Internet;
        within one subnet no ACL is asked.
        """
        mail_inside = target.role == flows.HUB and service == ("tcp", ports.SMTP)
        if source.role != flows.RELAY or mail_inside:
            return True
        ends = [IPv4Address(party.private) for party in (source, target)]
        return any(all(end in subnet for end in ends) for subnet in self.dmz)

    def _leaves(self, source: Party, target: Party, address: str, service: Service) -> bool:
        """Whether the source's own rules let it out to the address."""
        firewall = self.firewalls.get(source.stack)
        inside = address == target.private and source.stack == target.stack
        return firewall is None or any(
            flow.source == source.role
            and (flow.protocol, flow.port) == service
            and _names(firewall, flow.destination, target.role if inside else "", address)
            for flow in firewall.flows
        )

    def admits(self, source: Party, target: Party, service: Service) -> bool:
        """Whether the target's own rules let in what comes from the source's private address."""
        firewall = self.firewalls.get(target.stack)
        role = source.role if source.stack == target.stack else ""
        return firewall is None or any(
            flow.destination == target.role
            and (flow.protocol, flow.port) == service
            and _names(firewall, flow.source, role, source.private)
            for flow in firewall.flows
        )


def _names(firewall: Firewall, place: str, role: str, address: str) -> bool:
    """Whether a flow's `place` means the host of that role, or a network that holds `address`."""
    if place in firewall.hosts:
        return place == role
    network: IPv4Network = firewall.places[place]
    return IPv4Address(address) in network


def _reachable(source: Party, target: Party) -> bool:
    """Whether there is a private way: one VPC, or the link between the hub and a branch."""
    pair = {source.role, target.role}
    same_network = source.stack == target.stack != ""
    return same_network or pair == {flows.HUB, flows.BRANCH}
