"""Which process is meant: a pid may have passed to a stranger, so its start time counts too."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.errors import LabError

PROC = Path("/proc")


def start_time(pid: int, proc: Path = PROC) -> int | None:
    """Clock ticks from the host's boot to the start of `pid`, or None if it has ended.

    Field 22 of proc_pid_stat(5); a zombie counts as ended.
    """
    try:
        stat = (proc / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold anything, blanks and brackets too; it ends at the last bracket.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


@dataclass(frozen=True, kw_only=True)
class Record:
    """A process of this boot of the host."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Record:
        """The record of a running process; raises ProcessLookupError if there is none."""
        started = start_time(pid)
        if started is None:
            raise ProcessLookupError(f"no process {pid} to record")
        return cls(pid=pid, started=started, boot=_boot())

    @classmethod
    def read(cls, path: Path) -> Record | None:
        """The record at `path`, or None if there is none.

        Raises LabError if the file is not a record.
        """
        try:
            text = path.read_text()
        except FileNotFoundError:
            return None
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise LabError(f"{path} is not a process record ({error}): remove it") from error

    def write(self, path: Path) -> None:
        """Write the record so that a reader sees all of it or nothing."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)) + "\n")
        partial.replace(path)

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.boot == _boot() and start_time(self.pid) == self.started


def _boot() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()
