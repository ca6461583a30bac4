"""The synchroniser as it follows a bucket: what it fetches, shows, and leaves in force."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from directories import (
    BRANCH,
    HOME_KEY,
    HUB,
    OSAKA_KEY,
    RELAY,
    Bucket,
    NoQueue,
    Tables,
    alarms,
    follow,
    tables,
    texts,
)

from userdata.machine.gatepost_directory import watch
from userdata.machine.gatepost_directory.objects import Config, Refused

HOME = texts("environment")
OSAKA = texts("branches/osaka", users=["jiro@example.jp"])
CONFIGS = pytest.mark.parametrize("config", [RELAY, HUB, BRANCH], ids=lambda c: c.role)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The one number is what the synchroniser's clock shows."""
    shown = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: shown[0])
    return shown


@CONFIGS
def test_nothing_is_fetched_again_that_did_not_change(config: Config, tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, config)
    follower.look()
    fetched = {key for key in (HOME | OSAKA) if key.startswith(config.prefix or config.required)}
    assert set(bucket.fetched) == fetched
    for _ in range(3):
        follower.look()
    assert len(bucket.fetched) == len(fetched)
    bucket.put(texts("branches/osaka", users=["goro@example.jp"]))
    follower.look()
    assert len(bucket.fetched) == len(fetched) + 1


def test_a_refusal_is_said_once_and_its_end_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    bucket.objects[OSAKA_KEY] = b"{"
    follower.look()
    assert f"refused {OSAKA_KEY}: must be JSON" in capsys.readouterr().err
    follower.look()
    assert capsys.readouterr().err == "", "said once, not at every look"
    bucket.put(OSAKA)
    follower.look()
    assert f"mended: refused {OSAKA_KEY}" in capsys.readouterr().out


def test_a_branch_that_goes_takes_its_people_along(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    del bucket.objects[OSAKA_KEY]
    follower.look()
    found = tables(tmp_path)
    assert "jiro" not in found["transport"] + found["aliases"] + found["branch_certs"]
    assert alarms(tmp_path) == []


@CONFIGS
def test_nothing_is_served_before_the_own_part_has_come(config: Config, tmp_path: Path) -> None:
    other = texts("branches/nagoya", users=["goro@example.jp"])
    bucket = Bucket(other)
    follower = follow(tmp_path, bucket, config)
    assert not follower.look()
    assert alarms(tmp_path) == [f"missing {config.required}: nothing to serve"]
    bucket.put(HOME | OSAKA)
    assert follower.look()
    assert alarms(tmp_path) == []


@CONFIGS
def test_an_own_part_that_vanishes_stays_in_force(config: Config, tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, config)
    follower.look()
    before = tables(tmp_path)
    del bucket.objects[config.required]
    assert follower.look()
    assert tables(tmp_path) == before
    assert alarms(tmp_path) == [f"missing {config.required}: the last good one stays in force"]
    bucket.put(HOME | OSAKA)
    follower.look()
    assert alarms(tmp_path) == []


def test_the_last_good_state_is_on_disk(tmp_path: Path) -> None:
    follow(tmp_path, Bucket(HOME, OSAKA), HUB).look()
    before = tables(tmp_path)
    bucket = Bucket(HOME, OSAKA)
    bucket.away = True
    again = follow(tmp_path, bucket, HUB)
    assert set(again.parts) == {HOME_KEY, OSAKA_KEY}
    assert again.look(), "a host that boots without the directory serves"
    assert tables(tmp_path) == before


def test_what_another_release_left_on_disk_is_fetched_again(tmp_path: Path) -> None:
    store = Tables(tmp_path / "state")
    store.keep(HOME_KEY, {"version": 1})
    store.parts.joinpath("broken").write_text("{")
    follower = follow(tmp_path, Bucket(HOME), HUB)
    assert follower.parts == {}
    assert follower.look()
    assert "taro@example.jp" in tables(tmp_path)["transport"]


@CONFIGS
def test_while_s3_is_away_all_stays_and_the_newest_is_taken_on_return(
    config: Config, tmp_path: Path, now: list[float]
) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, config)
    follower.look()
    before = tables(tmp_path)
    bucket.away = True
    bucket.put(texts("branches/osaka", users=["goro@example.jp"]))
    for now[0] in (1.0, watch.STALE_AFTER):
        assert follower.look()
        assert tables(tmp_path) == before
        assert alarms(tmp_path) == [], "S3 is allowed a moment"
    for now[0] in (watch.STALE_AFTER + 1, watch.ALARM_AFTER):
        follower.look()
        stale = tables(tmp_path).get("stale")
        assert (config.role == "relay") == bool(stale and "DEFER_IF_REJECT" in stale)
        assert alarms(tmp_path) == []
    now[0] = watch.ALARM_AFTER + 1
    follower.look()
    [alarm] = alarms(tmp_path)
    assert alarm.startswith("the directory does not answer: ")
    bucket.away = False
    follower.look()
    assert alarms(tmp_path) == []
    assert "goro@example.jp" in tables(tmp_path)["recipients"]
    assert not tables(tmp_path).get("stale")


