"""The DMZ's network ACL: a second, stateless fence around its subnets.

Security groups already say everything exactly. The ACL is what still holds when someone opens a
group by mistake: nothing but mail and requests for MTA-STS policies comes in, nothing but mail and
replies goes inside, and a branch is out of reach. Being stateless it must let replies back to
ephemeral ports (VPC User Guide, "Ephemeral ports"). It does not see AWS's own services: resolver,
DHCP, metadata. It is the same in every outbound mode: only the groups know how mail leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from model import ports
from model.flows import ANYWHERE

LIMIT = 19
"""Rules of our own for each direction: the quota of 20 counts the final deny ("Amazon VPC
quotas", VPC User Guide)."""

EPHEMERAL = (1024, 65535)
"""Where other systems ask from (VPC User Guide), and where a resolver does (RFC 5452)."""

OPENED = (32768, 60999)
"""Where our own hosts open TCP connections from: Linux's default (ip(7), ip_local_port_range)."""

WELL_KNOWN = (1, 1023)
ANY = (1, 65535)

UNREACHABLE = (3, -1)
"""ICMP type 3 with every code: without 4, fragmentation needed, large packets vanish (RFC 1191);
with the others a host that is not there is given up at once."""


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


def dmz_acl(
    network: IPv4Network, branches: IPv4Network, inside: IPv4Network
) -> tuple[AclRule, ...]:
    """The rules of the DMZ's ACL in the VPC `network`.

    `inside` is the subnet of the hub, from which SSH enters as well.
    """
    rules = (
        _rule(100, ANYWHERE, ports.SMTP, "mail"),
        _rule(110, ANYWHERE, ports.HTTPS, "MTA-STS policies"),
        _rule(120, inside, ports.INSIDE, "mail that the hub sends out by the relay"),
        _rule(130, inside, ports.SSH, "SSH of administrators"),
        _rule(140, ANYWHERE, OPENED, "replies to what the DMZ opened"),
        _rule(150, ANYWHERE, EPHEMERAL, "answers of name servers", protocol="udp"),
        AclRule(
            number=160,
            egress=False,
            allow=True,
            protocol="icmp",
            cidr=ANYWHERE,
            icmp=UNREACHABLE,
            why="path MTU discovery, and what cannot be reached",
        ),
        AclRule(
            number=90,
            egress=True,
            allow=False,
            protocol="-1",
            cidr=branches,
            why="the branches are the hub's to talk to",
        ),
        _rule(100, ANYWHERE, ports.SMTP, "mail", egress=True),
        _rule(110, network, WELL_KNOWN, "nothing but mail inwards", egress=True, allow=False),
        _rule(120, network, ANY, "nothing inwards", egress=True, allow=False, protocol="udp"),
        _rule(140, ANYWHERE, ports.HTTPS, "packages and AWS", egress=True),
        _rule(150, ANYWHERE, ports.DNS, "name servers", egress=True),
        _rule(160, ANYWHERE, ports.DNS, "name servers", egress=True, protocol="udp"),
        _rule(170, ANYWHERE, EPHEMERAL, "replies", egress=True),
    )
    for egress in (False, True):
        count = sum(rule.egress is egress for rule in rules)
        if count > LIMIT:
            raise ValueError(f"network ACL: must be at most {LIMIT} rules a direction, got {count}")
    return rules


def _rule(
    number: int,
    cidr: IPv4Network,
    span: int | tuple[int, int],
    why: str,
    *,
    egress: bool = False,
    allow: bool = True,
    protocol: str = "tcp",
) -> AclRule:
    return AclRule(
        number=number,
        egress=egress,
        allow=allow,
        protocol=protocol,
        cidr=cidr,
        ports=(span, span) if isinstance(span, int) else span,
        why=why,
    )
