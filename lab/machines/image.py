"""Root directories for machines, built once and kept: a base image and layers of packages on it.

A machine's root is an overlay: a layer, if it has one, over the base, with a directory of its own
on top. Nothing writes to an image after it has been built.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.machines import recipe
from lab.machines.sources import Source, read_sources

LAYER_SCRIPT = Path(__file__).with_name("layer.sh")
ISOLATED = (
    *("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"),
    *("--pid", "--uts", "--fork", "--kill-child"),
)
"""A build's mounts and processes end with it, and it ends with whoever asked for it."""
LINES_KEPT = 25
"""Lines of a failed build's output that its error shows."""

Progress = Callable[[str], None]


class ImageError(LabError):
    """An image could not be built; the message ends with the tool's last words."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """One directory tree; `lower` is what it lies on, `debs` the packages it was made from."""

    root: Path
    lower: tuple[Path, ...]
    debs: Path | None

    @property
    def layers(self) -> tuple[Path, ...]:
        """The directories of a machine's overlay, topmost first."""
        return (self.root, *self.lower)


class Images:
    """The images under a cache directory. Any number of processes may share one."""

    def __init__(self, cache: Path, progress: Progress, mirror: str | None = None) -> None:
        """`progress` gets a line of text now and then; `mirror` replaces mmdebstrap's default."""
        self._folder = cache.resolve() / "images"
        self._progress = progress
        self._mirror = mirror

    def base(self) -> Image:
        """Debian in the likeness of its EC2 image, built if need be; raises ImageError."""
        name = "base-" + _digest(platform.machine(), recipe.fingerprint())
        folder = self._built(name, self._build_base)
        return Image(root=folder / "root", lower=(), debs=None)

    def layer(self, packages: Sequence[str]) -> Image:
        """The base with `packages` and all they depend on and recommend; raises ImageError.

        The list's order does not matter. An empty list gives the base.
        """
        if not packages:
            return self.base()
        base = self.base()
        wanted = sorted(set(packages))
        name = "layer-" + _digest(base.root.parent.name, LAYER_SCRIPT.read_text(), *wanted)
        folder = self._built(name, lambda work: self._build_layer(work, base, wanted))
        return Image(root=folder / "root", lower=base.layers, debs=folder / "debs")

    def package_sources(self) -> list[Source]:
        """Where the base image's apt looks for packages."""
        return read_sources(self.base().root)

    def _built(self, name: str, build: Callable[[Path], None]) -> Path:
        """The finished folder `name`, made by `build` in a folder that is renamed at the end."""
        folder = self._folder / name
        if folder.exists():
            return folder
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            if folder.exists():
                return folder
            for left in self._folder.glob("partial-*"):
                # Under the lock nobody else builds: this is from a build that was killed.
                shutil.rmtree(left)
            partial = self._folder / f"partial-{name}"
            partial.mkdir()
            try:
                build(partial)
                partial.rename(folder)
            finally:
                if partial.exists():
                    shutil.rmtree(partial)
        return folder

    @contextmanager
    def _locked(self) -> Generator[None]:
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress("waiting for another lab to finish building an image")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _build_base(self, work: Path) -> None:
        self._progress(f"building the base image: Debian {recipe.SUITE}, once, a minute or two")
        root = work / "root"
        mirror = [self._mirror] if self._mirror else []
        include = "--include=" + ",".join(recipe.PACKAGES)
        self._run(["mmdebstrap", "--variant=minbase", include, recipe.SUITE, str(root), *mirror])
        # Layers are built from the same sources; a machine has those of Debian's EC2 image.
        shutil.copy(root / "etc/apt/sources.list", work / "sources.list")
        recipe.customise(root)

    def _build_layer(self, work: Path, base: Image, packages: list[str]) -> None:
        self._progress(f"building an image layer, once: {' '.join(packages)}")
        sources = base.root.parent / "sources.list"
        script = ["sh", str(LAYER_SCRIPT), str(base.root), str(work), str(sources)]
        self._run([*script, *packages])
        shutil.rmtree(work / "overlay")
        (work / "merged").rmdir()
        (work / "recipe.json").write_text(json.dumps({"packages": packages}) + "\n")

    def _run(self, argv: list[str]) -> None:
        """Run a step of a build, its output line by line to the progress callback."""
        last: deque[str] = deque(maxlen=LINES_KEPT)
        with subprocess.Popen(
            [*ISOLATED, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    last.append(line.rstrip())
                    self._progress(line.rstrip())
            except BaseException:
                # The build's own children end with it; see ISOLATED.
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode != 0:
            shown = "\n".join(last)
            raise ImageError(f"{argv[0]}: exit status {process.returncode}:\n{shown}")


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
