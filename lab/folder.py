"""A lab's folder: told from any other by a mark, one process's alone while a lab changes."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lab.errors import LabError

MARK = ".gatepost-lab"
"""The file that tells a lab's folder from any other, which is never removed."""


def as_folder(path: Path) -> Path:
    """The full path of a folder that is there or may be made; raises LabError if it is neither."""
    try:
        path = path.resolve()
        there = next(each for each in (path, *path.parents) if each.exists())
    except (OSError, RuntimeError) as error:  # no right to look, or links in a circle
        raise LabError(
            f"state {path}: must be a folder, but cannot be looked at: {error}"
        ) from None
    if not there.is_dir():
        raise LabError(f"state {path}: must be a folder, but {there} is none")
    return path


def is_marked(folder: Path) -> bool:
    return (folder / MARK).exists()


def empty(folder: Path) -> None:
    """Remove all but the mark: a folder that is left half full is still known as a lab's."""
    for path in folder.iterdir():
        if path.name != MARK:
            _remove(path)


def remove(folder: Path) -> None:
    """Remove a lab's folder, its mark last."""
    empty(folder)
    shutil.rmtree(folder)


@contextmanager
def claimed(folder: Path) -> Generator[None]:
    """No other process changes a lab in the folder meanwhile; the folder is made if need be.

    The claim is a lock on the folder itself (flock(2)): it leaves no file, and ends with its
    process however that ends. Raises LabError at once if another process has it.
    """
    made = not folder.exists()
    descriptor = _claim(folder)
    try:
        yield
    finally:
        if made and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()  # Nothing came of it.
        os.close(descriptor)


def _claim(folder: Path) -> int:
    """The descriptor that holds the lock."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            why = error.strerror
            raise LabError(f"state {folder}: must be a folder to write to, got: {why}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise LabError(
                f"state {folder}: must be this command's alone, but another one brings up, "
                "changes or takes down a lab there; wait for it, or end it"
            ) from error
        if _is_at(descriptor, folder):
            return descriptor
        os.close(descriptor)  # It was another lab's, which removed it meanwhile.


def _is_at(descriptor: int, folder: Path) -> bool:
    """Whether the folder that was opened is the one that is there now."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
