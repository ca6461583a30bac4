"""Alarms of this host: what is wrong now stands in a file of its own while it lasts.

Used by the programs beside it. The journal hears of an alarm's beginning and of its end.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path("/run/gatepost/alarms")


def report(name: str, sentence: str) -> None:
    """Raise or keep the alarm `name`, or lower it if the sentence is empty."""
    file = FOLDER / name
    before = file.read_text().rstrip("\n") if file.exists() else ""
    if sentence == before:
        return
    if not sentence:
        file.unlink()
        print(f"mended: {before}", flush=True)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{name}.new")
    new.write_text(f"{sentence}\n")
    new.replace(file)
    print(f"alarm: {sentence}", file=sys.stderr, flush=True)
