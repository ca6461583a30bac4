"""The processes of the lab's Internet that must not end before it does, and their logs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lab.internet.machine import stop
from lab.logs import ends
from lab.waiting import wait_for

START_LIMIT = 60.0
"""Seconds for one service; Postfix takes the longest, some 2."""


class ServiceError(RuntimeError):
    """A service of the lab's Internet did not start, or ended."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process that must not end before the lab does."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def ended(self) -> str | None:
        """What to say if it has; None while it runs."""
        status = self.process.poll()
        return None if status is None else f"{self.name} ended with {status}{ends(self.log)}"


class Processes:
    """Those that were started, with a log each in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Running] = []

    def log(self, name: str) -> IO[bytes]:
        """The log file `name`, to be added to."""
        self._folder.mkdir(exist_ok=True)
        return open(self._folder / f"{name}.log", "ab")

    def watch(self, name: str, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        """Count `process`, whose words go to `output`, among those that must go on."""
        self._running.append(Running(name=name, process=process, log=Path(output.name)))

    def ended(self) -> str | None:
        """What has ended that must not; None if all is well."""
        return next((said for each in self._running if (said := each.ended())), None)

    def close(self) -> None:
        """Kills them all, the last one first."""
        for running in reversed(self._running):
            stop(running.process)


def await_service(what: str, condition: Callable[[], bool], log: str) -> None:
    """Waits until a service answers.

    Raises:
        ServiceError: it did not within START_LIMIT.
    """
    if not wait_for(condition, START_LIMIT):
        raise ServiceError(f"{what} did not answer within {START_LIMIT:g} s{ends(Path(log))}")
