"""The status that the services leave and the command line waits for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.internet.control import InternetError, Options, Status, command, digest, wait_applied
from lab.internet.services import parse


@pytest.fixture
def world(tmp_path: Path) -> Path:
    file = tmp_path / "world.json"
    file.write_text("{}")
    return file


def test_the_present_worlds_success_is_waited_for(tmp_path: Path, world: Path) -> None:
    Status(world=digest(b"{}"), error=None).write(tmp_path)
    wait_applied(tmp_path, world, limit=0)


def test_an_older_worlds_success_does_not_count(tmp_path: Path, world: Path) -> None:
    Status(world=digest(b"older"), error=None).write(tmp_path)
    with pytest.raises(InternetError, match="did not take up"):
        wait_applied(tmp_path, world, limit=0.05)


def test_an_error_is_told(tmp_path: Path, world: Path) -> None:
    Status(world=digest(b"{}"), error="zone x: bad").write(tmp_path)
    with pytest.raises(InternetError, match="zone x: bad"):
        wait_applied(tmp_path, world, limit=0)


def test_an_end_is_told_at_once(tmp_path: Path, world: Path) -> None:
    with pytest.raises(InternetError, match="ended; see"):
        wait_applied(tmp_path, world, limit=60, alive=lambda: False)


def test_the_services_read_what_the_command_says(tmp_path: Path, world: Path) -> None:
    Status(world=digest(b"{}"), error=None).write(tmp_path)
    options = Options(
        world=world,
        state=tmp_path,
        lower=(Path("/a"), Path("/b")),
        emulator="http://127.0.0.1:1",
        mirror=tmp_path / "mirror",
        mirror_names=("deb.debian.org", "security.debian.org"),
    )
    assert parse(command(options)[3:]) == options
    assert Status.read(tmp_path) is None
