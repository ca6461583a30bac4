"""`make clean` does not lose sight of a lab that runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the Makefile, a lab's folder and something to clean."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (".lab", ".tools", ".venv/bin"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def gatepost(project: Path, script: str) -> None:
    file = project / ".venv/bin/gatepost"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def clean(project: Path) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-C", str(project), "clean"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_lab_is_taken_down_first(project: Path) -> None:
    gatepost(project, 'echo "$@" >asked')
    assert clean(project).returncode == 0
    assert (project / "asked").read_text() == "lab down\n"
    assert sorted(path.name for path in project.iterdir()) == ["Makefile", "asked"]


@pytest.mark.parametrize("script", ["exit 1", ""])
def test_a_lab_that_is_not_taken_down_stays_known(project: Path, script: str) -> None:
    if script:
        gatepost(project, script)
    done = clean(project)
    assert done.returncode != 0
    assert ".lab may be a running lab's" in done.stderr
    assert (project / ".lab").exists()
    assert (project / ".venv").exists()


def test_without_a_lab_nothing_is_asked_for(project: Path) -> None:
    (project / ".lab").rmdir()
    assert clean(project).returncode == 0
    assert [path.name for path in project.iterdir()] == ["Makefile"]
