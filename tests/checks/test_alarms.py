"""Standing alarms are found by what the hosts' own files say."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from checks import alarms
from checks.deployment import Result
from checks.suite import Failed, Scene
from tests.checks.fakes import FakeDeployment


class Hosts(FakeDeployment):
    """Runs what it is asked, with a folder of its own for each host."""

    folder: Path

    def run(self, host: str, argv: Sequence[str], *, stdin: str = "", limit: float = 60) -> Result:
        script = argv[-1].replace(alarms.FOLDER, str(self.folder / host))
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
        return Result(code=done.returncode, out=done.stdout, err=done.stderr)


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    found = Hosts()
    found.folder = tmp_path
    (tmp_path / "dmz-ms.example.jp").mkdir()
    return found


def test_no_alarm_is_no_finding(hosts: Hosts) -> None:
    assert alarms.no_alarm(Scene(hosts)) == "3 hosts"


def test_every_alarm_is_told_with_its_host(hosts: Hosts) -> None:
    folder = hosts.folder / "dmz-ms.example.jp"
    (folder / "port25").write_text("port 25\nis blocked\n")
    (folder / "tls").write_text("late\n")
    (folder / ".new").write_text("half\n")
    assert alarms.standing(hosts, ["dmz-ms.example.jp", "ms.example.jp"]) == {
        "dmz-ms.example.jp": {"port25": "port 25 is blocked", "tls": "late"}
    }
    with pytest.raises(Failed) as failure:
        alarms.no_alarm(Scene(hosts))
    assert str(failure.value) == ("dmz-ms.example.jp: port 25 is blocked; dmz-ms.example.jp: late")
