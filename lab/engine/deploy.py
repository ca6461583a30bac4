"""Stacks of the project, previewed, brought up and destroyed by the real engine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.engine.plugin import install_provider
from lab.engine.project import mirror
from lab.errors import LabError

END_SECONDS = 5
"""How long an interrupted engine may take to end by itself before it is killed."""
FORGOTTEN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "PULUMI_ACCESS_TOKEN", "PYTHONDONTWRITEBYTECODE")
"""Variables that children must not inherit: a real account, or Python without bytecode, which
makes every run compile pulumi_aws anew."""


class EngineError(LabError):
    """An operation failed; the text holds the engine's and the program's own messages."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What an operation did, counted as the engine counts; previews say what it would do."""

    stack: str
    created: int = 0
    updated: int = 0
    replaced: int = 0
    deleted: int = 0
    same: int = 0
    outputs: dict[str, Any] = field(default_factory=dict)
    changes: tuple[tuple[str, str], ...] = ()
    """(operation, URN) of each step that was not `same`, in the engine's order."""


class Engine:
    """Drives the stacks of one project against one emulator.

    `engine` is the folder that holds `pulumi`, `state` the folder for everything written (the
    copy of the project, Pulumi's state, its home and the passphrase), `project` the folder with
    Pulumi.yaml, `endpoint` the emulator's URL. `progress` is given the engine's output by line.
    """

    def __init__(
        self,
        *,
        engine: Path,
        state: Path,
        project: Path,
        endpoint: str,
        region: str = "ap-northeast-1",
        progress: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._engine = engine
        self._state = state.absolute()
        self._project = project.absolute()
        self._endpoint = endpoint
        self._region = region
        self._progress = progress
        self._copy = self._state / "project"

    def preview(self, stack: str) -> Result:
        """What `up` would do. Raises EngineError, as the others do."""
        return self._operate("preview", stack)

    def up(self, stack: str, *, refresh: bool = False) -> Result:
        """Make the emulator what the program says; with `refresh`, read its real state first."""
        return self._operate("up", stack, refresh=refresh)

    def destroy(self, stack: str) -> Result:
        """Delete all of the stack's resources; the stack itself and its configuration stay."""
        return self._operate("destroy", stack)

    def outputs(self, stack: str) -> dict[str, Any]:
        """The outputs of the last `up`, secrets in the clear."""
        return self._operate("outputs", stack).outputs

    def _operate(self, operation: str, stack: str, *, refresh: bool = False) -> Result:
        with self._locked():
            mirror(self._project, self._copy)
            install_provider(self._home)
            request = {
                "operation": operation,
                "stack": stack,
                "refresh": refresh,
                "project": self._name(),
                "locked": self._has_stale_lock(stack),
            }
            answer = self._run_child(request)
        if "error" in answer:
            raise EngineError(f"{operation} of {stack} failed:\n{answer['error']}")
        return _result(stack, answer)

    @property
    def _home(self) -> Path:
        return self._state / "pulumi-home"

    def _name(self) -> str:
        return yaml.safe_load((self._project / "Pulumi.yaml").read_text())["name"]

    @contextlib.contextmanager
    def _locked(self) -> Generator[None]:
        """One operation at a time: they share the copy, and stack locks left behind are seen."""
        self._state.mkdir(parents=True, exist_ok=True)
        with (self._state / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _has_stale_lock(self, stack: str) -> bool:
        locks = self._state / "pulumi" / ".pulumi" / "locks"
        return any(file.is_file() for file in locks.glob(f"*/*/{stack}/*"))

    def _environment(self) -> dict[str, str]:
        backend = self._state / "pulumi"
        backend.mkdir(exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if name not in FORGOTTEN}
        return kept | {
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_DEFAULT_REGION": self._region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self._endpoint,
            "AWS_REGION": self._region,
            "AWS_SECRET_ACCESS_KEY": "lab",
            "PATH": f"{self._engine}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "PULUMI_BACKEND_URL": f"file://{backend}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._passphrase()),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_HOME": str(self._home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONPATH": str(self._copy),
        }

    def _passphrase(self) -> Path:
        file = self._state / "passphrase"
        if not file.exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_urlsafe(32))
        return file

    def _run_child(self, request: dict[str, Any]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory(dir=self._state, prefix="operation-") as folder:
            question, answer = Path(folder, "request.json"), Path(folder, "answer.json")
            question.write_text(json.dumps(request))
            lines = self._follow(
                [sys.executable, "-m", "lab.engine.run", str(question), str(answer)]
            )
            if not answer.exists():
                tail = "\n".join(lines[-20:])
                raise EngineError(f"the engine's process ended without an answer:\n{tail}")
            return json.loads(answer.read_text())

    def _follow(self, command: list[str]) -> list[str]:
        """Run the child to its end; whatever ends this call early ends the child as well.

        A SIGKILL of the caller too: the engine soon misses the child, which is its program.
        """
        lines: list[str] = []
        child = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *command],
            cwd=self._copy,
            env=self._environment(),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                lines.append(line.rstrip())
                self._progress(lines[-1])
            child.wait()
        finally:
            _end(child)
        return lines


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
        if child.stdout is not None:
            child.stdout.close()


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


def _result(stack: str, answer: dict[str, Any]) -> Result:
    count = answer["summary"]
    return Result(
        stack=stack,
        created=count.get("create", 0),
        updated=count.get("update", 0),
        replaced=count.get("replace", 0),
        deleted=count.get("delete", 0),
        same=count.get("same", 0),
        outputs=answer.get("outputs", {}),
        changes=tuple((operation, urn) for operation, urn in answer["changes"]),
    )
