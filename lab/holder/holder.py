"""The command line's side of the process that owns a lab."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.environment import remembered
from lab.errors import LabError
from lab.holder import cgroups
from lab.holder.entered import entered
from lab.holder.record import Record, start_time
from lab.logs import ends
from lab.waiting import wait_for

START_LIMIT = 20.0
"""Seconds for three mounts and a Python start, even on a busy host."""
STOP_LIMIT = 20.0
"""Seconds for the kernel to end all processes of a pid namespace after SIGKILL."""
RUN_LIMIT = 60.0

Completed = subprocess.CompletedProcess[str]


class HolderError(LabError):
    """Something about the lab's owner process failed; the message says what and where."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """A long-lived process of the lab; `pid` is its number inside the lab."""

    name: str
    pid: int
    started: int
    holder: Holder

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return start_time(self.pid, self.holder.inside("/proc")) == self.started

    def signal(self, number: int) -> None:
        """Send a signal; a process that has ended already is left alone."""
        if self.alive():
            self.holder.run(["kill", f"-{int(number)}", str(self.pid)], check=False)

    def wait(self, limit: float) -> bool:
        """Whether the process has ended within `limit` seconds."""
        return wait_for(lambda: not self.alive(), limit)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A running lab's owner. Its mount and pid namespaces are the lab's; the network is the host's.

    Everything in it dies with it. What the kernel does not clear then (control groups, files in
    `state`) is cleared by stop(), or else by the next start() with the same state.
    """

    state: Path
    record: Record

    @classmethod
    def start(cls, state: Path, *, tied: bool = False) -> Holder:
        """Start the owner of a new lab with its files in `state`, detached from the caller.

        `tied` makes it die with the calling thread instead. Raises HolderError if a lab runs
        there already or the owner does not get ready.
        """
        state = state.resolve()
        if state.is_relative_to("/run"):
            raise HolderError(f"State cannot be in {state}: the lab has a /run of its own")
        (state / "logs").mkdir(parents=True, exist_ok=True)
        with _locked(state):
            running = cls.find(state)
            if running:
                pid = running.record.pid
                raise HolderError(f"A lab runs already in {state} (process {pid}): stop it first")
            _clear(state)
            _spawn(state, tied=tied)
            record = Record.read(_record_path(state))
        if record is None:
            raise HolderError(f"The lab's owner left no record in {_record_path(state)}")
        return cls(state=state, record=record)

    @classmethod
    def find(cls, state: Path) -> Holder | None:
        """The lab that runs in `state`, or None; a stale record counts as none."""
        state = state.resolve()
        record = Record.read(_record_path(state))
        return cls(state=state, record=record) if record and record.alive() else None

    @classmethod
    def clear(cls, state: Path) -> None:
        """Remove what the kernel keeps of a lab whose owner was killed.

        Raises HolderError if a lab runs in `state`, or if something stays.
        """
        with _locked(state):
            if cls.find(state):
                raise HolderError(f"A lab runs in {state}: stop it, do not clear it")
            _clear(state)

    @property
    def group(self) -> str:
        """The lab's folder in the cgroup2 hierarchy, which is at /run/cgroup inside the lab."""
        return cgroups.lab_group(self.state)

    def inside(self, path: str | Path) -> Path:
        """Where a path as the lab sees it is found from outside (proc_pid_root(5))."""
        return Path(f"/proc/{self.record.pid}/root") / str(path).lstrip("/")

    def alive(self) -> bool:
        """Whether the lab still runs."""
        return self.record.alive()

    def log(self, name: str) -> Path:
        """The log file of a process started by popen()."""
        return self.state / "logs" / f"{name}.log"

    def entering(self, argv: Sequence[str], netns: str | None = None) -> list[str]:
        """The command that runs `argv` inside the lab, in the network namespace `netns`."""
        pid = self.record.pid
        network = [f"--net={self.inside('/run/netns') / netns}"] if netns else []
        return ["nsenter", f"--target={pid}", "--mount", "--pid", *network, "--", *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        netns: str | None = None,
        stdin: str = "",
        check: bool = True,
        limit: float = RUN_LIMIT,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run a command inside the lab and return its status and output.

        Bytes that are not UTF-8 come and go as surrogates (PEP 383). `env` is added to what
        is remembered of the caller's environment. Raises HolderError if the lab is gone, after
        `limit` seconds (the command is killed) and, with `check`, if the command fails.
        """
        if not self.alive():
            raise HolderError(f"The lab in {self.state} is not running any more")
        command = self.entering(argv, netns)
        try:
            done = _communicate(command, stdin, limit, {**remembered(os.environ), **(env or {})})
        except subprocess.TimeoutExpired as error:
            raise HolderError(f"{_shown(argv, netns)}: no end after {limit:g} s, killed") from error
        if check and done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise HolderError(f"{_shown(argv, netns)}: exit status {done.returncode}: {said}")
        return done

    def popen(
        self,
        name: str,
        argv: Sequence[str],
        *,
        netns: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Process:
        """Start a process that goes on after the caller; its output goes to log(name).

        Raises HolderError if a process of that name runs already.
        """
        other = self.process(name)
        if other:
            raise HolderError(f"{name} runs already in the lab as process {other.pid}")
        script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!'
        command = ["sh", "-c", script, "sh", str(self.log(name)), *argv]
        pid = int(self.run(command, netns=netns, env=env).stdout)
        started = start_time(pid, self.inside("/proc"))
        if started is None:
            raise HolderError(f"{_shown(argv, netns)} ended at once{ends(self.log(name))}")
        self._process_path(name).parent.mkdir(parents=True, exist_ok=True)
        self._process_path(name).write_text(f"{pid} {started}\n")
        return Process(name=name, pid=pid, started=started, holder=self)

    def process(self, name: str) -> Process | None:
        """The running process that popen() started under `name`, or None."""
        try:
            pid, started = map(int, self._process_path(name).read_text().split())
        except FileNotFoundError:
            return None
        process = Process(name=name, pid=pid, started=started, holder=self)
        return process if process.alive() else None

    def stop(self) -> None:
        """End the lab and everything in it at once; returns when nothing is left.

        Raises HolderError if something stays.
        """
        if self.alive():
            _kill(self.record)
        with _locked(self.state):
            if Holder.find(self.state) is None:
                _clear(self.state)

    def _process_path(self, name: str) -> Path:
        return self.inside("/run/lab/processes") / name


def _record_path(state: Path) -> Path:
    return state / "holder.json"


@contextmanager
def _locked(state: Path) -> Generator[None]:
    with (state / "holder.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _spawn(state: Path, *, tied: bool) -> None:
    """Start the owner and wait until it is ready."""
    reading, writing = os.pipe()
    log = state / "logs" / "holder.log"
    command = [
        *(["setpriv", "--pdeathsig", "KILL"] if tied else []),
        *("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"),
        *(sys.executable, "-m", "lab.holder.init", str(_record_path(state)), str(writing)),
    ]
    with log.open("wb") as output, os.fdopen(reading, "rb") as ready:
        owner = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[writing],
            start_new_session=True,
            cwd=Path(__file__).parents[2],
        )
        # If it ends while the caller lives on, somebody has to reap it.
        threading.Thread(target=owner.wait, daemon=True).start()
        os.close(writing)
        if not _readable(ready.fileno(), START_LIMIT) or ready.readline() != b"ready\n":
            raise HolderError(f"The lab's owner did not get ready:\n{log.read_text().strip()}")


def _readable(descriptor: int, limit: float) -> bool:
    """Whether something is to be read within `limit` seconds; select(2) ends at descriptor 1023."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(limit * 1000))


def _kill(record: Record) -> None:
    """SIGKILL the owner; its end is the end of its pid namespace, so it waits for all the rest."""
    try:
        descriptor = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        # Looked at again: the descriptor now holds on to whichever process this is.
        if record.alive():
            waiting = entered(Path("/proc"), record.pid).values()
            with suppress(ProcessLookupError):  # It was ending already, and has been reaped since.
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            # A namespace ends when the last of its processes is reaped, and an nsenter that was
            # suspended, at a terminal say, reaps nothing.
            for process in filter(None, waiting):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)
            if not _readable(descriptor, STOP_LIMIT):
                raise HolderError(f"Process {record.pid} lives on {STOP_LIMIT:g} s after SIGKILL")
    finally:
        os.close(descriptor)


def _clear(state: Path) -> None:
    """Remove what a dead lab left behind."""
    group = cgroups.lab_group(state)
    if not wait_for(lambda: cgroups.remove(group) is None, STOP_LIMIT):
        raise HolderError(f"Control group {group} cannot be removed: {cgroups.remove(group)}")
    _record_path(state).unlink(missing_ok=True)


def _communicate(argv: list[str], stdin: str, limit: float, env: dict[str, str]) -> Completed:
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="surrogateescape",
        start_new_session=True,
        env=env,
    )
    try:
        output, errors = process.communicate(stdin, timeout=limit)
    except BaseException:
        # nsenter forks: its child is in the same process group, and would otherwise live on.
        with suppress(ProcessLookupError):  # all of the group has ended meanwhile
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return Completed(argv, process.returncode, output, errors)


def _shown(argv: Sequence[str], netns: str | None) -> str:
    return " ".join(argv) + (f" (in {netns})" if netns else "")
