"""One operation of the engine as a process: started, begun, followed to its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from lab.errors import LabError

DONE_LINE = "gatepost: deployed"
"""Printed once nothing more will change; what follows is the engine's book-keeping."""
END_SECONDS = 5
"""How long an interrupted engine may take to end by itself before it is killed."""


class EngineError(LabError):
    """An operation failed; the text holds the engine's and the program's own messages."""


class Operation:
    """A process of `lab.engine.run`, in the folder `copy`; it waits until it is told to `begin`.

    A context manager: whatever leaves it early ends the process as well. A SIGKILL of the caller
    too: the engine soon misses the process, which is its program.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        *,
        state: Path,
        copy: Path,
        environment: Mapping[str, str],
        progress: Callable[[str], None],
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(dir=state, prefix="operation-")
        self._answer = Path(self._folder.name, "answer.json")
        self._progress = progress
        self._lines: list[str] = []
        question = Path(self._folder.name, "request.json")
        question.write_text(json.dumps(request))
        command = [sys.executable, "-m", "lab.engine", str(question), str(self._answer)]
        self._child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            cwd=copy,
            env=environment,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            _end(self._child)
        finally:
            self._folder.cleanup()

    def begin(self) -> None:
        """Let it work; one that has ended already says why in its answer."""
        assert self._child.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._child.stdin.write("\n")
            self._child.stdin.close()

    def wait_deployed(self) -> bool:
        """Wait until AWS is as the program says; False if it ended without getting there."""
        return any(line == DONE_LINE for line in self._follow())

    def answer(self) -> dict[str, Any]:
        """What it says at its end; raises EngineError if it says nothing."""
        for _line in self._follow():
            pass
        self._child.wait()
        if not self._answer.exists():
            tail = "\n".join(self._lines[-20:])
            raise EngineError(f"the engine's process ended without an answer:\n{tail}")
        return json.loads(self._answer.read_text())

    def _follow(self) -> Iterator[str]:
        assert self._child.stdout is not None
        for raw in self._child.stdout:
            line = raw.rstrip()
            if line != DONE_LINE:
                self._lines.append(line)
                self._progress(line)
            yield line


def _end(child: subprocess.Popen[str]) -> None:
    """End the child's session: first politely, since an engine that is killed leaves its lock."""
    try:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(END_SECONDS)
    finally:
        # Even when the wait is interrupted again. Plugins have process groups of their own, but
        # share the session.
        for process in _session(child.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def _session(leader: int) -> list[int]:
    """The processes of a session, by field 6 of /proc/PID/stat (proc(5))."""
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            members.append(int(entry.name))
    return members
