"""When the synchroniser says that Postfix may start, and what holds by then."""

from __future__ import annotations

import json
from configparser import ConfigParser
from dataclasses import asdict
from pathlib import Path

import pytest
from directories import RELAY, Bucket, NoQueue, Tables, tables, texts

from userdata.files import machine
from userdata.machine.gatepost_directory import __main__ as program
from userdata.machine.gatepost_directory import watch

HOME = texts("environment")
READY = "READY=1"


class Paused(Exception):
    """The program would sleep until its next look."""


def start(
    folder: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, str, int]]:
    """A relay's synchroniser until its first pause: what it tells systemd, what the table `stale`
    says then, and how much S3 has been asked."""
    told = []

    def pause(_: float) -> None:
        raise Paused

    def notify(message: str) -> None:
        told.append((message, tables(folder).get("stale", ""), bucket.asked))

    monkeypatch.setattr(program, "Store", Tables)
    monkeypatch.setattr(watch, "Waiting", NoQueue)
    monkeypatch.setattr(program.boto3, "client", lambda *_, **__: bucket)
    monkeypatch.setattr(program.time, "sleep", pause)
    monkeypatch.setattr(program, "notify", notify)
    settings = folder / "settings.json"
    settings.write_text(json.dumps(asdict(RELAY)))
    with pytest.raises(Paused):
        program.main(str(settings), str(folder / "state"), str(folder / "run"))
    return told


def test_a_first_boot_is_ready_once_the_first_tables_are_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(HOME)
    bucket.away = True
    assert [word for word, *_ in start(tmp_path, bucket, monkeypatch)] == ["WATCHDOG=1"]
    bucket.away = False
    assert [word for word, *_ in start(tmp_path, bucket, monkeypatch)] == [READY, "WATCHDOG=1"]


def test_a_relay_that_crashed_marks_its_tables_before_it_is_ready_and_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(tmp_path, Bucket(HOME), monkeypatch)
    assert tables(tmp_path)["stale"] == ""
    bucket = Bucket(HOME)
    bucket.away = True
    [(word, stale, asked), *_] = start(tmp_path, bucket, monkeypatch)
    assert (word, asked) == (READY, 0)
    assert "DEFER_IF_REJECT" in stale


def test_postfix_waits_until_the_tables_are_marked() -> None:
    postfix, service = ConfigParser(), ConfigParser()
    postfix.read_string(machine("postfix.conf"))
    # And for the address at which it listens, if it is behind the edge.
    waits = {"gatepost-directory.service", "network-online.target"}
    assert set(postfix["Unit"]["After"].split()) == waits
    assert set(postfix["Unit"]["Wants"].split()) == waits
    service.read_string(machine("gatepost-directory.service"))
    assert service["Service"]["Type"] == "notify"
    # Or each would wait for the other.
    assert "--no-block" in service["Service"]["ExecStartPost"]
    assert "postfix" not in service["Unit"]["After"]
