"""The status that the services leave and the command line waits for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.faults import Faults, faults_file, parse_faults, write_faults
from lab.internet.control import Followed, InternetError, Options, Status, command, wait_applied
from lab.internet.services import parse


@pytest.fixture
def world(tmp_path: Path) -> Path:
    file = tmp_path / "world.json"
    file.write_text("{}")
    return file


def test_the_present_worlds_success_is_waited_for(tmp_path: Path, world: Path) -> None:
    Status(followed=Followed(world=b"{}", faults=b"").digest, error=None).write(tmp_path)
    wait_applied(tmp_path, world, limit=0)


def test_an_older_worlds_success_does_not_count(tmp_path: Path, world: Path) -> None:
    Status(followed=Followed(world=b"older", faults=b"").digest, error=None).write(tmp_path)
    with pytest.raises(InternetError, match="did not take up"):
        wait_applied(tmp_path, world, limit=0.05)


def test_faults_count_too(tmp_path: Path, world: Path) -> None:
    Status(followed=Followed.read(tmp_path, world).digest, error=None).write(tmp_path)
    write_faults(Faults(blocklist="nonsense"), faults_file(tmp_path))
    with pytest.raises(InternetError, match="did not take up"):
        wait_applied(tmp_path, world, limit=0.05)
    assert parse_faults(Followed.read(tmp_path, world).faults.decode()).blocklist == "nonsense"


def test_an_error_is_told(tmp_path: Path, world: Path) -> None:
    Status(followed=Followed(world=b"{}", faults=b"").digest, error="zone x: bad").write(tmp_path)
    with pytest.raises(InternetError, match="zone x: bad"):
        wait_applied(tmp_path, world, limit=0)


def test_an_end_is_told_at_once(tmp_path: Path, world: Path) -> None:
    log = tmp_path / "logs" / "internet.log"
    log.parent.mkdir()
    log.write_text("a port is taken\n")
    with pytest.raises(
        InternetError, match=r"ended\nthe end of .*internet\.log:\n  a port is taken"
    ):
        wait_applied(tmp_path, world, limit=60, alive=lambda: False)


def test_the_services_read_what_the_command_says(tmp_path: Path, world: Path) -> None:
    Status(followed=Followed(world=b"{}", faults=b"").digest, error=None).write(tmp_path)
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
