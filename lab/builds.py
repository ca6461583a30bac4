"""The processes that build what labs need once: isolated, and ended with whoever waits for them."""

from __future__ import annotations

import fcntl
import math
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lab.errors import LabError
from lab.waiting import wait_for

ISOLATED = (
    *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"),
    *("--pid", "--uts", "--fork", "--kill-child"),
)
"""A build's mounts and processes end with it, and it ends with the thread that asked for it."""
LINES_KEPT = 25
"""Lines of a failed build's output that its error shows."""

Progress = Callable[[str], None]


class BuildError(LabError):
    """Something could not be built; the message ends with the tool's last words."""


class Builds:
    """The steps of builds that run in any threads of this process; stop() ends them all.

    A terminal's Ctrl-C does not reach them, and a thread that waits for one cannot be interrupted.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = threading.Event()

    def run(
        self,
        argv: Sequence[str],
        progress: Progress,
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Run a step of a build, its output line by line to `progress`.

        Raises BuildError if it fails or is stopped.
        """
        last: deque[str] = deque(maxlen=LINES_KEPT)
        process = self._start(argv, folder, environment)
        assert process.stdout is not None
        with process:
            try:
                for line in process.stdout:
                    last.append(line.rstrip())
                    progress(last[-1])
            except BaseException:
                _kill(process)
                process.stdout.read()  # ends when the last of its processes has
                raise
            finally:
                # Before it is reaped: until then its number cannot be a stranger's.
                with self._guard:
                    self._running.discard(process)
        if self._stopped.is_set():
            raise BuildError(f"{argv[0]}: stopped")
        if process.returncode:
            shown = "\n".join(last)
            raise BuildError(f"{argv[0]}: exit status {process.returncode}:\n{shown}")

    @contextmanager
    def alone(self, folder: Path, progress: Progress) -> Generator[None]:
        """Nobody else builds in `folder` meanwhile; raises BuildError if stopped while waiting."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            if not _locked(lock):
                progress(f"waiting for another lab to finish a build in {folder}")
                wait_for(lambda: self._stopped.is_set() or _locked(lock), math.inf)
            if self._stopped.is_set():
                raise BuildError(f"{folder}: stopped")
            yield

    def stop(self) -> None:
        """End every step that runs and refuse the next; the threads that wait for them go on."""
        self._stopped.set()
        with self._guard:
            for process in self._running:
                _kill(process)

    def _start(
        self, argv: Sequence[str], folder: Path | None, environment: Mapping[str, str] | None
    ) -> subprocess.Popen[str]:
        with self._guard:
            if self._stopped.is_set():
                raise BuildError(f"{argv[0]}: stopped")
            process = subprocess.Popen(
                [*ISOLATED, *argv],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
            return process


def _locked(lock: IO[str]) -> bool:
    """Whether the lock is had now (flock(2))."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _kill(process: subprocess.Popen[str]) -> None:
    """End a step; its own children end with it, see ISOLATED."""
    os.killpg(process.pid, signal.SIGKILL)
