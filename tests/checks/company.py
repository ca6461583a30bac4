"""A company whose groups are those of the table of flows, as a deployment without machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from checks.deployment import Answer, Fences, OutsideHost, Result, Target
from cli.fences import fences
from lab.internet.plan import MAIL_HOSTS
from lab.world.model import ConnectEndpoint, SecurityGroup, World
from model import flows
from tests.lab.network.kernel import Kernel
from tests.lab.network.worlds import (
    ADDRESS,
    BRANCH,
    BRANCH_HOST,
    CONNECT,
    HUB,
    MAIN,
    NAT_PUBLIC,
    PUBLIC,
    RELAY,
    THIRD_HOST,
    WEB,
    company,
    group,
    interface,
    route,
    rule,
    with_interface,
    with_routes,
)

BRANCHES = IPv4Network("10.1.0.0/16")
BRANCH_PUBLIC = "198.51.100.12"
BRANCH_CONNECT = "eice-branch"
ENVIRONMENT = flows.environment_firewall("relay", BRANCHES)
BRANCH_FIREWALL = flows.branch_firewall(IPv4Address(ADDRESS[HUB]))


def groups(vpc: str, firewall: flows.Firewall) -> tuple[SecurityGroup, ...]:
    """The groups of a firewall's hosts, one rule for each flow and side."""

    def peer(place: str) -> dict[str, Any]:
        if place in firewall.hosts:
            return {"group": f"sg-{vpc}-{place}"}
        return {"cidr": str(firewall.places[place])}

    def rules(host: str) -> Iterable[Any]:
        name = f"sg-{vpc}-{host}"
        for flow in firewall.flows:
            if flow.source == host:
                yield rule(name, "egress", flow.protocol, flow.port, **peer(flow.destination))
            if flow.destination == host:
                yield rule(name, "ingress", flow.protocol, flow.port, **peer(flow.source))

    return tuple(group(f"sg-{vpc}-{host}", *rules(host), vpc=vpc) for host in firewall.hosts)


def guarded() -> World:
    """The company with the groups of the table, and a branch with a way out of its own."""
    world = company()
    environment, branch = groups(MAIN, ENVIRONMENT), groups(BRANCH, BRANCH_FIREWALL)
    door = replace(
        interface(BRANCH_CONNECT, BRANCH, "subnet-branch", (f"sg-{BRANCH}-shell",)),
        id="eni-branchdoor1",
        private_ip="10.1.1.20",
    )
    main_door = replace(world.connect_endpoints[0].interface, groups=(f"sg-{MAIN}-shell",))
    world = replace(
        world,
        groups=(*world.groups, *environment, *branch),
        instances=tuple(i for i in world.instances if i.id not in (WEB, THIRD_HOST)),
        connect_endpoints=(
            ConnectEndpoint(id=CONNECT, interface=main_door),
            ConnectEndpoint(id=BRANCH_CONNECT, interface=door),
        ),
        vpcs=tuple(replace(v, internet_gateway=v.internet_gateway or "igw-2") for v in world.vpcs),
    )
    for host, vpc, role in ((RELAY, MAIN, "relay"), (HUB, MAIN, "hub")):
        world = with_interface(world, host, groups=(f"sg-{vpc}-{role}",))
    world = with_interface(
        world, BRANCH_HOST, groups=(f"sg-{BRANCH}-branch",), public_ip=BRANCH_PUBLIC
    )
    out = route("0.0.0.0/0", "internet_gateway", "igw-2")
    # A branch has a way out of its own; the DMZ has no way to it.
    gone = {("rtb-branch", "0.0.0.0/0"), ("rtb-public", str(BRANCHES))}
    tables = tuple(
        replace(t, routes=tuple(r for r in t.routes if (t.id, r.destination) not in gone))
        for t in world.route_tables
    )
    hub = route("10.0.0.0/16", "peering", "pcx-00000000002")
    return with_routes(replace(world, route_tables=tables), "rtb-branch", out, hub)


class Company:
    """The company as checks.deployment.Deployment."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def outputs(self) -> dict[str, dict[str, Any]]:
        """As the stacks would tell it."""
        return {
            "dev": {
                "kind": "environment",
                "outbound": "relay",
                "smarthost_port": 587,
                "network": "10.0.0.0/16",
                "branches": str(BRANCHES),
                "nat": NAT_PUBLIC,
                "legacy": {},
                "shell": CONNECT,
                "hosts": [_host(RELAY, "relay", PUBLIC[RELAY]), _host(HUB, "hub", "")],
            },
            "branch": {
                "kind": "branch",
                "network": str(BRANCHES),
                "hub_address": ADDRESS[HUB],
                "nat": "",
                "shell": BRANCH_CONNECT,
                "hosts": [_host(BRANCH_HOST, "branch", BRANCH_PUBLIC)],
            },
        }

    def outside(self) -> list[OutsideHost]:
        """The mail hosts of the lab's Internet."""
        return [
            OutsideHost(name=h.namespace, host=h.host, domain="", address=h.address)
            for h in MAIL_HOSTS
        ]

    def run(self, host: str, argv: Sequence[str], *, stdin: str = "", limit: float = 60) -> Result:
        """Run a command in a host's namespace."""
        del limit
        enter = ("nsenter", f"--net=/run/netns/{host}")
        done = self.kernel.attempt(*enter, *argv, text=stdin)
        return Result(code=done.returncode, out=done.stdout, err=done.stderr)

    def connect(self, source: str, targets: Iterable[Target]) -> dict[Target, Answer]:
        """Probe from a namespace."""
        wanted = list(targets)
        argv = [sys.executable, "-m", "lab.network.probe"]
        done = self.run(source, argv, stdin=json.dumps(wanted))
        return {t: Answer(word) for t, word in zip(wanted, json.loads(done.out), strict=True)}

    def fences(self) -> Fences:
        """The groups and ACLs of the company as it should be."""
        return fences(guarded(), self.outputs())


def _host(name: str, role: str, public: str) -> dict[str, str]:
    return {"host": name, "role": role, "private_ip": ADDRESS[name], "public_ip": public}
