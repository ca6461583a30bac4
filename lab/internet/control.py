"""The command line's side of the Internet's services: how to start them and when they are ready."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError
from lab.faults import faults_file
from lab.logs import ends
from lab.waiting import wait_for

PROCESS = "internet"
"""The name of the services' process within the lab, and of its log."""


class InternetError(LabError):
    """The services could not make the Internet that of the world file."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the services are told.

    `world` is the file they follow, `state` the lab's folder (logs, authority, status), `lower` the
    layers of the outside hosts' root (topmost first; made of `lab.internet.plan.PACKAGES`),
    `emulator` the URL of the AWS API, `mirror` the folder of Debian packages and `mirror_names` the
    host names it is asked for under.
    """

    world: Path
    state: Path
    lower: tuple[Path, ...]
    emulator: str
    mirror: Path
    mirror_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Status:
    """What the services say: what they last took up (`Followed.digest`), and what went wrong."""

    followed: str
    error: str | None

    def write(self, state: Path) -> None:
        """Puts the status in place at once, never half of it."""
        partial = status_file(state).with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(asdict(self)))
        partial.replace(status_file(state))

    @classmethod
    def read(cls, state: Path) -> Status | None:
        """The last status; None if there is none yet."""
        try:
            return cls(**json.loads(status_file(state).read_text()))
        except FileNotFoundError:
            return None


def status_file(state: Path) -> Path:
    return state / "internet.json"


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What the services follow, at one moment: the world's and the faults' files."""

    world: bytes
    faults: bytes

    @classmethod
    def read(cls, state: Path, world: Path) -> Followed:
        """The present contents; without a fault there is no file of faults."""
        faults = faults_file(state)
        return cls(world=world.read_bytes(), faults=faults.read_bytes() if faults.exists() else b"")

    @property
    def digest(self) -> str:
        """Tells these contents from others."""
        return hashlib.sha256(b"\0".join((self.world, self.faults))).hexdigest()


def command(options: Options) -> list[str]:
    """The command line of the services, to be started within the lab.

    A status of an earlier start is removed, so that none is taken for the new one's.
    """
    status_file(options.state).unlink(missing_ok=True)
    argv = [sys.executable, "-m", "lab.internet.services"]
    argv += ["--world", str(options.world), "--state", str(options.state)]
    argv += ["--emulator", options.emulator, "--mirror", str(options.mirror)]
    for layer in options.lower:
        argv += ["--lower", str(layer)]
    for name in options.mirror_names:
        argv += ["--mirror-name", name]
    return argv


def wait_applied(
    state: Path, world: Path, *, limit: float, alive: Callable[[], bool] = lambda: True
) -> None:
    """Waits until the services are those of the present content of the world and the faults file.

    `alive` tells whether their process still runs.

    Raises:
        InternetError: they failed, ended, or took longer than `limit` seconds.
    """
    wanted = Followed.read(state, world).digest

    def settled() -> bool:
        status = Status.read(state)
        return not alive() or (status is not None and status.followed == wanted)

    done = wait_for(settled, limit)
    status = Status.read(state)
    if status is not None and status.followed == wanted:
        if status.error:
            raise InternetError(f"the lab's Internet: {status.error}")
        return
    what = f"did not take up {world} within {limit:g} s" if not done else "ended"
    log = state / "logs" / f"{PROCESS}.log"
    raise InternetError(f"the services of the lab's Internet {what}{ends(log)}")
