"""What the tests of whole labs share: copies of the project, the command line, traces of a lab."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3

from checks.ready import wait_ready
from checks.suite import Check, Failed, Scene
from cli.twin import Twin
from lab import hosts
from lab.engine.deploy import Engine
from lab.engine.project import SKIPPED
from lab.holder import Holder
from lab.holder.cgroups import lab_group
from lab.holder.record import start_time
from lab.machines.volumes import loop_files
from lab.session import Lab, Says
from lab.waiting import wait_for
from lab.world.model import World

ROOT = Path(__file__).parents[3]
PRIVATE = ("unshare", "--mount", "--propagation", "private")
END_LIMIT = 20.0
"""Seconds for a lab to end."""
CHALLENGE = "_acme-challenge."
"""How the names begin that an authority asks for (RFC 8555 section 8.4)."""
ASKING = 0.5
"""Seconds between two questions by SMTP: a relay takes 600 connections a minute from one address,
and the mail of the host that asks is among them."""
SETTLE_LIMIT = 15.0
"""Seconds for a changed Postfix or network to show."""


def copy_project(target: Path) -> Path:
    """A copy of the project that a test may edit."""
    return Path(shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*SKIPPED)))


def edit(file: Path, old: str, new: str) -> None:
    """Replace a text that occurs in the file."""
    text = file.read_text()
    assert old in text, f"{file} does not hold {old!r}"
    file.write_text(text.replace(old, new))


def comment_on(template: Path) -> None:
    """Another user data for a host's role, and the same Postfix."""
    template.write_text(template.read_text() + "\n# Another line.\n")


@dataclass
class Bench:
    """A lab of a copy of the project, the phases it told of and the lines of its tools."""

    lab: Lab
    phases: list[str] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, project: Path, state: Path) -> Bench:
        phases: list[str] = []
        noise: list[str] = []
        says = Says(phase=phases.append, noise=noise.append)
        return cls(lab=Lab(project, state, says), phases=phases, noise=noise)

    @contextmanager
    def up(self, stacks: list[str]) -> Generator[None]:
        """The lab with these stacks, whose hosts take mail; it is taken down afterwards."""
        try:
            self.lab.up(stacks)
            wait_ready(Twin(self.lab))
            yield
        finally:
            self.lab.down()

    def boot_ids(self) -> dict[str, str]:
        """The boot id of each machine that runs."""
        return {row.name: row.boot_id for row in hosts.statuses(self.lab) if row.boot_id}

    def client(self, service: str) -> Any:
        """A client of boto3 for the lab's emulator."""
        record = self.lab.record
        return boto3.client(
            service,
            region_name=record["region"],
            endpoint_url=record["endpoint"],
            aws_access_key_id="lab",
            aws_secret_access_key="lab",
        )

    def engine(self) -> Engine:
        """The engine itself, for what a lab does not do: to preview and to destroy."""
        record = self.lab.record
        return Engine(
            engine=Path(record["engine"]),
            state=self.lab.state,
            project=self.lab.project,
            endpoint=record["endpoint"],
            region=record["region"],
        )


def declared(world: World) -> World:
    """An account's state without the records that hosts write while they get certificates."""
    zones = [
        replace(
            zone,
            records=tuple(each for each in zone.records if not each.name.startswith(CHALLENGE)),
        )
        for zone in world.zones
    ]
    return replace(world, zones=tuple(zones))


def finding(check: Check, scene: Scene) -> str:
    """What a check has to complain of; empty if it passes."""
    try:
        check(scene)
    except Failed as failure:
        return str(failure)
    return ""


def wait_finding(check: Check, scene: Scene, *parts: str) -> None:
    """Wait until the check fails with a finding that holds all `parts`; without any, passes.

    Postfix takes a moment to be its new configuration (postfix(1), "reload").
    """
    last: list[str] = []

    def settled() -> bool:
        last[:] = [finding(check, scene)]
        return all(part in last[0] for part in parts) if parts else not last[0]

    assert wait_for(settled, SETTLE_LIMIT), f"wanted {parts or 'to pass'}, found {last[0]!r}"


# --- the command line, run from a copy of the project ---


