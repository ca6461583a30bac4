"""Stacks of the project, previewed, brought up and destroyed by the real engine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from lab.engine.operation import EngineError, Operation
from lab.engine.plugin import install_provider
from lab.engine.project import mirror
from lab.environment import remembered
from lab.loopback import unproxied

ENGINE_MEMORY = {"GOGC": "off", "GOMEMLIMIT": "512MiB"}
"""Go's collector begins at that size only (package runtime, "Environment Variables"): the engine's
processes live for seconds, and looking for garbage takes up to a third of a short one."""


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
    Without `checkpoints` the engine writes its state at its end only, and not after each step: a
    sixth of the work of a first `up`, for who throws all away if the engine is killed.
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
        checkpoints: bool = True,
    ) -> None:
        self._engine = engine
        self._state = state.absolute()
        self._project = project.absolute()
        self._endpoint = endpoint
        self._region = region
        self._progress = progress
        self._checkpoints = checkpoints
        self._copy = self._state / "project"

    def preview(self, stack: str) -> Result:
        """What `up` would do. Raises EngineError, as the others do."""
        return self._operate("preview", stack)

    def up(self, stack: str, *, refresh: bool = False) -> Result:
        """Make the emulator what the program says; with `refresh`, read its real state first."""
        return self.up_all([stack], refresh=refresh)[0]

    def up_all(
        self,
        stacks: Sequence[str],
        *,
        refresh: bool = False,
        begins: Callable[[str], None] = lambda _stack: None,
        ends: Callable[[Result], None] = lambda _result: None,
        deployed: Callable[[], None] = lambda: None,
    ) -> list[Result]:
        """Bring up `stacks` in order; `begins` is told of each, `ends` of what has come of it.

        A later one may read what an earlier one has made. Its process starts while the one before
        is at work, and waits for it: to start takes as long as a small stack. `deployed` is called
        when AWS is as the last one's program says; the engine's book-keeping, which takes seconds,
        goes on meanwhile, and `ends` is told of that stack after it, whatever it raises.
        """
        results = []
        with self._prepared(), ExitStack() as processes:

            def start(stack: str) -> Operation:
                return processes.enter_context(self._start("up", stack, refresh=refresh))

            def begin(stack: str, operation: Operation) -> None:
                begins(stack)
                operation.begin()

            operation = start(stacks[0])
            begin(stacks[0], operation)
            for stack, after in pairwise([*stacks, ""]):
                following = start(after) if after else operation
                proceed = partial(begin, after, following) if after else deployed
                early = operation.wait_deployed()
                try:
                    if early:
                        proceed()
                finally:
                    results.append(_result("up", stack, operation.answer()))
                    ends(results[-1])
                if not early:
                    # It has succeeded, whatever came between the line that says so and here.
                    proceed()
                operation = following
        return results

    def destroy(self, stack: str) -> Result:
        """Delete all of the stack's resources; the stack itself and its configuration stay."""
        return self._operate("destroy", stack)

    def outputs(self, stack: str) -> dict[str, Any]:
        """The outputs of the last `up`, secrets in the clear."""
        return self._operate("outputs", stack).outputs

    def _operate(self, operation: str, stack: str) -> Result:
        with self._prepared(), self._start(operation, stack, refresh=False) as process:
            process.begin()
            return _result(operation, stack, process.answer())

    @contextlib.contextmanager
    def _prepared(self) -> Generator[None]:
        """One operation at a time: they share the copy, and stack locks left behind are seen."""
        self._state.mkdir(parents=True, exist_ok=True)
        with (self._state / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            mirror(self._project, self._copy)
            install_provider(self._home)
            yield

    @property
    def _home(self) -> Path:
        return self._state / "pulumi-home"

    def _name(self) -> str:
        return yaml.safe_load((self._project / "Pulumi.yaml").read_text())["name"]

    def _has_stale_lock(self, stack: str) -> bool:
        locks = self._state / "pulumi" / ".pulumi" / "locks"
        return any(file.is_file() for file in locks.glob(f"*/*/{stack}/*"))

    def _environment(self) -> dict[str, str]:
        backend = self._state / "pulumi"
        backend.mkdir(exist_ok=True)
        return remembered(os.environ) | {
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
            "PULUMI_SKIP_CHECKPOINTS": str(not self._checkpoints).lower(),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PYTHONPATH": str(self._copy),
            **ENGINE_MEMORY,
            **unproxied(os.environ),
        }

    def _passphrase(self) -> Path:
        file = self._state / "passphrase"
        if not file.exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_urlsafe(32))
        return file

    def _start(self, operation: str, stack: str, *, refresh: bool) -> Operation:
        request = {
            "operation": operation,
            "stack": stack,
            "refresh": refresh,
            "project": self._name(),
            "locked": self._has_stale_lock(stack),
        }
        return Operation(
            request,
            state=self._state,
            copy=self._copy,
            environment=self._environment(),
            progress=self._progress,
        )


def _result(operation: str, stack: str, answer: dict[str, Any]) -> Result:
    if "error" in answer:
        raise EngineError(f"{operation} of {stack} failed:\n{answer['error']}")
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
