"""The relay's copy of the MTA-STS policy."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import gatepost_alarms
import pytest
from botocore.exceptions import ClientError

from lab.internet.authority import Authority, open_authority
from userdata.machine import gatepost_mta_sts as program

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx1.example.jp\r\nmax_age: 86400\r\n"


class S3:
    """A bucket with one object."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.fetched = 0
        self.denied = False

    def head_object(self, **_: str) -> dict[str, str]:
        if self.denied:
            raise ClientError({"Error": {"Code": "403", "Message": "Forbidden"}}, "HeadObject")
        return {"ETag": str(hash(self.body))}

    def get_object(self, **_: str) -> dict[str, Any]:
        self.fetched += 1
        return {"Body": io.BytesIO(self.body)}


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(program, "SERVED", tmp_path / "mta-sts.txt")
    return program.SERVED


def test_a_policy_is_fetched_once_and_again_when_it_changes(served: Path) -> None:
    s3 = S3(POLICY)
    seen = program.look(s3, "b", "k", "")
    assert served.read_bytes() == POLICY
    assert program.look(s3, "b", "k", seen) == seen
    assert s3.fetched == 1
    s3.body = POLICY.replace(b"enforce", b"testing")
    assert program.look(s3, "b", "k", seen) != seen
    assert b"testing" in served.read_bytes()


@pytest.mark.parametrize("body", [b"", b"<html>", POLICY + b"x" * program.LARGEST])
def test_what_is_no_policy_is_refused_and_the_last_good_one_stays(
    served: Path, body: bytes
) -> None:
    seen = program.look(S3(POLICY), "b", "k", "")
    with pytest.raises(program.Refused, match="must begin with 'version: STSv1'"):
        program.look(S3(body), "b", "k", seen)
    assert served.read_bytes() == POLICY


HOST = "mx1.example.jp"


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Authority:
    """The one whom senders trust; this relay shows nothing yet."""
    made = open_authority(tmp_path / "authority")
    (tmp_path / "trusted.pem").write_bytes(made.pem)
    monkeypatch.setattr(program, "TRUSTED", str(tmp_path / "trusted.pem"))
    monkeypatch.setattr(program, "SHOWN", tmp_path / "host.pem")
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(program.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def watch(
    served: Path, authority: Authority, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> program.Watch:
    monkeypatch.setattr(gatepost_alarms, "FOLDER", served.parent / "alarms")
    program.SHOWN.write_bytes(authority.issue([HOST]))
    return program.Watch(s3=S3(POLICY), bucket="b", key="k", host=HOST, good=clock[0])


def alarm(watch: program.Watch) -> str:
    watch.look()
    file = gatepost_alarms.FOLDER / program.ALARM
    return file.read_text().strip() if file.exists() else ""


def test_a_policy_that_cannot_be_fetched_for_a_minute_is_an_alarm(
    watch: program.Watch, clock: list[float]
) -> None:
    watch.s3.denied = True
    assert alarm(watch) == ""
    clock[0] += program.PATIENCE
    assert alarm(watch).startswith("the MTA-STS policy cannot be fetched: An error occurred (403)")
    watch.s3.denied = False
    assert alarm(watch) == ""
    watch.s3.denied = True
    clock[0] += program.PATIENCE - 1
    assert alarm(watch) == "", "it was there a moment ago"


def test_to_enforce_what_senders_cannot_verify_is_an_alarm(
    watch: program.Watch, authority: Authority, tmp_path: Path
) -> None:
    assert alarm(watch) == ""
    stranger = open_authority(tmp_path / "another")
    for shown in (stranger.issue([HOST]), authority.issue(["mx2.example.jp"])):
        program.SHOWN.write_bytes(shown)
        said = alarm(watch)
        assert said.startswith(
            f"the MTA-STS policy says enforce, but senders cannot verify {HOST}: "
        )
        assert "error" in said
    watch.s3.body = POLICY.replace(b"enforce", b"testing")
    assert alarm(watch) == "", "who cannot verify only reports so (RFC 8461 section 5)"
    watch.s3.body = POLICY
    program.SHOWN.unlink()
    assert "host.pem" in alarm(watch)
    program.SHOWN.write_bytes(authority.issue([HOST]))
    assert alarm(watch) == ""
