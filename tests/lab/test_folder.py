"""A lab's folder: whose it is, and that nothing else is taken for one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.main import main
from lab import folder, session
from lab.errors import LabError
from lab.holder.record import Record
from lab.session import Lab, Says
from lab.world.model import World
from lab.world.read import to_json

CLAIM = """
import pathlib, sys
from lab import folder
with folder.claimed(pathlib.Path(sys.argv[1])):
    print("claimed", flush=True)
    sys.stdin.readline()
"""
HOST = {"host": "internet", "role": "hub", "private_ip": "10.0.0.4", "public_ip": ""}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def elsewhere(state: Path) -> Generator[subprocess.Popen[str]]:
    """Another process that has the folder, until it is told a line or killed."""
    command = [sys.executable, "-c", CLAIM, str(state)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        try:
            yield process
        finally:
            process.kill()


def lab(state: Path) -> Lab:
    return Lab(state.parent, state, Says(phase=print, noise=print))


def lab_files(state: Path) -> list[Path]:
    """Make the folder one of a lab that is coming up."""
    files = [state / folder.MARK, state / "logs" / "engine.log"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return files


def test_another_process_is_refused_and_the_folder_named(state: Path) -> None:
    refused = pytest.raises(LabError, match=f"state {state}: must be")
    with elsewhere(state), refused, folder.claimed(state):
        pass


def test_a_claim_ends_with_its_process(state: Path) -> None:
    with elsewhere(state) as process:
        process.kill()
        process.wait()
        with folder.claimed(state):
            pass


def test_nothing_stays_of_a_claim_that_nothing_came_of(state: Path) -> None:
    with folder.claimed(state):
        assert state.exists()
    assert not state.exists()
    state.mkdir()
    with folder.claimed(state):
        pass
    assert state.exists()


def test_a_folder_that_was_removed_is_claimed_anew(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of a folder that is gone is nobody's: two processes would each have one."""
    flock, replaced = folder.fcntl.flock, []

    def lock(descriptor: int, how: int) -> None:
        if not replaced:
            replaced.append(state.rename(state.with_name("gone")))
        flock(descriptor, how)

    monkeypatch.setattr(folder.fcntl, "flock", lock)
    with folder.claimed(state):
        monkeypatch.undo()
        with pytest.raises(LabError), folder.claimed(state):
            pass


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_lab_that_is_coming_up_is_let_alone(
    state: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(session, "require_host", lambda: None)
    files = lab_files(state)
    with elsewhere(state), pytest.raises(LabError, match=f"state {state}: must be"):
        lab(state).up(["dev"]) if command == "up" else lab(state).down()
    assert all(file.exists() for file in files)


def test_who_has_claimed_the_folder_ends_the_lab_and_keeps_the_claim(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "require_host", lambda: None)
    mine = lab(state)
    lab_files(state)
    with mine.claimed():
        mine.down()
    assert not state.exists()
    lab_files(state)
    mine.down()
    assert not state.exists()


def test_a_folder_is_a_labs_until_all_else_is_gone(state: Path) -> None:
    lab_files(state)
    folder.empty(state)
    assert [path.name for path in state.iterdir()] == [folder.MARK]
    folder.remove(state)
    assert not state.exists()


@pytest.mark.parametrize("arguments", [[], ["up"], ["status"], ["down"], ["exec", "ms", "true"]])
@pytest.mark.parametrize("below", ["", "below"])
def test_a_state_that_is_no_folder_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], below: str
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["lab", "--state", str(file / below), *arguments]) == 1
    said = f"gatepost: state {file / below}: must be a folder, but {file} is none\n"
    assert capsys.readouterr().err == said


def test_a_folder_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "require_host", lambda: None)
    with pytest.raises(LabError, match="state /proc/none: must be a folder to write to, got: No"):
        lab(Path("/proc/none")).up(["dev"])


@pytest.fixture
def running(state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab that is up, by its files, and a caller who is not root."""
    lab_files(state)
    Record.of(os.getpid()).write(state / "holder.json")
    record = {"region": "us-east-1", "endpoint": "http://127.0.0.1:1", "stacks": []}
    (state / "lab.json").write_text(json.dumps(record))
    (state / "world.json").write_text(to_json(World(region="us-east-1", account="")))
    monkeypatch.setattr("lab.host.os.geteuid", lambda: 1000)
    return state


@pytest.mark.parametrize(
    "words",
    ["down", "status", "check", "apply", "remove dev", "exec internet true", "fault nat-idle 5"],
)
def test_without_root_a_running_lab_is_let_alone(
    running: Path, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    before = sorted(running.rglob("*"))
    (running / "lab.json").write_text(
        json.dumps({"stacks": ["dev"], "outputs": {"dev": {"hosts": [HOST]}}})
    )
    assert main(["lab", "--state", str(running), *words.split()]) == 1
    assert capsys.readouterr().err == (
        "gatepost: The lab needs root, but runs as uid 1000: use sudo.\n"
    )
    assert sorted(running.rglob("*")) == before


@pytest.mark.parametrize("word", ["env", "fault"])
def test_what_only_reads_needs_no_root(running: Path, word: str) -> None:
    assert main(["lab", "--state", str(running), word]) == 0


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]"])
def test_a_spoilt_record_is_told(
    running: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (running / "holder.json").write_text(text)
    assert main(["lab", "--state", str(running), "status"]) == 1
    assert "holder.json is not a process record (" in capsys.readouterr().err
