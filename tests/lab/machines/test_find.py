"""Which machine runs: known by its PID 1, and by when that began."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.holder import Holder
from lab.holder.record import Record, start_time
from lab.machines.boot import MACHINES, Machine, find

ID = "i-0123456789abcde01"


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Holder:
    """A lab whose /proc is this process's own."""
    folder = tmp_path / ID
    folder.mkdir()
    (folder / "boot_id").write_text("one\n")
    places = {MACHINES / ID: folder, "/proc": Path("/proc")}
    monkeypatch.setattr(Holder, "inside", lambda _holder, path: places[path])
    return Holder(state=tmp_path, record=Record.of(os.getpid()))


def test_a_machine_is_its_first_process(holder: Holder, tmp_path: Path) -> None:
    assert find(holder, ID) is None
    pid, started = os.getpid(), start_time(os.getpid())
    assert started is not None
    (tmp_path / ID / "pid").write_text(f"{pid} {started}\n")
    expected = Machine(instance_id=ID, pid=pid, started=started, boot_id="one")
    assert find(holder, ID) == expected


def test_a_stranger_that_got_the_number_is_not_the_machine(holder: Holder, tmp_path: Path) -> None:
    pid, started = os.getpid(), start_time(os.getpid())
    assert started is not None
    (tmp_path / ID / "pid").write_text(f"{pid} {started - 1}\n")
    assert find(holder, ID) is None
