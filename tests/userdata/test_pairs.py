"""Half an owner's part that is gone: the hub notices, or the edge would refuse people silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from directories import HUB, OSAKA_KEY, RELAY, Bucket, alarms, follow, tables, texts

from userdata.machine.gatepost_directory import pairs

HOME = texts("environment")
OSAKA = texts("branches/osaka", users=["jiro@example.jp"])
OSAKA_ADDRESSES, HOME_ADDRESSES = "addresses/branches/osaka.json", "addresses/environment.json"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [0.0]
    monkeypatch.setattr(pairs.time, "monotonic", lambda: clock[0])
    return clock


@pytest.mark.parametrize(
    ("gone", "alarm"),
    [
        (OSAKA_ADDRESSES, f"missing {OSAKA_ADDRESSES}: the edge refuses"),
        (HOME_ADDRESSES, f"missing {HOME_ADDRESSES}: the edge refuses"),
        (OSAKA_KEY, f"missing {OSAKA_KEY}: the edge takes mail"),
    ],
)
def test_half_an_owner_that_is_gone_is_an_alarm_of_the_hub(
    gone: str, alarm: str, tmp_path: Path, now: list[float]
) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    text = bucket.objects.pop(gone)
    for now[0] in (pairs.EVERY, 2 * pairs.EVERY - 1):
        follower.look()
        assert alarms(tmp_path) == [], "a stack deletes one after the other"
    now[0] = 2 * pairs.EVERY
    follower.look()
    [said] = alarms(tmp_path)
    assert said.startswith(alarm)
    bucket.objects[gone] = text
    now[0] = 3 * pairs.EVERY
    follower.look()
    assert alarms(tmp_path) == []


def test_an_owner_who_goes_as_a_whole_is_said_and_no_alarm(
    tmp_path: Path, now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    for key in OSAKA:
        del bucket.objects[key]
    for now[0] in (pairs.EVERY, 2 * pairs.EVERY, 3 * pairs.EVERY):
        follower.look()
        assert alarms(tmp_path) == []
    assert capsys.readouterr().out.count(f"gone: {OSAKA_KEY}\n") == 1


def test_a_hub_that_may_not_list_the_addresses_says_so_and_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower = follow(tmp_path, Bucket(HOME, OSAKA), HUB)

    def denied() -> set[str]:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "ListObjectsV2")

    monkeypatch.setattr(follower.pairs, "_list", denied)
    assert follower.look()
    assert "jiro@example.jp" in tables(tmp_path)["transport"]
    [said] = alarms(tmp_path)
    assert said.startswith("the addresses cannot be listed: ")


def test_a_relay_sees_its_half_alone(tmp_path: Path, now: list[float]) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, RELAY)
    del bucket.objects[OSAKA_KEY]
    for now[0] in (0.0, pairs.EVERY, 2 * pairs.EVERY):
        follower.look()
    assert alarms(tmp_path) == []
