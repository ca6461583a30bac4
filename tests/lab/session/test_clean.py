"""Whatever happens to a lab, nothing of it stays: after success, failure, Ctrl-C and SIGKILL."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.holder import Holder
from lab.waiting import wait_for
from tests.lab.session.bench import (
    END_LIMIT,
    Bench,
    Started,
    Traces,
    content,
    copy_project,
    edit,
    engines,
    gatepost,
    named_namespaces,
)

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
ENGINE_LIMIT = 3.0
"""Seconds for an engine to notice that its program is dead; left alone it would work on for
longer."""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project of one environment without a branch."""
    project = copy_project(tmp_path / "project")
    (project / "stacks" / "Pulumi.dev-osaka.yaml").unlink()
    return project


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """The folder of a test's lab; a test that fails leaves nothing either."""
    state = tmp_path / "state"
    yield state
    Bench.of(tmp_path / "project", state).lab.down()


def others(state: Path) -> list[str]:
    """What lies beside the project and the lab's folder."""
    return sorted({path.name for path in state.parent.iterdir()} - {"project", state.name})


def test_the_main_job_judges_and_leaves_nothing(small: Path, state: Path) -> None:
    files, namespaces = content(small), named_namespaces()
    job = Started.start(small, state)
    job.read_until("every host takes mail")
    traces = Traces.of(state)
    assert len(traces.processes) > 50
    assert job.end() == 0
    text = "".join(job.lines)
    assert re.search(r"\n(\d+) of \1 checks passed", text), text
    assert "the lab is down" in text
    assert traces.left() == []
    assert (content(small), named_namespaces(), others(state)) == (files, namespaces, [])


@pytest.mark.parametrize("phase", ["starting the AWS emulator", "pulumi up: dev", "booting"])
def test_ctrl_c_cleans_up(small: Path, state: Path, phase: str) -> None:
    files = content(small)
    job = Started.start(small, state, "up")
    job.read_until(phase)
    traces = Traces.of(state)
    assert traces.processes
    job.interrupt()
    assert job.end() == INTERRUPTED
    assert job.lines[-1] == "gatepost: interrupted; the lab has been cleaned up\n"
    assert traces.left() == []
    assert (content(small), others(state)) == (files, [])


def test_sigterm_cleans_up(small: Path, state: Path) -> None:
    job = Started.start(small, state)
    job.read_until("pulumi up: dev")
    traces = Traces.of(state)
    job.terminate()
    assert job.end() == TERMINATED
    assert job.lines[-1] == "gatepost: terminated; the lab has been cleaned up\n"
    assert traces.left() == []


@pytest.mark.parametrize("phase", ["pulumi up: dev", "booting"])
def test_the_main_jobs_lab_dies_with_it(small: Path, state: Path, phase: str) -> None:
    job = Started.start(small, state)
    job.read_until(phase)
    traces = Traces.of(state)
    job.kill()
    assert traces.left(files=False) == []
    assert gatepost(small, state, "down").returncode == 0
    assert traces.left() == []


def test_a_killed_up_is_cleaned_up_by_the_next(small: Path, state: Path) -> None:
    job = Started.start(small, state, "up")
    job.read_until("pulumi up: dev")
    assert wait_for(lambda: len(engines(state)) > 1, END_LIMIT)
    traces = Traces.of(state)
    job.kill()
    assert wait_for(lambda: not engines(state), ENGINE_LIMIT)
    assert Holder.find(state)
    file = small / "stacks" / "Pulumi.dev.yaml"
    edit(file, "outbound: relay", "outbound: pigeon")
    edit(file, "host: ms.example.jp", "host: example.jp")
    done = gatepost(small, state, "up")
    assert done.returncode == 1
    for said in ("up of dev failed", "environment.outbound", "environment.hub"):
        assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert traces.left() == []


def test_a_folder_with_other_things_is_not_taken_for_a_lab(small: Path, state: Path) -> None:
    state.mkdir()
    (state / "thesis.txt").write_text("years of work")
    for arguments in (["up"], []):
        done = gatepost(small, state, *arguments)
        assert done.returncode == 1
        assert f"state {state}: must be an empty folder or a lab's own" in done.stderr
    gatepost(small, state, "down")
    assert (state / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in state.iterdir()] == ["thesis.txt"]
