"""Root directories for machines, built once and kept: a base image and layers of packages on it.

A machine's root is an overlay: a layer, if it has one, over the base, with a directory of its own
on top. Nothing writes to an image after it has been built.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.builds import Builds, Progress
from lab.machines import recipe
from lab.machines.sources import Source, read_sources

LAYER_SCRIPT = Path(__file__).with_name("layer.sh")


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

    def __init__(
        self,
        cache: Path,
        progress: Progress,
        mirror: str | None = None,
        builds: Builds | None = None,
    ) -> None:
        """`progress` gets a line of text now and then; `mirror` replaces mmdebstrap's default.

        What is built is among `builds`.
        """
        self._folder = cache.resolve() / "images"
        self._progress = progress
        self._mirror = mirror
        self._builds = builds or Builds()

    def base(self) -> Image:
        """Debian in the likeness of its EC2 image, built if need be; raises BuildError."""
        name = "base-" + _digest(platform.machine(), recipe.fingerprint())
        folder = self._built(name, self._build_base)
        return Image(root=folder / "root", lower=(), debs=None)

    def layer(self, packages: Sequence[str]) -> Image:
        """The base with `packages` and all they depend on and recommend; raises BuildError.

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
        with self._builds.alone(self._folder, self._progress):
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

    def _build_base(self, work: Path) -> None:
        self._progress(f"building the base image: Debian {recipe.SUITE}, once, a minute or two")
        root = work / "root"
        mirror = [self._mirror] if self._mirror else []
        include = "--include=" + ",".join(recipe.PACKAGES)
        command = ["mmdebstrap", "--variant=minbase", include, recipe.SUITE, str(root), *mirror]
        self._builds.run(command, self._progress)
        # Layers are built from the same sources; a machine has those of Debian's EC2 image.
        shutil.copy(root / "etc/apt/sources.list", work / "sources.list")
        recipe.customise(root)

    def _build_layer(self, work: Path, base: Image, packages: list[str]) -> None:
        self._progress(f"building an image layer, once: {' '.join(packages)}")
        sources = base.root.parent / "sources.list"
        script = ["sh", str(LAYER_SCRIPT), str(base.root), str(work), str(sources)]
        self._builds.run([*script, *packages], self._progress)
        shutil.rmtree(work / "overlay")
        (work / "merged").rmdir()
        (work / "recipe.json").write_text(json.dumps({"packages": packages}) + "\n")


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
