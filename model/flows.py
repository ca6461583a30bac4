"""The firewall: one table of flows from which security groups, documents and probes come.

A flow is a connection that may be opened; its replies come back by the groups' state. What is not
in the table does not pass. AWS's groups do not filter the VPC resolver, DHCP, the metadata service
and time sync, and cannot match names: packages and AWS's own services are therefore "HTTPS to
anywhere". Plain HTTP goes nowhere: Debian's EC2 images ask cdn-aws.deb.debian.org by HTTPS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from model import fields, ports

INTERNET = "internet"
RELAY = "relay"
HUB = "hub"
BRANCHES = "branches"
BRANCH = "branch"
LEGACY = "legacy"
"""A server from which the company migrates; followed by its name."""
SHELL = "shell"
"""The EC2 Instance Connect endpoint, where an administrator's SSH enters."""

ANYWHERE = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, kw_only=True)
class Flow:
    """`source` may open connections to `port` of `destination`; `why` is the rule's text.

    `protocol` is `tcp` or `udp`.
    """

    source: str
    destination: str
    port: int
    why: str
    protocol: str = "tcp"


@dataclass(frozen=True, kw_only=True)
class Firewall:
    """A stack's flows; `places` gives the addresses of the parties that are not its own hosts."""

    hosts: tuple[str, ...]
    flows: tuple[Flow, ...]
    places: dict[str, IPv4Network]


def environment_firewall(
    outbound: str,
    branches: IPv4Network,
    smarthost: int = ports.SUBMISSION,
    legacy: Mapping[str, IPv4Address] | None = None,
) -> Firewall:
    """The flows of an environment; `outbound` is `relay`, `direct` or `smarthost`.

    `smarthost` is the smarthost's port, of use in that mode only. `legacy` are the addresses of
    servers to migrate from, by name. Only one with a private address can reach the hub, and may;
    one on the Internet sends to the relays like anybody.
    """
    servers = {f"{LEGACY}-{name}": address for name, address in (legacy or {}).items()}
    flows = [
        _mail(INTERNET, RELAY, "mail from the Internet"),
        Flow(source=INTERNET, destination=RELAY, port=ports.HTTPS, why="MTA-STS policies"),
        _mail(RELAY, HUB, "mail for our domains goes inside"),
        _mail(BRANCHES, HUB, "branches hand over what is not local"),
        _mail(HUB, BRANCHES, "mail for people at the branches"),
        *_names(RELAY, "the relay judges strangers by its own resolver"),
        *_way_out(outbound, smarthost),
    ]
    flows += [_mail(HUB, place, "mail for people still there") for place in servers]
    flows += [
        _mail(place, HUB, "mail from people still there")
        for place, address in servers.items()
        if fields.is_private(address)
    ]
    flows += [flow for host in (RELAY, HUB) for flow in _upkeep(host)]
    return Firewall(
        hosts=(RELAY, HUB, SHELL),
        flows=tuple(flows),
        places={
            INTERNET: ANYWHERE,
            BRANCHES: branches,
            **{place: IPv4Network(address) for place, address in servers.items()},
        },
    )


def branch_firewall(hub: IPv4Address) -> Firewall:
    """The flows of a branch whose hub has the address `hub`."""
    flows = (
        _mail(BRANCH, HUB, "all that is not local goes to the hub"),
        _mail(HUB, BRANCH, "mail for people at this branch"),
        *_upkeep(BRANCH),
    )
    return Firewall(
        hosts=(BRANCH, SHELL),
        flows=flows,
        places={INTERNET: ANYWHERE, HUB: IPv4Network(hub)},
    )


def _mail(source: str, destination: str, why: str, port: int = ports.SMTP) -> Flow:
    return Flow(source=source, destination=destination, port=port, why=why)


def _way_out(outbound: str, smarthost: int) -> tuple[Flow, ...]:
    """How mail leaves. A relay's own bounces leave by itself, but to a smarthost by the hub."""
    by_relay = _mail(RELAY, INTERNET, "mail and bounces to the Internet")
    ways = {
        "relay": (
            by_relay,
            _mail(HUB, RELAY, "mail to the Internet goes out by the relay", ports.INSIDE),
        ),
        "direct": (
            by_relay,
            _mail(HUB, INTERNET, "mail to the Internet, direct by NAT"),
            *_names(HUB, "the hub looks up receivers by its own resolver"),
        ),
        "smarthost": (_mail(HUB, INTERNET, "mail to the smarthost, by NAT", smarthost),),
    }
    return ways[outbound]


def _names(host: str, why: str) -> tuple[Flow, ...]:
    """What a resolver needs that asks the authoritative servers itself (RFC 7766: TCP too)."""
    return tuple(
        Flow(source=host, destination=INTERNET, port=ports.DNS, protocol=protocol, why=why)
        for protocol in ("udp", "tcp")
    )


def _upkeep(host: str) -> tuple[Flow, ...]:
    return (
        Flow(source=host, destination=INTERNET, port=ports.HTTPS, why="packages and AWS"),
        Flow(source=SHELL, destination=host, port=ports.SSH, why="SSH of administrators"),
    )
