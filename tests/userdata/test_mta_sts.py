"""The relay's copy of the MTA-STS policy."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from userdata.machine import gatepost_mta_sts as program

POLICY = b"version: STSv1\r\nmode: enforce\r\nmx: mx1.example.jp\r\nmax_age: 86400\r\n"


class S3:
    """A bucket with one object."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.fetched = 0

    def head_object(self, **_: str) -> dict[str, str]:
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
