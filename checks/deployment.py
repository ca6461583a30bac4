"""The interface through which the checks see a deployment, be it the twin or an account."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class MailHost:
    """A mail host of a stack, as the stack's outputs tell; `public_ip` is empty without one."""

    name: str
    role: str
    stack: str
    private_ip: str
    public_ip: str


@dataclass(frozen=True, kw_only=True)
class OutsideHost:
    """A mail host on the Internet that the checks may use: `name` for commands, `host` in mail."""

    name: str
    host: str
    domain: str
    address: str


Target = tuple[str, str, int]
"""A protocol (`tcp` or `udp`), an address and a port."""


class Answer(Enum):
    """What an attempt met: a refusal passed every filter just as an open port does."""

    OPEN = "open"
    REFUSED = "refused"
    NOTHING = "nothing"

    @property
    def passed(self) -> bool:
        """Whether the packets came through."""
        return self is not Answer.NOTHING


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """A rule of a security group; `peer` is a CIDR, or a group's or a prefix list's id.

    `protocol` is as EC2 says it, -1 for all; `ports` are the first and the last, None for all, or
    ICMP's type and code.
    """

    egress: bool
    protocol: str
    ports: tuple[int, int] | None
    peer: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """A security group in a stack's network; `members` are the names of hosts whose interface is
    in it, and the ids of shell endpoints."""

    id: str
    name: str
    stack: str
    members: tuple[str, ...]
    rules: tuple[GroupRule, ...]


@dataclass(frozen=True, kw_only=True)
class AclEntry:
    """An entry of a network ACL, but for the last one, which denies; `ports` are as a rule's."""

    number: int
    egress: bool
    allow: bool
    protocol: str
    ports: tuple[int, int] | None
    cidr: str


@dataclass(frozen=True, kw_only=True)
class Acl:
    """A network ACL and the blocks of the subnets that it guards in a stack's network."""

    id: str
    stack: str
    subnets: tuple[str, ...]
    entries: tuple[AclEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Fences:
    """All that filters packets in the networks of the stacks."""

    groups: tuple[Group, ...]
    acls: tuple[Acl, ...]


class Deployment(Protocol):
    """A running deployment: one environment, and the branches that are up."""

    def outputs(self) -> dict[str, dict[str, Any]]:
        """The outputs of each stack, by stack name."""
        ...

    def outside(self) -> Sequence[OutsideHost]:
        """At least two mail hosts on the Internet."""
        ...

    def run(self, host: str, argv: Sequence[str], *, stdin: str = "", limit: float = 60) -> Result:
        """Run a command as root on a host, inside or outside; at most `limit` seconds."""
        ...

    def connect(self, source: str, targets: Iterable[Target]) -> dict[Target, Answer]:
        """Try ports from a host, or from a stack's shell endpoint by its id."""
        ...

    def fences(self) -> Fences:
        """What filters packets, as AWS has it now, whoever has made it."""
        ...


def mail_hosts(deployment: Deployment) -> list[MailHost]:
    """Every mail host of every stack."""
    return [
        MailHost(
            name=host["host"],
            role=host["role"],
            stack=stack,
            private_ip=host["private_ip"],
            public_ip=host["public_ip"],
        )
        for stack, outputs in sorted(deployment.outputs().items())
        for host in outputs["hosts"]
    ]
