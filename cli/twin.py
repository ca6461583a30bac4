"""The twin as the checks see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from checks.deployment import Answer, Fences, OutsideHost, Result, Target
from cli.fences import fences
from lab import hosts
from lab.internet.plan import MAIL_HOSTS
from lab.session import Lab


class Twin:
    """A running lab behind the interface of checks.deployment.Deployment."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def outputs(self) -> dict[str, dict[str, Any]]:
        """The outputs of each deployed stack."""
        return self.lab.record["outputs"]

    def outside(self) -> list[OutsideHost]:
        """The mail hosts of the lab's Internet."""
        return [
            OutsideHost(
                name=host.namespace, host=host.host, domain=host.domain or "", address=host.address
            )
            for host in MAIL_HOSTS
        ]

    def run(self, host: str, argv: Sequence[str], *, stdin: str = "", limit: float = 60) -> Result:
        """Run a command on a machine, or on a host of the lab's Internet."""
        done = hosts.run(self.lab, host, argv, stdin=stdin, limit=limit)
        return Result(code=done.returncode, out=done.stdout, err=done.stderr)

    def connect(self, source: str, targets: Iterable[Target]) -> dict[Target, Answer]:
        """Real connection attempts through the lab's network."""
        found = hosts.probe(self.lab, source, targets)
        return {target: Answer(word) for target, word in found.items()}

    def fences(self) -> Fences:
        """The rules of the account, read anew: nobody need have followed a change."""
        return fences(self.lab.read(), self.outputs())
