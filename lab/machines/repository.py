"""An apt repository out of the packages that image layers were made from.

It stands in for Debian's archive at the places that the image's own sources name (see
https://wiki.debian.org/DebianRepository/Format). It is not signed: the image trusts it.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from lab.errors import LabError
from lab.machines.sources import Source

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Debian's name of what uname(1) calls a machine."""
MADE_OF = ".made-of"
"""The file beside the archive that tells what it was made of."""


class RepositoryError(LabError):
    """A repository could not be made."""


def architecture() -> str:
    """Debian's name of the host's architecture; raises RepositoryError if the lab has none."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise RepositoryError(f"The lab's packages are for {known}, but this host is {machine}")
    return ARCHITECTURES[machine]


def build_repository(folder: Path, sources: Sequence[Source], debs: Iterable[Path]) -> None:
    """Make `folder` serve the `.deb` files found in the `debs` folders, and nothing else.

    Each source's suite is at the path of its URL below `folder`. The suite named first holds the
    packages, the others are empty. What `folder` held before is replaced, unless it was made of
    the same. Raises RepositoryError if a package cannot be read.
    """
    found = {path.name: path for each in debs for path in each.glob("*.deb")}
    made_of = repr([*sources, *sorted(map(_stamp, found.values()))])
    if (folder / MADE_OF).exists() and (folder / MADE_OF).read_text() == made_of:
        return
    partial = folder.with_name(folder.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    first = _archive(partial, sources[0])
    packages = _pool(first, [found[name] for name in sorted(found)])
    for source in sources:
        _write_suite(_archive(partial, source), source, packages if source == sources[0] else "")
    (partial / MADE_OF).write_text(made_of)
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def _stamp(file: Path) -> tuple[str, int, int]:
    status = file.stat()
    return str(file), status.st_size, status.st_mtime_ns


def _archive(folder: Path, source: Source) -> Path:
    return folder / urlsplit(source.url).path.strip("/")


def _pool(archive: Path, debs: Sequence[Path]) -> str:
    """Put the files under pool/ and describe them: the text of Packages."""
    pool = archive / "pool"
    pool.mkdir(parents=True)
    stanzas = []
    for deb in debs:
        control = _control(deb)
        place = pool / deb.name.replace("%3a", ":")
        _link(deb, place)
        content = deb.read_bytes()
        stanzas.append(
            f"{control}\nFilename: {place.relative_to(archive)}\n"
            f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
    return "\n".join(stanzas)


def _control(deb: Path) -> str:
    result = subprocess.run(
        ["dpkg-deb", "--field", str(deb)], capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise RepositoryError(f"{deb} is not a package: {result.stderr.strip()}")
    return result.stdout.strip()


def _link(source: Path, target: Path) -> None:
    """Have the file at `target` too, without a copy where the filesystem allows."""
    try:
        os.link(source, target)
    except OSError:
        # Another filesystem, say: then it is copied.
        shutil.copyfile(source, target)


def _write_suite(archive: Path, source: Source, packages: str) -> None:
    """dists/SUITE with its indices: packages for this architecture, and no source packages."""
    arch = architecture()
    suite = archive / "dists" / source.suite
    component = source.component
    indices = {
        f"{component}/binary-{arch}/Packages.gz": gzip.compress(packages.encode(), mtime=0),
        f"{component}/binary-{arch}/Packages": packages.encode(),
        f"{component}/source/Sources": b"",
    }
    for name, content in indices.items():
        path = suite / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (suite / "Release").write_text(_release(source, arch, indices))


def _release(source: Source, arch: str, indices: dict[str, bytes]) -> str:
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S UTC")
    sums = [
        f" {hashlib.sha256(content).hexdigest()} {len(content)} {name}"
        for name, content in indices.items()
    ]
    fields = {
        "Origin": "Debian",
        "Label": "Debian",
        "Suite": source.suite,
        "Codename": source.suite,
        "Date": now,
        "Architectures": f"all {arch}",
        "Components": source.component,
    }
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\n".join([*lines, "SHA256:", *sums]) + "\n"
