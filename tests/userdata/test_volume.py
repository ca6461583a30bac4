"""The program that mounts a data volume: how long it waits, and what it complains of."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from userdata.software import HERE

VOLUME = "vol-0123456789abcdef0"
MINUTE = 300
"""Looks in a minute."""
TRY_LATER = 75
"""EX_TEMPFAIL (sysexits.h), upon which systemd tries again."""

SAYS = 'echo "$(basename "$0") $*" >>"$LOG"\n'
STUBS = {
    "blkid": "exit ${BLKID:-0}",
    "dumpe2fs": "echo 'Block count: 1'; echo 'Block size: 4096'",
    "blockdev": "echo 4096",
    "mountpoint": "exit 1",
    "sleep": '[ "$(grep -c ^sleep "$LOG")" -ne "${COMES:-0}" ] || touch "$DEVICE"',
    **dict.fromkeys(("cp", "e2fsck", "mount", "resize2fs", "rmdir", "systemctl", "umount"), ""),
}


class Machine:
    """A machine whose disks are files of `folder`, and whose tools write down what is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.device = (
            folder / "disks" / f"nvme-Amazon_Elastic_Block_Store_{VOLUME.replace('-', '')}"
        )
        self.alarms = folder / "alarms"
        for name in ("bin", "disks"):
            (folder / name).mkdir()
        for name, script in STUBS.items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{SAYS}{script}\n")
            (folder / "bin" / name).chmod(0o755)
        text = (HERE / "gatepost-volume").read_text()
        for real, here in (
            ("/dev/disk/by-id", str(self.device.parent)),
            ("/run/gatepost/alarms", str(self.alarms)),
            ("[ -b ", "[ -e "),
        ):
            assert real in text
            text = text.replace(real, here)
        (folder / "program").write_text(text)

    def run(self, purpose: str, **more: str) -> tuple[int, list[str]]:
        """The exit status, and the commands that were run."""
        log = self.folder / "log"
        log.write_text("")
        environment = {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PURPOSE": purpose,
            "VOLUME": VOLUME,
            "MOUNT": str(self.folder / "mount"),
            "TMPDIR": str(self.folder),
            "LOG": str(log),
            "DEVICE": str(self.device),
        }
        done = subprocess.run(
            ["sh", str(self.folder / "program")],
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.said = done.stderr
        return done.returncode, log.read_text().splitlines()

    def standing(self) -> dict[str, str]:
        return {file.name: file.read_text().strip() for file in self.alarms.glob("*")}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def waited(commands: list[str]) -> int:
    return commands.count("sleep 0.2")


def test_postfix_waits_a_minute_for_certificates_and_no_longer(machine: Machine) -> None:
    status, commands = machine.run("certificates")
    assert status == TRY_LATER
    assert waited(commands) == MINUTE - 1
    told = {"volume-certificates": f"volume {VOLUME} for certificates is not attached"}
    assert machine.standing() == told

    status, commands = machine.run("certificates")
    assert (status, waited(commands)) == (TRY_LATER, 0), "the next attempt is a single look"
    assert machine.standing() == told

    machine.device.touch()
    status, commands = machine.run("certificates")
    assert status == 0
    assert commands[-1] == "systemctl start --no-block gatepost-certificates.service"
    assert machine.standing() == {}


def test_a_volume_that_comes_in_time_is_no_news(machine: Machine) -> None:
    status, commands = machine.run("certificates", COMES="5")
    assert (status, waited(commands)) == (0, 5)
    assert not [line for line in commands if line.startswith("systemctl")]
    assert machine.said == ""
    assert not machine.alarms.exists()


def test_without_its_queue_postfix_waits_and_an_alarm_tells(machine: Machine) -> None:
    status, commands = machine.run("queue", COMES=str(MINUTE + 50))
    assert (status, waited(commands)) == (0, MINUTE + 50)
    assert machine.said == f"volume {VOLUME} for queue is not attached\n"
    assert machine.standing() == {}
    assert not [line for line in commands if line.startswith("systemctl")]


@pytest.mark.parametrize("purpose", ["certificates", "queue"])
def test_a_volume_that_cannot_be_mounted_is_an_alarm(machine: Machine, purpose: str) -> None:
    machine.device.touch()
    status, _ = machine.run(purpose, BLKID="8")
    assert status == 1, "trying again would not help"
    [alarm] = machine.standing().values()
    assert alarm.endswith(f"for {purpose} is not mounted: journalctl -u gatepost-volume@{purpose}")
