"""New files, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_new(files: Mapping[Path, str]) -> None:
    """Write files that are not there yet, and their folders; raises OSError, and leaves nothing."""
    made: list[Path] = []
    try:
        for path, text in files.items():
            _make_folder(path.parent, made)
            with path.open("x") as file:
                made.append(path)
                file.write(text)
    except BaseException:  # an interrupt too
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it; what is new is added to `made`."""
    if not folder.exists():
        _make_folder(folder.parent, made)
        folder.mkdir()
        made.append(folder)
