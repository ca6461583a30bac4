"""The directory's synchroniser: what it believes, derives, and leaves in force."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from userdata.machine import gatepost_directory as sync
from userdata.machine.gatepost_directory import Config, Refused, Store, Synchroniser, derive, parse

HUB = Config(
    role="hub",
    bucket="b",
    region="us-east-1",
    owner="environment",
    domains=["example.jp", "example.co.jp"],
    branches="192.168.0.0/16",
    hub="10.1.11.5",
    seconds=1,
)
RELAY = replace(HUB, role="relay")
BRANCH = replace(HUB, role="branch", owner="branches/osaka")

HOME_KEY, OSAKA_KEY = "people/environment.json", "people/branches/osaka.json"


def home(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "owner": "environment",
        "users": ["taro@example.jp"],
        "aliases": {"info@example.jp": ["taro@example.jp"], "boss@example.jp": ["taro@example.jp"]},
        "open_aliases": ["info@example.jp"],
    } | changes


def osaka(**changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "owner": "branches/osaka",
        "host": "ms2.example.jp",
        "address": "192.168.10.5",
        "users": ["jiro@example.jp", "taro@example.co.jp"],
        "aliases": {"info@example.jp": ["jiro@example.jp"]},
        "open_aliases": [],
    } | changes


def test_the_hub_knows_where_each_person_lives() -> None:
    tables, conflicts = derive({HOME_KEY: home(), OSAKA_KEY: osaka()}, HUB)
    assert conflicts == []
    assert tables["transport"] == {
        "taro@example.jp": "virtual:",
        "jiro@example.jp": "relay:[192.168.10.5]",
        "taro@example.co.jp": "relay:[192.168.10.5]",
    }
    assert tables["aliases"]["info@example.jp"] == "taro@example.jp, jiro@example.jp"
    assert tables["mailboxes"] == {"taro@example.jp": "example.jp/taro/"}
    assert tables["clients"] == {"192.168.10.5": "branches/osaka"}
    assert set(tables["recipients"]) == set(tables["transport"])


def test_a_branch_keeps_its_own_people_only() -> None:
    tables, _ = derive({OSAKA_KEY: osaka()}, BRANCH)
    assert set(tables["recipients"]) == {"jiro@example.jp", "taro@example.co.jp"}
    assert set(tables["transport"].values()) == {"virtual:"}
    assert "aliases" not in tables


def test_the_relay_knows_addresses_and_nothing_more() -> None:
    parts = {"addresses/environment.json": {"addresses": ["taro@example.jp"]}}
    assert derive(parts, RELAY) == ({"recipients": {"taro@example.jp": "OK"}}, [])


@pytest.mark.parametrize(
    ("branch", "conflict"),
    [
        (osaka(users=["taro@example.jp"], aliases={}), "taro@example.jp belongs to another owner"),
        (
            osaka(aliases={"boss@example.jp": ["jiro@example.jp"]}),
            "alias boss@example.jp belongs to another owner",
        ),
    ],
)
def test_the_environment_s_claim_stands(branch: dict[str, Any], conflict: str) -> None:
    tables, conflicts = derive({HOME_KEY: home(), OSAKA_KEY: branch}, HUB)
    assert conflicts == [f"{OSAKA_KEY}: {conflict}"]
    assert tables["transport"]["taro@example.jp"] == "virtual:"
    assert tables["aliases"]["boss@example.jp"] == "taro@example.jp"


def test_two_branches_with_one_server_are_told_apart_by_name() -> None:
    nagoya = osaka(owner="branches/nagoya", users=["goro@example.jp"], aliases={})
    parts = {HOME_KEY: home(), OSAKA_KEY: osaka(), "people/branches/nagoya.json": nagoya}
    tables, conflicts = derive(parts, HUB)
    assert conflicts == [f"{OSAKA_KEY}: 192.168.10.5 is the server of branches/nagoya"]
    assert "jiro@example.jp" not in tables["recipients"]


HOSTILE = [
    (b"{", "must be JSON"),
    (b"[]", "version 1"),
    (osaka(version=2), "version 1"),
    (osaka(owner="environment"), "must be owned by branches/osaka"),
    (osaka(address="10.1.11.5"), "must be a branch's"),
    (osaka(address="0.0.0.0/0"), "must be IPv4"),
    (osaka(address=None), "must be IPv4"),
    (osaka(host="ms2; rm -rf /"), "must be a host name"),
    (osaka(users=["x@example.net"]), "must be an address in our mail domains"),
    (osaka(users=["x y@example.jp"]), "must be an address"),
    (osaka(users=["x\ny@example.jp"]), "must be an address"),
    (osaka(users=["$(id)@example.jp"]), "must be an address"),
    (osaka(users=["../x@example.jp"]), "must be an address"),
    (osaka(users=[7]), "must be an address"),
    (osaka(users=None), "must be a list"),
    (osaka(aliases=[]), "must map"),
    (osaka(aliases={"info@example.jp": ["taro@example.jp"]}), "users of the same owner"),
    (osaka(aliases={"info@example.jp": []}), "users of the same owner"),
    (osaka(aliases={"|cmd@example.jp": ["jiro@example.jp"]}), "must be an address"),
]


@pytest.mark.parametrize(("content", "reason"), HOSTILE)
def test_a_malformed_or_hostile_object_is_refused(content: Any, reason: str) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(Refused, match=reason):
        parse(OSAKA_KEY, body, HUB)


def test_an_oversized_object_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "LARGEST_OBJECT", 10)
    with pytest.raises(Refused, match="at most 10 bytes, got 11"):
        parse(HOME_KEY, b" " * 11, HUB)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    with pytest.raises(Refused):
        parse(OSAKA_KEY, body, HUB)


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from(["environment", "osaka", "nagoya"]),
    )
)
def test_each_address_has_one_home(homes: dict[str, str]) -> None:
    def of(owner: str) -> list[str]:
        return [f"{user}@example.jp" for user, where in homes.items() if where == owner]

    parts = {
        HOME_KEY: home(users=of("environment"), aliases={}, open_aliases=[]),
        OSAKA_KEY: osaka(users=of("osaka"), aliases={}),
        "people/branches/nagoya.json": osaka(
            owner="branches/nagoya", address="192.168.20.5", users=of("nagoya"), aliases={}
        ),
    }
    tables, conflicts = derive(parts, HUB)
    ways = {
        "environment": "virtual:",
        "osaka": "relay:[192.168.10.5]",
        "nagoya": "relay:[192.168.20.5]",
    }
    assert conflicts == []
    assert tables["transport"] == {f"{u}@example.jp": ways[w] for u, w in homes.items()}


class Bucket:
    """An S3 client over a dictionary; counts what is fetched."""

    def __init__(self, objects: dict[str, Any]) -> None:
        self.objects = objects
        self.fetched: list[str] = []

    def get_paginator(self, _: str) -> Bucket:
        return self

    def paginate(self, Bucket: str, Prefix: str) -> list[dict[str, Any]]:
        found = [key for key in self.objects if key.startswith(Prefix)]
        return [{"Contents": [{"Key": k, "ETag": str(hash(self._body(k)))} for k in found]}]

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        import io

        self.fetched.append(Key)
        return {"Body": io.BytesIO(self._body(Key))}

    def _body(self, key: str) -> bytes:
        value = self.objects[key]
        return value if isinstance(value, bytes) else json.dumps(value).encode()


class Tables(Store):
    """A store that keeps what would be built, without Postfix."""

    def _build(self, name: str, table: dict[str, str]) -> None:
        file = self.tables / f"new-{name}"
        file.write_text(sync._source(table))
        Path(f"{file}.cdb").write_text("cdb")

    def text(self, name: str) -> str:
        return (self.tables / name).read_text()


def test_what_is_refused_leaves_the_last_good_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = Bucket({HOME_KEY: home(), OSAKA_KEY: osaka()})
    store = Tables(tmp_path)
    watcher = Synchroniser(HUB, store, bucket)
    assert watcher.look()
    before = store.text("transport")
    bucket.objects[OSAKA_KEY] = osaka(address="10.1.11.5")
    watcher.look()
    assert store.text("transport") == before
    assert f"refused {OSAKA_KEY}: address: must be a branch's" in capsys.readouterr().err
    watcher.look()
    assert capsys.readouterr().err == "", "said once, not at every look"
    bucket.objects[OSAKA_KEY] = osaka(users=["saburo@example.jp"], aliases={})
    watcher.look()
    assert "saburo@example.jp" in store.text("transport")
    assert f"mended: refused {OSAKA_KEY}" in capsys.readouterr().out


def test_nothing_is_fetched_again_that_did_not_change(tmp_path: Path) -> None:
    bucket = Bucket({HOME_KEY: home(), OSAKA_KEY: osaka()})
    watcher = Synchroniser(HUB, Tables(tmp_path), bucket)
    watcher.look()
    watcher.look()
    assert sorted(bucket.fetched) == [OSAKA_KEY, HOME_KEY]


def test_a_branch_that_goes_takes_its_people_along(tmp_path: Path) -> None:
    bucket = Bucket({HOME_KEY: home(), OSAKA_KEY: osaka()})
    store = Tables(tmp_path)
    watcher = Synchroniser(HUB, store, bucket)
    watcher.look()
    del bucket.objects[OSAKA_KEY]
    watcher.look()
    assert "jiro" not in store.text("transport") + store.text("aliases") + store.text("clients")


def test_nothing_is_served_before_the_environment_s_own_part_has_come(tmp_path: Path) -> None:
    watcher = Synchroniser(HUB, Tables(tmp_path), Bucket({OSAKA_KEY: osaka()}))
    assert not watcher.look()


def test_the_last_good_state_is_on_disk(tmp_path: Path) -> None:
    Synchroniser(HUB, Tables(tmp_path), Bucket({HOME_KEY: home(), OSAKA_KEY: osaka()})).look()
    again = Synchroniser(HUB, Tables(tmp_path), Bucket({}))
    assert set(again.parts) == {HOME_KEY, OSAKA_KEY}