def command(state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", "lab", "--state", str(state), *arguments]


def gatepost(
    project: Path, state: Path, *arguments: str, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """`gatepost lab …` of the copy `project`, run to its end."""
    return subprocess.run(
        command(state, *arguments),
        cwd=project,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@dataclass
class Started:
    """A `gatepost lab …` under way, with a process group of its own like a shell's job."""

    process: subprocess.Popen[str]
    lines: list[str]

    @classmethod
    def start(cls, project: Path, state: Path, *arguments: str) -> Started:
        # These tests may run under nohup(1), whose word it would respect.
        process = subprocess.Popen(
            ["env", "--default-signal=HUP", *command(state, *arguments)],
            cwd=project,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return cls(process=process, lines=[])

    def read_until(self, text: str) -> None:
        """Read its output up to a line that holds `text`."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return
        raise AssertionError(f"ended without saying {text!r}: {''.join(self.lines)}")

    def interrupt(self) -> None:
        """What Ctrl-C does: SIGINT for the whole job."""
        os.killpg(self.process.pid, signal.SIGINT)

    def terminate(self) -> None:
        """SIGTERM for the command itself, as kill(1) sends it."""
        self.process.terminate()

    def kill(self) -> None:
        """SIGKILL for the command itself, and for nothing else."""
        self.process.kill()
        self.process.wait(END_LIMIT)
        self._close()

    def end(self) -> int:
        """Wait for its end; returns the exit status."""
        assert self.process.stdout is not None
        self.lines += self.process.stdout
        status = self.process.wait(END_LIMIT)
        self._close()
        return status

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()


# --- traces ---


@dataclass(frozen=True, kw_only=True)
class Traces:
    """The processes of a lab, by pid and start time, and where the rest of it can be found."""

    state: Path
    processes: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, state: Path) -> Traces:
        """All that a lab, up or half up, runs now."""
        holder = Holder.find(state)
        roots = {holder.record.pid} if holder else set()
        found = {*_descendants(roots), *roots, *users(state)}
        stamped = ((pid, start_time(pid)) for pid in found)
        return cls(
            state=state,
            processes=frozenset((pid, start) for pid, start in stamped if start is not None),
        )

    def left(self, *, files: bool = True) -> list[str]:
        """What is still there, after END_LIMIT at most; `files` counts the state folder too."""
        wait_for(lambda: not self._processes(), END_LIMIT)
        traces = [
            *self._processes(),
            *(line for line in _lines("/proc/self/mountinfo") if str(self.state) in line),
            *(str(file) for file in loop_files().values() if file.is_relative_to(self.state)),
        ]
        if files:
            traces += [str(self.state)] if self.state.exists() else []
            traces += _control_groups(self.state)
        return traces

    def _processes(self) -> list[str]:
        known = {pid for pid, started in self.processes if start_time(pid) == started}
        return [f"process {pid}: {_command(pid)}" for pid in known | set(users(self.state))]


def engines(state: Path) -> list[int]:
    """The engine's processes: they are the only part of a lab outside its own pid namespace."""
    return [pid for pid in users(state) if f"PULUMI_HOME={state}" in _read(pid, "environ")]


def named_namespaces() -> list[str]:
    """Network namespaces with a name on the host: a lab's are its own."""
    folder = Path("/run/netns")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def content(folder: Path) -> dict[str, str]:
    """A digest of every file below a folder, but for Python's bytecode."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }


def _pids() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _descendants(roots: set[int]) -> set[int]:
    """All below some processes; in a lab an orphan becomes its PID 1's child."""
    parents = {}
    for pid in _pids():
        fields = _read(pid, "stat").rpartition(")")[2].split()
        if fields:
            parents[pid] = int(fields[1])
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - roots


def users(state: Path) -> list[int]:
    """Processes, but for this one, that were started with a path below `state`."""
    return [
        pid
        for pid in _pids()
        if pid != os.getpid()
        and start_time(pid) is not None
        and any(str(state) in _read(pid, name) for name in ("cmdline", "environ"))
    ]


def _command(pid: int) -> str:
    return _read(pid, "cmdline").replace("\0", " ")


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return ""
    except PermissionError:  # a container's own PID 1 may be beyond even root
        return ""


def _lines(path: str) -> Sequence[str]:
    return Path(path).read_text().splitlines()


def _control_groups(state: Path) -> list[str]:
    """The lab's folders in the cgroup2 hierarchy, which is mounted for the look (cgroups(7))."""
    script = 'mount -t cgroup2 cgroup2 /mnt && find /mnt -maxdepth 1 -name "$1"'
    done = subprocess.run(
        [*PRIVATE, "sh", "-ec", script, "sh", lab_group(state)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()
