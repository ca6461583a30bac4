"""What `gatepost lab fault` makes of words, and what it refuses."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from cli import commands, fault
from cli.main import main
from lab.errors import LabError
from lab.faults import SOUND, Faults
from lab.internet.plan import INTERNET
from lab.world.model import Instance
from tests.lab.network.worlds import HUB, company


class Lab:
    """Keeps the faults that it is told to make."""

    def __init__(self) -> None:
        self.faults = SOUND
        self.changes = 0
        self.is_claimed = False

    @contextmanager
    def changing(self) -> Generator[None]:
        self.is_claimed = True
        yield
        self.is_claimed = False

    def break_on_purpose(self, faults: Faults) -> None:
        assert self.is_claimed
        self.faults = faults
        self.changes += 1


def find(_lab: Lab, name: str) -> object:
    if name == "internet":
        return INTERNET
    for instance in company().instances:
        if (instance.id, name) == (HUB, "ms"):
            return instance
    raise LabError(f"host {name}: not in this lab")


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab()
    monkeypatch.setattr(commands, "_lab", lambda _arguments: (lab, Namespace()))
    monkeypatch.setattr(fault.hosts, "find", find)
    return lab


def hub() -> Instance:
    return next(item for item in company().instances if item.id == HUB)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("port-25 all on", Faults(port_25=("all",))),
        ("port-25 ms on", Faults(port_25=(hub().name,))),
        ("nat-idle 5", Faults(nat_idle=5)),
        ("blocklist nonsense", Faults(blocklist="nonsense")),
        ("listed 192.0.2.10 on", Faults(listed=("192.0.2.10",))),
        ("certificate internet2 wrong", Faults(wrong_certificate=("internet2",))),
        ("null-sender refused", Faults(null_sender_refused=True)),
        ("certificate smarthost wrong", Faults(wrong_certificate=("smarthost",))),
        ("smarthost-plain on", Faults(smarthost_plain=True)),
        ("undelegated on", Faults(undelegated=True)),
        ("dns remembered", Faults(dns_remembered=True)),
    ],
)
def test_each_fault_is_made_and_mended(
    lab: Lab, words: str, expected: Faults, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "fault", *words.split()]) == 0
    assert lab.faults == expected
    kind = words.split()[0].removesuffix("-sender")
    assert kind in capsys.readouterr().out
    mended = {"on": "off", "wrong": "right", "refused": "accepted", "remembered": "forgotten"}
    again = [mended.get(word, word) for word in words.split()]
    again = ["350" if word == "5" else "normal" if word == "nonsense" else word for word in again]
    assert main(["lab", "fault", *again]) == 0
    assert lab.faults == SOUND
    assert capsys.readouterr().out == "nothing is broken on purpose\n"


def test_faults_add_up_and_are_mended_at_once(lab: Lab) -> None:
    main(["lab", "fault", "listed", "192.0.2.10", "on"])
    main(["lab", "fault", "listed", "192.0.2.9", "on"])
    main(["lab", "fault", "nat-idle", "5"])
    assert lab.faults == Faults(listed=("192.0.2.10", "192.0.2.9"), nat_idle=5)
    main(["lab", "fault", "none"])
    assert lab.faults == SOUND


@pytest.mark.parametrize("words", ["--json port-25 all on", "port-25 all on --json"])
def test_machines_are_answered_wherever_they_ask(
    lab: Lab, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "fault", *words.split()]) == 0
    assert json.loads(capsys.readouterr().out)["port_25"] == ["all"]


def test_faults_are_shown(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    lab.faults = Faults(listed=("192.0.2.9", "192.0.2.10"), nat_idle=5)
    assert main(["lab", "fault"]) == 0
    assert capsys.readouterr().out == "nat-idle: 5\nlisted: 192.0.2.9, 192.0.2.10\n"
    assert main(["lab", "fault", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["nat_idle"] == 5
    assert lab.changes == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("port-25 nobody on", "host nobody: not in this lab"),
        ("port-25 internet on", "only EC2 blocks port 25; internet is outside"),
        ("nat-idle 0", "nat-idle 0: must be 1 to 350 seconds"),
        ("nat-idle 351", "nat-idle 351: must be 1 to 350 seconds"),
        ("listed 300.1.1.1 on", "listed 300.1.1.1: no IPv4 address"),
        ("certificate ms wrong", "certificate ms: must be one of internet, internet2, smarthost"),
    ],
)
def test_what_means_nothing_is_refused(
    lab: Lab, words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "fault", *words.split()]) == 1
    assert said in capsys.readouterr().err
    assert lab.changes == 0
