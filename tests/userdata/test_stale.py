"""A relay that may not have heard of an address says 450 where it would say 550."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from botocore.exceptions import NoCredentialsError
from directories import RELAY, Bucket, Tables, alarms, follow, tables, texts

from userdata.machine.gatepost_directory import watch
from userdata.machine.gatepost_directory.objects import Refused

HOME = texts("environment")
OSAKA_ADDRESSES = "addresses/branches/osaka.json"


def test_a_relay_is_out_of_date_until_its_first_look(tmp_path: Path) -> None:
    bucket = Bucket(HOME)
    follower = follow(tmp_path, bucket, RELAY)
    follower.look()
    follower.set_stale(True)
    assert "DEFER_IF_REJECT" in tables(tmp_path)["stale"]
    follower.look()
    assert tables(tmp_path)["stale"] == ""


@pytest.mark.parametrize("trouble", ["malformed", "too large", "not to be fetched"])
def test_a_relay_that_never_knew_a_branch_s_people_refuses_nobody_as_unknown(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new relay, or a first boot: there is no last good state of that branch."""
    many = texts(
        "branches/osaka",
        users=["jiro@example.jp", *(f"u{number}@example.jp" for number in range(20))],
    )
    bucket = Bucket(HOME, many)
    if trouble == "malformed":
        bucket.objects[OSAKA_ADDRESSES] = b"{"
    elif trouble == "too large":
        monkeypatch.setattr(watch, "LARGEST_OBJECT", len(many[OSAKA_ADDRESSES]) - 1)
    else:
        bucket.unreadable = {OSAKA_ADDRESSES}
    follower = follow(tmp_path, bucket, RELAY)
    for _ in range(3):
        assert follower.look(), "the others' mail is taken"
        assert "DEFER_IF_REJECT" in tables(tmp_path)["stale"]
        assert "jiro@example.jp" not in tables(tmp_path)["recipients"]
    bucket.unreadable.clear()
    monkeypatch.undo()
    bucket.put(texts("branches/osaka", users=["goro@example.jp"]))
    follower.look()
    assert "goro@example.jp" in tables(tmp_path)["recipients"]
    assert tables(tmp_path)["stale"] == ""
    bucket.objects[OSAKA_ADDRESSES] = b"{"
    follower.look()
    assert tables(tmp_path)["stale"] == "", "a last good state is enough"


def test_a_relay_that_cannot_take_the_environment_s_own_part_is_out_of_date(tmp_path: Path) -> None:
    """As one whose turn has not come, when a domain is added."""
    bucket = Bucket(HOME)
    follower = follow(tmp_path, bucket, RELAY)
    follower.look()
    assert tables(tmp_path)["stale"] == ""
    bucket.put({key: text.replace("@example.jp", "@new.example") for key, text in HOME.items()})
    follower.look()
    follower.look()
    assert "must be an address in our mail domains" in alarms(tmp_path)[0]
    assert "DEFER_IF_REJECT" in tables(tmp_path)["stale"]
    bucket.put(HOME)
    follower.look()
    assert tables(tmp_path)["stale"] == ""


def test_without_credentials_it_ends_so_that_a_new_process_asks_for_them(tmp_path: Path) -> None:
    bucket = Bucket(HOME)
    follower = follow(tmp_path, bucket, RELAY)
    follower.look()

    def refuse(**_: object) -> None:
        raise NoCredentialsError

    follower.s3 = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=refuse))
    with pytest.raises(NoCredentialsError):
        follower.look()
    assert alarms(tmp_path)[0].startswith("the host's role gives no credentials")
    follow(tmp_path, bucket, RELAY).look()
    assert alarms(tmp_path) == []


def test_who_was_never_known_and_goes_leaves_a_relay_sure(tmp_path: Path) -> None:
    bucket = Bucket(HOME, {OSAKA_ADDRESSES: "{"})
    follower = follow(tmp_path, bucket, RELAY)
    follower.look()
    assert "DEFER_IF_REJECT" in tables(tmp_path)["stale"]
    del bucket.objects[OSAKA_ADDRESSES]
    follower.look()
    assert tables(tmp_path)["stale"] == ""


def test_a_key_that_is_no_owner_s_makes_no_relay_unsure(tmp_path: Path) -> None:
    follower = follow(tmp_path, Bucket(HOME, {"addresses/other.json": "{"}), RELAY)
    follower.look()
    follower.look()
    assert alarms(tmp_path)[0].startswith("refused addresses/other.json")
    assert tables(tmp_path)["stale"] == ""


@pytest.mark.parametrize("broken", [["recipients"], ["recipients", "stale"]], ids=str)
def test_a_relay_whose_new_tables_cannot_be_built_is_out_of_date(
    broken: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(HOME)
    follower = follow(tmp_path, bucket, RELAY)
    follower.look()
    build = Tables._build

    def breaking(store: Tables, name: str, prefix: str, table: dict[str, str]) -> None:
        if name in broken:
            raise Refused(f"table {name}: postmap says 'no space'")
        build(store, name, prefix, table)

    bucket.put(texts("branches/osaka", users=["goro@example.jp"]))
    with monkeypatch.context() as patch:
        patch.setattr(Tables, "_build", breaking)
        assert follower.look(), "what it knew it still serves"
        assert f"not in force: table {broken[-1]}: postmap says 'no space'" in alarms(tmp_path)
        assert ("DEFER_IF_REJECT" in tables(tmp_path)["stale"]) == ("stale" not in broken)
    follower.look()
    assert "goro@example.jp" in tables(tmp_path)["recipients"]
    assert tables(tmp_path)["stale"] == ""
    assert alarms(tmp_path) == []
