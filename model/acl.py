"""The DMZ's network ACL: a second, stateless fence around its subnets.

Security groups already say everything exactly. The ACL is what still holds when someone opens a
group by mistake: nothing but mail comes in, nothing but mail and replies goes inside, and a
branch is out of reach. Being stateless it must let replies back to ephemeral ports, 1024 to 65535
(VPC User Guide, "Ephemeral ports"). It does not see AWS's own services: resolver, DHCP, metadata.
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
WELL_KNOWN = (1, 1023)

FRAGMENTATION_NEEDED = (3, 4)
"""ICMP type and code without which large packets vanish (RFC 1191)."""


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


def dmz_acl(network: IPv4Network, branches: IPv4Network, shell: IPv4Network) -> tuple[AclRule, ...]:
    """The rules of the DMZ's ACL in the VPC `network`; SSH enters from the subnet `shell`."""
    rules = (
        _tcp(100, ANYWHERE, ports.SMTP, "mail"),
        _tcp(110, shell, ports.SSH, "SSH of administrators"),
        _tcp(120, ANYWHERE, EPHEMERAL, "replies to what the DMZ opened"),
        AclRule(
            number=130,
            egress=False,
            allow=True,
            protocol="icmp",
            cidr=ANYWHERE,
            icmp=FRAGMENTATION_NEEDED,
            why="path MTU discovery",
        ),
        AclRule(
            number=90,
            egress=True,
            allow=False,
            protocol="-1",
            cidr=branches,
            why="the branches are the hub's to talk to",
        ),
        _tcp(100, ANYWHERE, ports.SMTP, "mail", egress=True),
        _tcp(110, network, WELL_KNOWN, "nothing but mail inwards", egress=True, allow=False),
        _tcp(120, ANYWHERE, ports.HTTP, "packages", egress=True),
        _tcp(130, ANYWHERE, ports.HTTPS, "packages and S3", egress=True),
        _tcp(140, ANYWHERE, EPHEMERAL, "replies", egress=True),
    )
    for egress in (False, True):
        count = sum(rule.egress is egress for rule in rules)
        if count > LIMIT:
            raise ValueError(f"network ACL: must be at most {LIMIT} rules a direction, got {count}")
    return rules


def _tcp(
    number: int,
    cidr: IPv4Network,
    span: int | tuple[int, int],
    why: str,
    *,
    egress: bool = False,
    allow: bool = True,
) -> AclRule:
    return AclRule(
        number=number,
        egress=egress,
        allow=allow,
        protocol="tcp",
        cidr=cidr,
        ports=(span, span) if isinstance(span, int) else span,
        why=why,
    )
