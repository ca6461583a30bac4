"""A real account that the caller's environment names is nothing to a lab."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab import reality
from lab.engine.deploy import Engine
from lab.environment import FORGOTTEN
from lab.holder import Holder, holder
from lab.holder.record import Record
from lab.reality import Reality, aws_environment

ENDPOINT = "http://127.0.0.1:1"
REGION = "us-east-1"


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*FORGOTTEN, *aws_environment(REGION, ENDPOINT)):
        monkeypatch.setenv(name, "real")


def test_the_engine_has_nothing_of_it(tmp_path: Path) -> None:
    engine = Engine(engine=tmp_path, state=tmp_path, project=tmp_path, endpoint=ENDPOINT)
    assert "real" not in engine._environment().values()


def test_no_process_of_the_lab_has_anything_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def communicate(argv: list[str], _in: str, _limit: float, env: dict[str, str]) -> Any:
        given.append(env)
        return holder.Completed(argv, 0, "", "")

    monkeypatch.setattr(holder, "_communicate", communicate)
    lab = Holder(state=tmp_path, record=Record.of(os.getpid()))
    lab.run(["true"], env=aws_environment(REGION, ENDPOINT))
    assert "real" not in given[0].values()


def test_the_lab_itself_reads_its_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that does not exist would be an error of boto3's, and one that does a real one."""

    def read_world(session: boto3.Session, _region: str) -> Any:
        client = session.client("ec2")
        credentials = session.get_credentials()
        assert credentials is not None
        return client.meta.endpoint_url, credentials.access_key, credentials.token

    monkeypatch.setattr(reality, "read_world", read_world)
    lab: Any = {"holder": None, "state": tmp_path, "images": None, "phase": print}
    assert Reality(**lab, region=REGION, endpoint=ENDPOINT).read() == (ENDPOINT, "lab", None)
