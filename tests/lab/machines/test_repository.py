"""The lab's apt repository and the sources that it stands in for."""

from __future__ import annotations

import gzip
import hashlib
import subprocess
from pathlib import Path

import pytest

from lab.machines.repository import RepositoryError, architecture, build_repository
from lab.machines.sources import Source, read_sources

SOURCES = [
    Source(url="https://archive.example/debian", suite="trixie", component="main"),
    Source(url="https://archive.example/debian", suite="trixie-updates", component="main"),
    Source(
        url="https://archive.example/debian-security", suite="trixie-security", component="main"
    ),
]


def make_deb(folder: Path, name: str) -> Path:
    tree = folder / f"{name}-tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = f"Package: {name}\nVersion: 1:2\nArchitecture: all\nMaintainer: A <a@example.com>\n"
    (tree / "DEBIAN/control").write_text(control + "Description: a package\n of two lines\n")
    deb = folder / f"{name}_1%3a2_all.deb"
    subprocess.run(["dpkg-deb", "-b", str(tree), str(deb)], check=True, capture_output=True)
    return deb


def test_packages_are_described_and_served(tmp_path: Path) -> None:
    (tmp_path / "debs").mkdir()
    make_deb(tmp_path / "debs", "one")
    deb = make_deb(tmp_path / "debs", "two")
    target = tmp_path / "www"
    build_repository(target, SOURCES, [tmp_path / "debs", tmp_path / "debs"])
    packages = (target / f"debian/dists/trixie/main/binary-{architecture()}/Packages").read_text()
    stanzas = dict(zip(("one", "two"), packages.split("\n\n"), strict=True))
    fields = dict(line.split(": ", 1) for line in stanzas["two"].splitlines() if line[0] != " ")
    assert fields["Package"] == "two"
    assert fields["SHA256"] == hashlib.sha256(deb.read_bytes()).hexdigest()
    served = target / "debian" / fields["Filename"]
    assert served.read_bytes() == deb.read_bytes()
    assert int(fields["Size"]) == deb.stat().st_size


def test_every_source_has_its_indices(tmp_path: Path) -> None:
    build_repository(tmp_path / "www", SOURCES, [])
    for path in ("debian/dists/trixie-updates", "debian-security/dists/trixie-security"):
        suite = tmp_path / "www" / path
        for line in (suite / "Release").read_text().partition("SHA256:\n")[2].splitlines():
            digest, size, name = line.split()
            content = (suite / name).read_bytes()
            assert (digest, int(size)) == (hashlib.sha256(content).hexdigest(), len(content))
        zipped = (suite / f"main/binary-{architecture()}/Packages.gz").read_bytes()
        assert gzip.decompress(zipped) == b""


def test_a_second_build_replaces_the_first(tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "www/stale").touch()
    build_repository(tmp_path / "www", SOURCES, [])
    assert not (tmp_path / "www/stale").exists()


def test_it_is_built_anew_if_a_package_is_another(tmp_path: Path) -> None:
    (tmp_path / "debs").mkdir()
    make_deb(tmp_path / "debs", "one")
    target = tmp_path / "www"

    def build() -> int:
        build_repository(target, SOURCES, [tmp_path / "debs"])
        return target.stat().st_ino

    first = build()
    assert build() == first
    make_deb(tmp_path / "debs", "two")
    second = build()
    assert second != first
    packages = target / f"debian/dists/trixie/main/binary-{architecture()}/Packages"
    assert "Package: two" in packages.read_text()


def test_what_is_no_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.deb").write_text("no")
    with pytest.raises(RepositoryError, match=r"broken\.deb is not a package"):
        build_repository(tmp_path / "www", SOURCES, [tmp_path])


def test_sources_are_read_through_mirror_lists(tmp_path: Path) -> None:
    folder = tmp_path / "etc/apt/sources.list.d"
    folder.mkdir(parents=True)
    (tmp_path / "etc/apt/mirrors").mkdir()
    (tmp_path / "etc/apt/mirrors/debian.list").write_text("https://archive.example/debian/\n")
    (folder / "debian.sources").write_text(
        "# a comment\nTypes: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian.list\n"
        "Suites: trixie trixie-updates\nComponents: main\n\n"
        "Types: deb\nURIs: https://archive.example/debian-security\n"
        "Suites: trixie-security\nComponents: main\n\n"
        "Types: deb-src\nURIs: https://other.example/\nSuites: x\nComponents: main\n"
    )
    assert read_sources(tmp_path) == SOURCES
    (folder / "debian.sources").unlink()
    with pytest.raises(ValueError, match=r"has no \.sources file"):
        read_sources(tmp_path)
