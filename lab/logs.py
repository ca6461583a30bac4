"""What an error shows of a log: a lab that does not come up is taken down, and its logs with it."""

from __future__ import annotations

from pathlib import Path

LINES = 20
"""How many of a log's last lines an error shows."""


def ends(*logs: Path) -> str:
    """The last lines of each log, below its name, to follow what has gone wrong."""
    return "".join(_end(log) for log in logs)


def _end(log: Path) -> str:
    lines = _last(log)
    if not lines:
        return f"\n{log} holds nothing"
    return f"\nthe end of {log}:\n" + "\n".join(f"  {line}" for line in lines)


def _last(log: Path) -> list[str]:
    try:
        text = log.read_text(errors="replace").rstrip()
    except FileNotFoundError:
        return []
    return text.splitlines()[-LINES:]
