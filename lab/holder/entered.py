"""Who came into a pid namespace from outside, by nsenter(1), and who waits for them there."""

from __future__ import annotations

import os
from pathlib import Path


def entered(proc: Path, pid: int) -> dict[int, int]:
    """The processes that share the pid namespace of `pid` and whose parents do not, each with it.

    `proc` is the /proc whose numbers are meant; 0 is a parent beyond it (proc_pid_stat(5)). The
    first process of the namespace is among them. Empty if `pid` has ended.
    """
    home = _namespace(proc / str(pid))
    if not home:
        return {}
    processes = [entry for entry in proc.iterdir() if entry.name.isdigit()]
    inside = {int(entry.name) for entry in processes if _namespace(entry) == home}
    parents = {member: _parent(proc / str(member)) for member in inside}
    return {
        member: parent
        for member, parent in parents.items()
        if parent is not None and parent not in inside
    }


def _namespace(process: Path) -> str:
    """What tells a pid namespace from another (namespaces(7)); empty if the process has ended."""
    try:
        return os.readlink(process / "ns/pid")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except PermissionError:  # A container's own PID 1 may be beyond even root.
        return ""


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None
