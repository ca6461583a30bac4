"""Two branches with one server's address or name, as a hub meets them: who has it keeps it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from directories import HUB, OSAKA_KEY, Bucket, alarms, altered, follow, tables, texts

HOME = texts("environment")
OSAKA = texts("branches/osaka", users=["jiro@example.jp"])
NAGOYA_KEY = "people/branches/nagoya.json"
"""Comes before Osaka by name."""
NAGOYA = texts("branches/nagoya", users=["goro@example.jp"])
PLACES = pytest.mark.parametrize(
    ("place", "value"), [("address", "192.168.10.5"), ("host", "ms2.example.jp")]
)


def claiming(place: str, value: str) -> dict[str, str]:
    """Nagoya's people, at Osaka's server."""
    return {NAGOYA_KEY: altered(NAGOYA[NAGOYA_KEY], **{place: value}).decode()}


def ways(folder: Path) -> dict[str, str]:
    lines = tables(folder)["transport"].splitlines()
    return {user: way for user, _, way in (line.partition(" ") for line in lines)}


@PLACES
def test_who_has_a_server_keeps_it(place: str, value: str, tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    before = tables(tmp_path)
    bucket.put(claiming(place, value))
    reason = f"must have a server of its own, {value} belongs to branches/osaka"
    for _ in range(3):
        follower.look()
        assert tables(tmp_path) == before
        assert alarms(tmp_path) == [f"refused {NAGOYA_KEY}: {reason}"]
    assert bucket.fetched.count(NAGOYA_KEY) == 1, "not asked for again and again"
    again = follow(tmp_path, bucket, HUB)
    again.look()
    assert tables(tmp_path) == before, "nor after a restart"


@PLACES
def test_a_branch_that_claims_another_s_server_keeps_its_last_good_state(
    place: str, value: str, tmp_path: Path
) -> None:
    bucket = Bucket(HOME, OSAKA, NAGOYA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    before = tables(tmp_path)
    bucket.put(claiming(place, value))
    follower.look()
    assert tables(tmp_path) == before
    assert ways(tmp_path)["goro@example.jp"] == "relay:[192.168.20.5]"


@PLACES
@pytest.mark.parametrize("moves", [True, False], ids=["moves", "goes"])
def test_a_server_that_is_free_again_goes_to_who_asked_for_it(
    place: str, value: str, moves: bool, tmp_path: Path
) -> None:
    """In one look, too: a branch that gets another name is gone and there at once."""
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    bucket.put(claiming(place, value))
    if moves:
        there = {"host": "ms9.example.jp", "address": "192.168.90.5"}
        bucket.objects[OSAKA_KEY] = altered(OSAKA[OSAKA_KEY], **there)
    else:
        del bucket.objects[OSAKA_KEY]
    follower.look()
    follower.look()
    taken = json.loads(bucket.objects[NAGOYA_KEY])["address"]
    assert ways(tmp_path)["goro@example.jp"] == f"relay:[{taken}]"
    osaka = {"jiro@example.jp": "relay:[192.168.90.5]"} if moves else {}
    assert {user: way for user, way in ways(tmp_path).items() if "jiro" in user} == osaka
    assert not [alarm for alarm in alarms(tmp_path) if alarm.startswith("refused")]


@PLACES
def test_where_nobody_has_it_yet_the_first_by_name_does(
    place: str, value: str, tmp_path: Path
) -> None:
    bucket = Bucket(HOME, OSAKA, claiming(place, value))
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    assert f"conflict: branches/osaka: {value} belongs to branches/nagoya" in alarms(tmp_path)
    assert "jiro@example.jp" not in ways(tmp_path)
    assert "goro@example.jp" in ways(tmp_path)


RELAY_NAME = "dmz-ms.example.jp"


def test_no_branch_gets_a_relay_s_name(tmp_path: Path) -> None:
    bucket = Bucket(HOME, claiming("host", RELAY_NAME))
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    assert f"conflict: branches/nagoya: {RELAY_NAME} belongs to environment" in alarms(tmp_path)
    assert "goro@example.jp" not in ways(tmp_path)
    bucket.put(NAGOYA)
    follower.look()
    before = tables(tmp_path)
    assert "goro@example.jp" in ways(tmp_path)
    bucket.put(claiming("host", RELAY_NAME))
    follower.look()
    reason = f"must have a server of its own, {RELAY_NAME} belongs to environment"
    assert alarms(tmp_path) == [f"refused {NAGOYA_KEY}: {reason}"]
    assert tables(tmp_path) == before
