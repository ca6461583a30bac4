"""An error holds the end of a log, which may be gone when it is read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab import session
from lab.errors import LabError
from lab.logs import LINES, ends
from lab.session import Lab, Says


def test_the_last_lines_are_shown_and_no_more(tmp_path: Path) -> None:
    log = tmp_path / "one.log"
    log.write_bytes(b"".join(b"line %d \xff\n" % number for number in range(100)))
    head, *shown = ends(log).strip().splitlines()
    assert head == f"the end of {log}:"
    assert [line.split()[1] for line in shown] == [str(n) for n in range(100 - LINES, 100)]


@pytest.mark.parametrize("there", [True, False])
def test_a_log_without_a_line_is_named(tmp_path: Path, there: bool) -> None:
    log = tmp_path / "empty.log"
    if there:
        log.touch()
    assert ends(log) == f"\n{log} holds nothing"


def test_an_emulator_that_does_not_start_is_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "emulator.log"
    log.write_text("ProfileNotFound: x\n")
    monkeypatch.setattr(session, "SERVICE_LIMIT", 0)
    process = SimpleNamespace(alive=lambda: False)
    holder: Any = SimpleNamespace(popen=lambda *_, **__: process, log=lambda _name: log)
    lab = Lab(tmp_path, tmp_path / "state", Says(phase=print, noise=print))
    with pytest.raises(LabError, match=r"did not start\nthe end of .*:\n  ProfileNotFound: x"):
        lab._start_emulator(holder, "us-east-1")
