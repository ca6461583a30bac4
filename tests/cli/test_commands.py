"""What the commands make of a lab's answers: exit status, output, and that the main job cleans."""

from __future__ import annotations

import json
import os
import signal
from argparse import Namespace
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from checks.suite import Failed, Verdict
from cli import commands
from cli.main import main
from lab.faults import SOUND, Faults
from lab.host import search_path
from lab.hosts import HostStatus

GOOD = Verdict(check="one", passed=True, finding="fine", seconds=0.1)
BAD = Verdict(check="two", passed=False, finding="the sky fell", seconds=0.2)


class Lab:
    """Writes down what is done to it."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.record: dict[str, Any] = {}
        self.is_claimed = False

    @contextmanager
    def claimed(self) -> Generator[None]:
        assert not self.is_claimed
        self.is_claimed = True
        yield
        self.is_claimed = False

    def up(self, stacks: list[str], *, tied: bool = False, faults: Faults = SOUND) -> list[Any]:
        assert self.is_claimed
        self.done.append(("up", stacks, tied))
        self.faults = faults
        return []

    def clean_up(self) -> None:
        assert self.is_claimed
        self.done.append("down")


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab()
    progress = Namespace(phase=lambda _text: None)
    monkeypatch.setattr(commands, "_lab", lambda _arguments: (lab, progress))
    monkeypatch.setattr(commands, "wait_ready", lambda _twin: None)
    return lab


def suite(monkeypatch: pytest.MonkeyPatch, *verdicts: Verdict | BaseException) -> None:
    def run(_twin: Any) -> Iterator[Verdict]:
        for each in verdicts:
            if isinstance(each, BaseException):
                raise each
            yield each

    monkeypatch.setattr(commands, "run_suite", run)


@pytest.mark.parametrize(
    ("verdicts", "status", "said"),
    [([GOOD, GOOD], 0, "2 of 2 checks passed"), ([GOOD, BAD], 1, "1 of 2 checks passed")],
)
def test_the_main_jobs_status_is_its_verdicts(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verdicts: list[Verdict],
    status: int,
    said: str,
) -> None:
    suite(monkeypatch, *verdicts)
    assert main(["lab"]) == status
    assert said in capsys.readouterr().out
    assert lab.done == [("up", ["dev", "dev-osaka"], True), "down"]


def test_the_main_job_shows_what_a_check_found(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite(monkeypatch, BAD)
    main(["lab"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL")
    assert lines[0].endswith("two")
    assert lines[1].strip() == "the sky fell"


def test_the_main_job_cleans_up_when_it_is_interrupted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite(monkeypatch, GOOD, KeyboardInterrupt())
    assert main(["lab"]) == 130
    assert lab.done[-1] == "down"
    assert capsys.readouterr().err == "gatepost: interrupted; the lab has been cleaned up\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_ends_the_main_job_as_sigterm_does(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
) -> None:
    # These tests may run under nohup(1).
    before = signal.signal(number, signal.SIG_DFL)
    try:
        monkeypatch.setattr(commands, "run_suite", lambda _twin: signal.raise_signal(number))
        assert main(["lab"]) == 128 + number
        assert lab.done[-1] == "down"
        assert capsys.readouterr().err == "gatepost: terminated; the lab has been cleaned up\n"
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_nohup_is_respected(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_twin: Any) -> Iterator[Verdict]:
        signal.raise_signal(signal.SIGHUP)
        yield GOOD

    monkeypatch.setattr(commands, "run_suite", run)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["lab"]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("problem", "status", "after"),
    [(Failed("no mail service on ms"), 1, []), (KeyboardInterrupt(), 130, ["down"])],
)
def test_a_lab_that_takes_no_mail_stays_unless_interrupted(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    problem: BaseException,
    status: int,
    after: list[str],
) -> None:
    def wait_ready(_twin: Any) -> None:
        raise problem

    monkeypatch.setattr(commands, "wait_ready", wait_ready)
    assert main(["lab", "up", "dev"]) == status
    assert lab.done == [("up", ["dev"], False), *after]


@pytest.mark.parametrize("words", [[], ["--undelegated"]])
def test_a_lab_may_begin_with_a_domain_that_nobody_delegates(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    def wait_ready(_twin: Any) -> None:
        raise Failed("no mail service on ms")

    monkeypatch.setattr(commands, "wait_ready", wait_ready)
    main(["lab", "up", *words, "dev"])
    assert lab.faults == Faults(undelegated=bool(words))


@pytest.mark.parametrize(("verdicts", "status"), [([GOOD], 0), ([GOOD, BAD], 1)])
def test_check_for_machines(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    verdicts: list[Verdict],
    status: int,
) -> None:
    suite(monkeypatch, *verdicts)
    assert main(["lab", "check", "--json"]) == status
    found = json.loads(capsys.readouterr().out)
    assert [(each["check"], each["passed"]) for each in found] == [
        (each.check, each.passed) for each in verdicts
    ]


def test_the_status_shows_what_running_hosts_complain_of(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def row(name: str, *, running: bool = True) -> HostStatus:
        words = dict.fromkeys(("role", "private_ip", "public_ip", "boot_id"), "")
        return HostStatus(name=name, instance=f"i-{name}", running=running, **words)

    asked = []

    def standing(_twin: Any, names: list[str]) -> dict[str, dict[str, str]]:
        asked.append(names)
        return {"ms": {"port25": "is blocked"}}

    monkeypatch.setattr(
        commands.hosts, "statuses", lambda _lab: [row("ms"), row("a", running=False)]
    )
    monkeypatch.setattr(commands, "standing", standing)
    lab.record = {"stacks": ["dev"]}
    assert commands.status(Namespace(json=False)) == 0
    assert "ALARM  ms  port25: is blocked" in capsys.readouterr().out.splitlines()
    assert commands.status(Namespace(json=True)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["alarms"] == {"ms": {"port25": "is blocked"}}
    assert asked == [["ms"], ["ms"]]


def test_the_lab_s_account_is_told_as_a_shell_takes_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "intranet")
    lab.record = {"region": "us-east-1", "endpoint": "http://127.0.0.1:1"}
    assert commands.environment(Namespace()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "export AWS_ENDPOINT_URL=http://127.0.0.1:1" in lines
    assert "export no_proxy=intranet,127.0.0.1,localhost" in lines
    assert {"AWS_PROFILE", "AWS_SESSION_TOKEN"} < set(lines.pop(0).removeprefix("unset ").split())
    others = [line for line in lines if not line.startswith("export AWS_")]
    assert all(line.lower().startswith("export no_proxy=") for line in others)


def test_whatever_a_lab_starts_finds_root_s_tools(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert main(["lab", "--state", str(tmp_path / "none"), "down"]) == 0
    assert os.environ["PATH"] == search_path()
    assert "/usr/sbin" in os.environ["PATH"].split(":")
