"""How much memory a lab takes: the proportional set size of all its processes."""

from __future__ import annotations

import re
from pathlib import Path

PROC = Path("/proc")


def lab_memory(owner: int) -> float:
    """MiB of the process `owner` and all its descendants (PSS, proc_pid_smaps(5))."""
    return sum(_pss(process) for process in _family(owner)) / 1024


def _family(owner: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    family, waiting = set(), [owner]
    while waiting:
        process = waiting.pop()
        family.add(process)
        waiting += children.get(process, [])
    return family


def _parent(process: Path) -> int | None:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended meanwhile


def _pss(process: int) -> int:
    """KiB; none for a process that has ended meanwhile, or a kernel thread."""
    try:
        text = (PROC / str(process) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    match = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    return int(match[1]) if match else 0
