"""The acceptance suite: every check of the folder, its verdict, and how they are run."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from checks.deployment import Deployment, MailHost, OutsideHost, mail_hosts

LIMIT = 30.0
"""Seconds within which a message must have come or a service be up; a hop takes some 0.1 s."""


KNOWN = "jiro"
"""A branch's user; with `saburo` the one whom the checks write to, and as whom they do."""

_RESIDENTS = ("sh", "-c", 'postmap -s "$(postconf -hx relay_recipient_maps)"')


class Failed(Exception):
    """A check's finding: what was expected, what was found, and where."""


def expect(condition: object, finding: str) -> None:
    """Fail with `finding` unless the condition holds."""
    if not condition:
        raise Failed(finding)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A check's name, whether it passed, what it found and how long it took (seconds)."""

    check: str
    passed: bool
    finding: str
    seconds: float


class Scene:
    """What the checks ask again and again of one deployment: who is who.

    `limit` is how long (seconds) a check waits for mail, a queue or a service. `followed` are the
    messages, by word, of which each address should have one copy and keep one.
    """

    def __init__(self, deployment: Deployment, *, limit: float = LIMIT) -> None:
        self.deployment = deployment
        self.limit = limit
        self.run = deployment.run
        self.followed: dict[str, list[str]] = {}

    @cached_property
    def hosts(self) -> list[MailHost]:
        """Every mail host."""
        return mail_hosts(self.deployment)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """The outputs of the environment's stack; raises Failed if none is deployed."""
        deployed = self.deployment.outputs()
        for outputs in deployed.values():
            if outputs["kind"] == "environment":
                return outputs
        listed = ", ".join(deployed) or "none"
        raise Failed(f"an environment must be deployed to be judged; stacks here: {listed}")

    @cached_property
    def relays(self) -> list[MailHost]:
        """The through-servers in the DMZ, in the settings' order."""
        return [host for host in self.hosts if host.role == "relay"]

    @cached_property
    def relay_names(self) -> frozenset[str]:
        """The names of the relays: by which of them mail comes in is the sender's choice."""
        return frozenset(relay.name for relay in self.relays)

    @cached_property
    def relay(self) -> MailHost:
        """The first relay; the hub sends by it while it answers, as it is in its zone."""
        return self.relays[0]

    @cached_property
    def hub(self) -> MailHost:
        """The server inside."""
        return next(host for host in self.hosts if host.role == "hub")

    @cached_property
    def branches(self) -> list[MailHost]:
        """The servers of the branches that are up."""
        return [host for host in self.hosts if host.role == "branch"]

    @cached_property
    def branch(self) -> MailHost | None:
        """The server of the branch whose people the checks know, if a branch is up.

        If nobody's is, any: the checks then say what does not reach it.
        """
        known = f"{KNOWN}@{self.domains[0]}"
        at_home = (each for each in self.branches if known in self.residents(each))
        return next(at_home, self.branches[0] if self.branches else None)

    def residents(self, branch: MailHost) -> list[str]:
        """Whom a branch's server takes mail for, by its own table (postmap(1), -s)."""
        table = self.run(branch.name, _RESIDENTS)
        expect(
            table.code == 0,
            f"postmap on {branch.name} ended with {table.code}: {table.err.strip()}",
        )
        return [line.split()[0] for line in table.out.splitlines()]

    @cached_property
    def outside(self) -> tuple[OutsideHost, OutsideHost]:
        """Two hosts on the Internet."""
        first, second, *_ = self.deployment.outside()
        return first, second

    @property
    def domains(self) -> list[str]:
        """The mail domains, the primary first."""
        return self.environment["domains"]

    @property
    def every_domain(self) -> list[str]:
        """The mail domains and their alias domains."""
        return [*self.domains, *self.environment["alias_domains"]]

    @property
    def outbound(self) -> str:
        """How mail leaves: a mode of model.outbound."""
        return self.environment["outbound"]


Check = Callable[[Scene], str]
"""A check returns a sentence about what it saw, or raises Failed; its docstring is its name."""


def all_checks(scene: Scene) -> list[Check]:
    """The checks that apply to a deployment, in the order in which they run.

    The ones that disturb come after those that measure; the logs are read last.
    """
    from checks import (
        accepted,
        alarms,
        dns,
        edge,
        fences,
        firewall,
        inside,
        leaving,
        logs,
        machines,
        queueing,
        routes,
        sizes,
        strangers,
        tls,
        vectors,
    )

    return [
        *routes.checks(scene),
        *dns.checks(scene),
        *tls.checks(scene),
        *inside.checks(scene),
        *edge.checks(scene),
        *strangers.checks(scene),
        *vectors.checks(scene),
        *leaving.checks(scene),
        *accepted.checks(scene),
        *sizes.checks(scene),
        *fences.checks(scene),
        *firewall.checks(scene),
        *machines.checks(scene),
        *queueing.checks(scene),
        *logs.checks(scene),
        *alarms.checks(scene),
    ]


def run_suite(deployment: Deployment) -> Iterator[Verdict]:
    """Run every check, one after the other; a broken check is a failed one."""
    scene = Scene(deployment)
    for check in all_checks(scene):
        yield _judge(check, scene)


def _judge(check: Check, scene: Scene) -> Verdict:
    begun = time.monotonic()
    try:
        passed, finding = True, check(scene)
    except Failed as failure:
        passed, finding = False, str(failure)
    except Exception as error:  # noqa: BLE001 - a check that breaks has not passed
        last = traceback.extract_tb(error.__traceback__)[-1]
        passed = False
        finding = f"the check broke: {error!r} in {last.filename}:{last.lineno}"
    name = (check.__doc__ or "").strip().partition("\n")[0]
    return Verdict(check=name, passed=passed, finding=finding, seconds=time.monotonic() - begun)
