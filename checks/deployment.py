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
