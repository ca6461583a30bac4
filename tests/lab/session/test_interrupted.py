"""A first `up`, which builds engine and image for minutes: what ends it ends the builds at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.engine.build import dotted, needed_go
from lab.host import SUPERUSER_PATH
from lab.signals import ENDING
from lab.waiting import wait_for
from tests.lab.session.bench import END_LIMIT, Started, copy_project, gatepost, users

SLOW = 'echo begun >"{begun}/$(basename "$0")"; sleep 600 & wait'
GO = f"""
[ "$1" != version ] || {{{{ echo go{dotted(needed_go())}; exit; }}}}
while [ "$1" != -o ]; do shift; done
echo half >"$2"
{SLOW}"""
TOOLS = {"pulumi": "echo v3.1.0", "go": GO, "mmdebstrap": SLOW}
"""Stand-ins: a Pulumi that is too old, and builds that do not end."""
BUILDS = {"go", "mmdebstrap"}
START_LIMIT = 30.0
"""Seconds until both builds have begun, on a busy host."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, with the stand-ins before all else on PATH."""
    tools, begun = tmp_path / "tools", tmp_path / "begun"
    tools.mkdir()
    begun.mkdir()
    for name, script in TOOLS.items():
        (tools / name).write_text(f"#!/bin/sh\n{script.format(begun=begun)}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{SUPERUSER_PATH}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gatepost"


@pytest.fixture
def job(cache: Path, tmp_path: Path) -> Iterator[Started]:
    """The main job, at its builds."""
    project, state = copy_project(tmp_path / "project"), tmp_path / "state"
    job = Started.start(project, state)
    try:
        begun = tmp_path / "begun"
        assert wait_for(lambda: {path.name for path in begun.iterdir()} == BUILDS, START_LIMIT)
        yield job
    finally:
        job.kill()
        gatepost(project, state, "down")


def unfinished(cache: Path) -> list[str]:
    """What a build has left in the cache."""
    left = (cache.glob(f"*/{pattern}") for pattern in ("partial-*", "*/.pulumi-*"))
    return [str(path) for paths in left for path in paths]


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_ends_the_builds(
    job: Started, cache: Path, tmp_path: Path, number: signal.Signals
) -> None:
    assert len(unfinished(cache)) == len(BUILDS)
    # What Ctrl-C does, SIGINT for the whole job, reaches no more of it: builds are apart.
    job.process.send_signal(number)
    job.process.wait(END_LIMIT)
    assert job.end() == 128 + number
    assert job.lines[-1].endswith("; the lab has been cleaned up\n")
    assert (users(tmp_path), unfinished(cache)) == ([], [])
    assert not (tmp_path / "state").exists()


def test_sigkill_ends_the_builds(job: Started, tmp_path: Path) -> None:
    job.kill()
    assert wait_for(lambda: users(tmp_path) == [], END_LIMIT)