def test_an_old_complaint_stays_while_s3_is_away(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    bucket.objects[OSAKA_KEY] = b"{"
    follower.look()
    before = alarms(tmp_path)
    assert before
    bucket.away = True
    follower.look()
    assert alarms(tmp_path) == before


def test_one_object_that_cannot_be_read_holds_up_no_other(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    bucket.unreadable = {OSAKA_KEY}
    follower = follow(tmp_path, bucket, HUB)
    assert follower.look()
    assert "taro@example.jp" in tables(tmp_path)["transport"]
    [alarm] = alarms(tmp_path)
    assert alarm.startswith(f"refused {OSAKA_KEY}: cannot be fetched: ")
    bucket.unreadable.clear()
    follower.look()
    assert "jiro@example.jp" in tables(tmp_path)["transport"]
    assert alarms(tmp_path) == []


def test_what_was_taken_before_s3_broke_off_comes_in_force(tmp_path: Path) -> None:
    """Osaka's new people are read, the connection breaks off, and the rest turns out wrong."""
    other = texts("branches/tokyo", users=["goro@example.jp"])
    bucket = Bucket(HOME, OSAKA, other)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    bucket.put(texts("branches/osaka", users=["shiro@example.jp"]))
    [wrong] = [key for key in other if key.startswith(HUB.prefix)]
    bucket.objects[wrong] = b"{"
    bucket.breaking = {wrong}
    follower.look()
    assert "shiro@example.jp" not in tables(tmp_path)["transport"]
    bucket.breaking.clear()
    follower.look()
    assert "shiro@example.jp" in tables(tmp_path)["transport"]
    assert "goro@example.jp" in tables(tmp_path)["transport"], "its last good state"


def test_a_table_that_answers_wrongly_never_comes_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    before = tables(tmp_path)

    def broken(_store: Tables, name: str, _prefix: str, _table: dict[str, str]) -> None:
        raise Refused(f"table {name}: must answer as it was built, got 'x' for 'y'")

    bucket.put(texts("branches/osaka", users=["goro@example.jp"]))
    with monkeypatch.context() as patch:
        patch.setattr(Tables, "_build", broken)
        follower.look()
        assert tables(tmp_path) == before
        assert any(a.startswith("not in force: table ") for a in alarms(tmp_path))
    follower.look()
    assert "goro@example.jp" in tables(tmp_path)["transport"]
    assert alarms(tmp_path) == []


def test_a_branch_that_claims_everyone_fills_no_alarm_with_it(tmp_path: Path) -> None:
    everyone = [f"u{number}@example.jp" for number in range(500)]
    users = ["taro@example.jp", *everyone]
    bucket = Bucket(texts("environment", users=users), texts("branches/osaka", users=everyone))
    follow(tmp_path, bucket, HUB).look()
    found = alarms(tmp_path)
    assert len(found) == watch.MOST_CONFLICTS + 1
    assert f"conflict: {500 - watch.MOST_CONFLICTS} more" in found
    assert "conflict: branches/osaka: u0@example.jp belongs to environment" in found


def test_changed_tables_have_what_waited_for_them_tried(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    queue = NoQueue(HUB)
    follower.waiting = queue
    for _ in range(3):
        follower.look()
    assert queue.settled == 1
    bucket.put(texts("branches/osaka", users=["goro@example.jp"]))
    follower.look()
    assert queue.settled == 2


def test_once_the_ways_are_known_smtpd_begins_anew(tmp_path: Path, now: list[float]) -> None:
    """By a table's time of change, which Postfix compares in whole seconds (src/util/dict.c)."""
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    [table] = tmp_path.rglob("tables/mailboxes.cdb")

    def renewed(seconds: float) -> bool:
        os.utime(table, (1, 1))
        now[0] += seconds
        follower.look()
        return table.stat().st_mtime > 1

    assert renewed(watch.SETTLED)
    assert not renewed(watch.SETTLED)
    bucket.put(texts("branches/osaka", users=["goro@example.jp"]))
    follower.look()
    assert not renewed(watch.SETTLED - 1)
    # Of changes that follow one another each has its turn, also while S3 is away.
    bucket.put(texts("branches/osaka", users=["goro@example.jp", "rokuro@example.jp"]))
    follower.look()
    bucket.away = True
    assert renewed(1)
    assert not renewed(1)
    assert renewed(watch.SETTLED)
    assert not renewed(watch.SETTLED)


def test_what_is_in_force_is_shown_by_its_entity_tags(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    state = json.loads((tmp_path / "run" / "directory.json").read_text())
    assert set(state["objects"]) == {HOME_KEY, OSAKA_KEY}
    bucket.objects[OSAKA_KEY] = b"{"
    follower.look()
    assert json.loads((tmp_path / "run" / "directory.json").read_text()) == state


def figures(folder: Path) -> dict[str, int]:
    """What Prometheus would read."""
    lines = (folder / "run" / "directory.prom").read_text().splitlines()
    told = [line.split() for line in lines if not line.startswith("#")]
    assert [line for line in lines if line.startswith("# TYPE")] == [
        f"# TYPE {name} gauge" for name, _ in told
    ]
    return {name.removeprefix("gatepost_directory_"): int(value) for name, value in told}


def test_figures_tell_of_refusals_and_conflicts_and_of_s3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(watch.time, "time", lambda: now[0])
    nagoya = texts("branches/nagoya", users=["taro@example.jp", "goro@example.jp"])
    bucket = Bucket(HOME, OSAKA, nagoya)
    bucket.away = True
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    assert set(figures(tmp_path).values()) == {0}
    bucket.away = False
    follower.look()
    found = figures(tmp_path)
    assert (found["objects"], found["refused"], found["conflicts"]) == (3, 0, 1)
    assert found["answered_timestamp_seconds"] == 1000
    applied = found["applied_timestamp_seconds"]
    assert applied == int((tmp_path / "state" / "ready").stat().st_mtime)
    bucket.objects[OSAKA_KEY] = b"{"
    bucket.put(texts("branches/nagoya", users=["goro@example.jp"]))
    now[0] = 2000.0
    follower.look()
    found = figures(tmp_path)
    assert (found["objects"], found["refused"], found["conflicts"]) == (3, 1, 0)
    assert found["answered_timestamp_seconds"] == 2000
    bucket.away, now[0] = True, 3000.0
    follower.look()
    assert figures(tmp_path) == found


def test_tables_change_in_two_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person becomes an alias of another: at no moment is an address without an answer."""
    store = Tables(tmp_path)
    store.install(
        {
            "transport": {"a@x": "virtual:", "b@x": "virtual:"},
            "aliases": {},
            "recipients": {"a@x": "OK", "b@x": "OK"},
        }
    )
    seen = []

    def replaced(source: str | Path, target: str | Path) -> None:
        Path(source).rename(target)
        if Path(target).suffix == ".cdb":
            return
        live = {name: store._live(name) or {} for name in ("transport", "aliases", "recipients")}
        for address in live["recipients"]:
            assert live["aliases"].get(address, address) in live["transport"], live
        seen.append(Path(target).name)

    monkeypatch.setattr("userdata.machine.gatepost_directory.store.os.replace", replaced)
    store.install(
        {
            "transport": {"b@x": "virtual:", "c@x": "virtual:"},
            "aliases": {"a@x": "c@x"},
            "recipients": {"a@x": "OK", "b@x": "OK", "c@x": "OK"},
        }
    )
    assert seen == ["transport", "aliases", "recipients", "transport"]
    seen.clear()
    store.install(
        {
            "transport": {"b@x": "virtual:"},
            "aliases": {},
            "recipients": {"b@x": "OK"},
        }
    )
    assert seen == ["transport", "aliases", "recipients", "recipients", "aliases", "transport"]
