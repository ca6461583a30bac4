"""A copy of the project to run the engine on, since the engine writes into stack files."""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lab.errors import LabError
from lab.folder import is_marked
from lab.stackfile import DUMPER, LOADER, read_yaml

SKIPPED = (
    *(".git", ".hypothesis", ".lab", ".pytest_cache", ".ruff_cache", ".tools", ".venv"),
    *("__pycache__", "*.egg-info", "*.pyc"),
)
SALT = "encryptionsalt"
BACKENDS_OWN = (SALT, "encryptedkey", "secretsprovider")
"""Keys of a stack file that say how a real stack's secrets are encrypted."""


class ProjectError(LabError):
    """The project cannot be copied as it is; the text says why."""


def mirror(source: Path, target: Path) -> None:
    """Make `target` the same as `source`, copying only what has changed.

    Stack files keep the salt that the engine gave them in `target`. Raises LabError for a stack
    file that cannot be read, ProjectError for one with encrypted values, which only the real
    stack's passphrase or key could read.
    """
    wanted = set()
    for file in _files(source):
        relative = file.relative_to(source)
        wanted.add(relative)
        _copy(file, target / relative)
    for file in list(_files(target)):
        if file.relative_to(target) not in wanted:
            file.unlink()


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _skipped(name))
        # A lab's own folder holds the copy, which would come to hold itself.
        folders[:] = [name for name in folders if not is_marked(Path(parent, name))]
        yield from (Path(parent, name) for name in sorted(files) if not _skipped(name))


def _skipped(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in SKIPPED)


def _copy(file: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if fnmatch.fnmatch(file.name, "Pulumi.*.yaml"):
        _copy_stack_file(file, target)
    elif not target.exists() or _stamp(file) != _stamp(target):
        # The time is kept, so that Python's bytecode of the copy stays valid.
        shutil.copy2(file, target)


def _stamp(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


def _copy_stack_file(file: Path, target: Path) -> None:
    """Once more only if it has changed, or the engine has written into the copy."""
    changed = file.stat().st_mtime_ns
    if target.exists() and target.stat().st_mtime_ns == changed:
        return
    content = read_yaml(file)
    for name, value in _config(file, content).items():
        if _has_secret(value):
            raise ProjectError(
                f"{file}: {name} is encrypted for the real stack, the lab cannot read it"
            )
    content = {key: value for key, value in content.items() if key not in BACKENDS_OWN}
    if target.exists():
        present = yaml.load(target.read_text(), Loader=LOADER) or {}
        content |= {key: present[key] for key in (SALT,) if key in present}
    target.write_text(yaml.dump(content, Dumper=DUMPER, sort_keys=False))
    os.utime(target, ns=(changed, changed))


def _config(file: Path, content: dict[str, Any]) -> dict[str, Any]:
    config = content.get("config") or {}
    if not isinstance(config, dict):
        raise ProjectError(f"{file}: `config:` must be a mapping, got {config!r:.60}")
    return config


def _has_secret(value: object) -> bool:
    if isinstance(value, dict):
        return "secure" in value or any(map(_has_secret, value.values()))
    return isinstance(value, list) and any(map(_has_secret, value))
