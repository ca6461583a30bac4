"""What people read: progress, tables, verdicts, complaints."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from checks.suite import Verdict

REDRAW = 0.1
"""Seconds between two redrawings of the progress line of a terminal."""
SIGN_OF_LIFE = 15.0
"""Seconds between two lines of a tool at work in a log, where nothing can be redrawn."""


class Progress:
    """Progress on standard error: a phase a line, and on a terminal the tools' last line below."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.terminal = sys.stderr.isatty()
        self.drawn = self.begun

    def phase(self, text: str) -> None:
        """A step of our own, with the seconds since the start."""
        self._wipe()
        print(f"[{time.monotonic() - self.begun:6.1f} s] {text}", file=sys.stderr, flush=True)

    def noise(self, line: str) -> None:
        """A line of a tool at work: redrawn on a terminal, now and then one in a log."""
        now = time.monotonic()
        if now - self.drawn < (REDRAW if self.terminal else SIGN_OF_LIFE):
            return
        self.drawn = now
        self._wipe()
        end = "" if self.terminal else "\n"
        print(f"  {line.strip()[:76]}", end=end, file=sys.stderr, flush=True)

    def _wipe(self) -> None:
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr)


def complain(text: str) -> None:
    """An error, on standard error; nobody reads it if the terminal is closed."""
    with suppress(OSError):
        print(f"gatepost: {text}", file=sys.stderr)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns; the first row is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def verdict(found: Verdict) -> str:
    """One check's line, and what it found."""
    mark = "ok  " if found.passed else "FAIL"
    return f"{mark}  {found.seconds:5.1f} s  {found.check}\n                {found.finding}"
