"""The DMZ's network ACL: a second, stateless fence around its subnets, from the table of flows.

Security groups already say everything exactly. The ACL is what still holds when someone opens a
group by mistake: what the table of the outbound mode names comes in, goes inside and goes out, and
nothing else does; relays and branches are out of a relay's reach. Being stateless it must let
replies back to ephemeral ports (VPC User Guide, "Ephemeral ports"). It does not see AWS's own
services: resolver, DHCP, metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, collapse_addresses
from itertools import count

from model.addressing import environment_plan
from model.flows import ANYWHERE, HUB, INTERNET, RELAY, SHELL, Flow, environment_firewall
from model.outbound import MODES

LIMIT = 19
"""Rules of our own for each direction: the quota of 20 counts the final deny ("Amazon VPC
quotas", VPC User Guide)."""

EPHEMERAL = (1024, 65535)
"""Where other systems ask from (VPC User Guide), and where a resolver does (RFC 5452)."""

OPENED = {"tcp": (32768, 60999), "udp": EPHEMERAL}
"""Where our own hosts ask from: Linux's default (ip(7), ip_local_port_range), and a resolver's."""

UNREACHABLE = (3, -1)
"""ICMP type 3 with every code: without 4, fragmentation needed, large packets vanish (RFC 1191);
with the others a host that is not there is given up at once."""

ENTERING, ANSWERED, ERRORS = 100, 140, 160
INWARDS, ANSWERING_INWARDS, NO_BRANCH, NOT_INWARDS, OUT, ANSWERING_OUT = 10, 50, 90, 200, 300, 400
"""Where the numbers of each kind of rule begin, in the order in which EC2 asks them."""
STEP = 10


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One rule, evaluated in the order of `number`; `ports` or `icmp`, or neither for all."""

    number: int
    egress: bool
    allow: bool
    protocol: str
    cidr: IPv4Network
    ports: tuple[int, int] | None = None
    icmp: tuple[int, int] | None = None
    why: str


@dataclass(frozen=True, kw_only=True)
class _Around:
    """Who is around the DMZ of the VPC `network`: the hub and SSH are in its first zone."""

    network: IPv4Network
    branches: IPv4Network

    def places(self, names: Iterable[str]) -> list[IPv4Network]:
        """The networks of these parties of flows, none of which lies in another."""
        plan = environment_plan(self.network, 1, [])
        known = {INTERNET: ANYWHERE, HUB: IPv4Network(plan.hub), SHELL: plan.zones[0].private}
        return list(collapse_addresses(known[name] for name in names))

    def place(self, name: str) -> IPv4Network:
        """The network of one party."""
        [place] = self.places([name])
        return place


_Numbered = list[tuple[int, Flow]]


def dmz_acl(outbound: str, network: IPv4Network, branches: IPv4Network) -> tuple[AclRule, ...]:
    """The rules of the DMZ's ACL in the VPC `network`, in an outbound mode.

    A flow's rule has the same number in every mode: another mode adds rules and takes some away,
    and changes none that stays.
    """
    around = _Around(network=network, branches=branches)
    entering = _numbered(ENTERING, outbound, around, lambda f: f.destination == RELAY)
    inwards = _numbered(
        INWARDS, outbound, around, lambda f: f.source == RELAY and f.destination != INTERNET
    )
    out = _numbered(
        OUT, outbound, around, lambda f: f.source == RELAY and f.destination == INTERNET
    )
    rules = (
        *_ingress(around, entering, [*inwards, *out]),
        *_egress(around, inwards, out, entering),
    )
    for egress in (False, True):
        numbers = [rule.number for rule in rules if rule.egress is egress]
        if len(numbers) > LIMIT:
            raise ValueError(
                f"network ACL: must be at most {LIMIT} rules a direction, got {len(numbers)}"
            )
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"network ACL: a number must be one rule's, got {numbers}")
    return rules


def _ingress(around: _Around, entering: _Numbered, asked: _Numbered) -> Iterator[AclRule]:
    """What may enter, and the answers to what the DMZ has `asked`."""
    for number, flow in entering:
        yield _allow(number, flow.protocol, around.place(flow.source), flow.port, flow.why)
    answers = [
        (protocol, cidr)
        for protocol in OPENED
        for cidr in around.places(f.destination for _, f in asked if f.protocol == protocol)
    ]
    for number, (protocol, cidr) in zip(count(ANSWERED, STEP), answers):
        yield _allow(number, protocol, cidr, OPENED[protocol], "answers to what the DMZ asked")
    yield AclRule(
        number=ERRORS,
        egress=False,
        allow=True,
        protocol="icmp",
        cidr=ANYWHERE,
        icmp=UNREACHABLE,
        why="path MTU discovery, and what cannot be reached",
    )


def _egress(
    around: _Around, inwards: _Numbered, out: _Numbered, entering: _Numbered
) -> Iterator[AclRule]:
    """What may leave, and the answers to what is `entering`.

    To a group the Internet is any address; here what is ours is denied before the rest is allowed.
    """
    for number, flow in inwards:
        place = around.place(flow.destination)
        yield _allow(number, flow.protocol, place, flow.port, flow.why, egress=True)
    near = around.places(flow.source for _, flow in entering if flow.source != INTERNET)
    for number, place in zip(count(ANSWERING_INWARDS, STEP), near):
        yield _allow(number, "tcp", place, EPHEMERAL, "replies inwards", egress=True)
    yield _deny_out(NO_BRANCH, around.branches, "the branches are the hub's to talk to")
    yield _deny_out(NOT_INWARDS, around.network, "nothing else inwards")
    for number, flow in out:
        yield _allow(number, flow.protocol, ANYWHERE, flow.port, flow.why, egress=True)
    yield _allow(ANSWERING_OUT, "tcp", ANYWHERE, EPHEMERAL, "replies", egress=True)


def _numbered(
    first: int, outbound: str, around: _Around, belongs: Callable[[Flow], bool]
) -> _Numbered:
    """The mode's flows of a kind, numbered among those of all modes."""
    tables = {mode: environment_firewall(mode, around.branches).flows for mode in MODES}
    every = dict.fromkeys(flow for table in tables.values() for flow in table if belongs(flow))
    numbered = zip(count(first, STEP), every)
    return [(number, flow) for number, flow in numbered if flow in tables[outbound]]


def _allow(
    number: int,
    protocol: str,
    cidr: IPv4Network,
    span: int | tuple[int, int],
    why: str,
    *,
    egress: bool = False,
) -> AclRule:
    return AclRule(
        number=number,
        egress=egress,
        allow=True,
        protocol=protocol,
        cidr=cidr,
        ports=(span, span) if isinstance(span, int) else span,
        why=why,
    )


def _deny_out(number: int, cidr: IPv4Network, why: str) -> AclRule:
    return AclRule(number=number, egress=True, allow=False, protocol="-1", cidr=cidr, why=why)
