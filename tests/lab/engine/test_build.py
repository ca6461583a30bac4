"""Finding and building the engine, with a stand-in for Go so that no test compiles Pulumi."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lab.builds import BuildError
from lab.engine import build
from lab.engine.build import ensure_engine, needed_go, pinned_version

GO = """#!/bin/sh
case "$1" in
version) echo "go version go{version} linux/amd64" ;;
build)
    echo "$GOFLAGS $GOTOOLCHAIN $*" >> {log}
    while [ "$1" != "-o" ]; do shift; done
    sleep 0.3
    printf '#!/bin/sh\\necho {engine}\\n' > "$2"
    chmod +x "$2" ;;
esac
"""


built_here = pytest.mark.skipif(os.geteuid() != 0, reason="builds run in namespaces, as root")


def write_command(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with a Go that is new enough, and no pulumi."""
    folder = tmp_path / "tools"
    version = build.dotted(needed_go())
    write_command(
        folder,
        "go",
        GO.format(version=version, log=tmp_path / "builds", engine=build.dotted(pinned_version())),
    )
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")
    return folder


def test_the_versions_come_from_go_mod() -> None:
    assert pinned_version() >= (3, 259, 0)
    assert needed_go() >= (1, 20)


def test_a_new_enough_pulumi_on_path_is_used(tools: Path, tmp_path: Path) -> None:
    newer = build.dotted((*pinned_version()[:2], pinned_version()[2] + 1))
    write_command(tools, "pulumi", f"#!/bin/sh\necho v{newer}\n")
    assert ensure_engine(tmp_path / "cache", print) == tools


@built_here
def test_an_old_pulumi_is_passed_over_and_one_is_built_once(tools: Path, tmp_path: Path) -> None:
    write_command(tools, "pulumi", "#!/bin/sh\necho v3.1.0\n")
    said: list[str] = []
    folder = ensure_engine(tmp_path / "cache", said.append)
    assert os.access(folder / "pulumi", os.X_OK)
    assert ensure_engine(tmp_path / "cache", said.append) == folder
    [built] = (tmp_path / "builds").read_text().splitlines()
    version = build.dotted(pinned_version())
    assert built.startswith("-mod=mod local build")
    assert f"-X {build.VERSION_VARIABLE}=v{version}" in built
    assert any("building Pulumi" in line for line in said)


@built_here
def test_two_labs_build_it_once(tools: Path, tmp_path: Path) -> None:
    both = [
        threading.Thread(target=ensure_engine, args=(tmp_path / "cache", lambda _line: None))
        for _ in range(2)
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len((tmp_path / "builds").read_text().splitlines()) == 1


@built_here
def test_a_failed_build_leaves_nothing_and_says_why(tools: Path, tmp_path: Path) -> None:
    version = build.dotted(needed_go())
    failing = (
        f"#!/bin/sh\n[ $1 = version ] && echo go{version} && exit\necho no space left; exit 1\n"
    )
    write_command(tools, "go", failing)
    with pytest.raises(BuildError, match=r"go: exit status 1:\nno space left"):
        ensure_engine(tmp_path / "cache", lambda _line: None)
    assert not [file for file in (tmp_path / "cache").rglob("*pulumi*") if file.is_file()]


@built_here
def test_leftovers_of_a_killed_build_are_cleared(tools: Path, tmp_path: Path) -> None:
    left = tmp_path / "cache" / "engine" / f"v{build.dotted(pinned_version())}" / ".pulumi-1"
    left.parent.mkdir(parents=True)
    left.touch()
    ensure_engine(tmp_path / "cache", lambda _line: None)
    assert not left.exists()
