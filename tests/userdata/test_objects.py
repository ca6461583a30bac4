"""What a host believes of the directory: at least thirty states that it must not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from directories import (
    BRANCH,
    FORWARDING_HUB,
    HOME_KEY,
    HUB,
    HUB_ADDRESS,
    OSAKA_KEY,
    RELAY,
    Bucket,
    alarms,
    altered,
    follow,
    tables,
    texts,
)
from hostile import ADDRESSES, ADDRESSES_KEY, HOME, JIRO, OSAKA, PEOPLE, TEXT, osaka
from hypothesis import given
from hypothesis import strategies as st

from userdata.machine.gatepost_directory.objects import Refused, check_key, parse


@pytest.mark.parametrize("state", PEOPLE)
def test_a_malformed_or_hostile_object_is_refused(state: str) -> None:
    body, reason = PEOPLE[state]
    with pytest.raises(Refused, match=reason) as caught:
        parse(OSAKA_KEY, body, HUB)
    said = str(caught.value)
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 400


def test_an_object_that_is_right_is_taken() -> None:
    for key, text in {**HOME, **OSAKA}.items():
        assert parse(key, text.encode(), HUB) == json.loads(text)


def led(member: Any, owner: str = "environment") -> tuple[str, bytes]:
    """An owner's object whose alias leads to a user and to another member."""
    objects, key = (HOME, HOME_KEY) if owner == "environment" else (OSAKA, OSAKA_KEY)
    data = json.loads(objects[key])
    [name, *_] = data["aliases"]
    data["aliases"][name].append(member)
    return key, json.dumps(data).encode()


def test_the_environment_s_aliases_lead_outside_where_the_hub_forwards() -> None:
    key, body = led("me+x@mail.example.net")
    assert parse(key, body, FORWARDING_HUB) == json.loads(body)
    with pytest.raises(Refused, match="must be addresses of the same object, got 'me"):
        parse(key, body, HUB)
    with pytest.raises(Refused, match="must be addresses of the same object, got me"):
        parse(*led("me@example.net", "branches/osaka"), FORWARDING_HUB)


@pytest.mark.parametrize(
    "member",
    [
        "nobody@example.jp",
        "taro+x@example.jp",
        "x@ms.example.jp",
        "x@dmz-ms.example.jp",
        "x@[192.0.2.1]",
        "x@192.0.2.1",
        "x@localhost",
        '"x y"@example.net',
        "x y@example.net",
        "x@example.net, y@example.net",
        "x@example.net\n",
        "x\n@example.net",
        "x\0@example.net",
        "x\t@example.net",
        "x\x7f@example.net",
        "|cmd@example.net",
        "$(id)@example.net",
        "/etc/passwd@example.net",
        ":include:/x@example.net",
        "x%y@example.net",
        "x!y@example.net",
        "x@y@example.net",
        "x..y@example.net",
        "-x@example.net",
        "X@example.net",
        "t\u0430ro@example.net",
        "x@ex\u0430mple.net",
        "@example.net",
        "x@",
        "x",
        "",
        f"{'x' * 65}@example.net",
        f"x@{'a.' * 127}net",
        7,
        ["x@example.net"],
        None,
    ],
    ids=repr,
)
def test_nothing_is_forwarded_to_a_hostile_address(member: Any) -> None:
    with pytest.raises(Refused, match=r"aliases\..*: must be addresses of the same object"):
        parse(*led(member), FORWARDING_HUB)


@pytest.mark.parametrize(
    "key",
    [
        "people/branches/../environment.json",
        "people/branches/osaka",
        "people/branches/Osaka.json",
        "people/branches/o;rm.json",
        "people/branches/a\nb.json",
        "people/branches/osaka.json.json",
        "people/branches/o/saka.json",
        "people/other.json",
        "people/",
        "people/.json",
        f"people/branches/{'x' * 21}.json",
    ],
)
def test_a_key_that_is_no_owner_s_is_refused_unread(key: str, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="must be environment"):
        check_key(key)
    bucket = Bucket(HOME, {key: TEXT})
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    assert bucket.fetched == [HOME_KEY]
    assert alarms(tmp_path)[0].startswith("refused ")


@pytest.mark.parametrize("state", ADDRESSES)
def test_a_relay_checks_what_it_reads(state: str) -> None:
    body, reason = ADDRESSES[state]
    with pytest.raises(Refused, match=reason):
        parse(ADDRESSES_KEY, body, RELAY)


def test_the_environment_s_part_comes_with_the_hub_s_address() -> None:
    with pytest.raises(Refused, match=f"must be the hub's {HUB_ADDRESS}"):
        parse(HOME_KEY, altered(HOME[HOME_KEY], address="192.168.0.9"), HUB)


MX1, MX2 = (
    {"host": "mx1.example.jp", "address": "10.1.1.4"},
    {"host": "mx2.example.jp", "address": "10.1.2.5"},
)
NO_RELAYS: dict[str, tuple[Any, str]] = {
    "none": ([], "must be a list of 1 to 4"),
    "five": ([MX1] * 5, "must be a list of 1 to 4"),
    "a mapping": ({"mx1.example.jp": "10.1.1.4"}, "must be a list"),
    "names": (["mx1.example.jp"], "must each have host and address"),
    "no address": ([{"host": "mx1.example.jp"}], "must each have host and address"),
    "a port": ([MX1 | {"port": 25}], "must each have host and address"),
    "no host name": ([MX1 | {"host": "mx1"}], "must be host names"),
    "a table's line": ([MX1 | {"host": "mx1.example.jp\nx"}], "must be host names"),
    "a number": ([MX1 | {"address": 167837956}], "must be within 10.1.0.0/16"),
    "a network": ([MX1 | {"address": "10.1.1.0/24"}], "must be within 10.1.0.0/16"),
    "a name": ([MX1 | {"address": "mx1.example.jp"}], "must be within 10.1.0.0/16"),
    "two next hops": ([MX1 | {"address": "10.1.1.4], [192.0.2.1"}], "must be within 10.1.0.0/16"),
    "the Internet": ([MX1, MX2 | {"address": "192.0.2.1"}], "must be within 10.1.0.0/16"),
    "a branch": ([MX1 | {"address": "192.168.10.5"}], "must be within 10.1.0.0/16"),
    "the hub's address": ([MX1 | {"address": HUB_ADDRESS}], "must differ from each other"),
    "the hub's name": ([MX1 | {"host": "ms.example.jp"}], "must differ from each other"),
    "one twice": ([MX1, MX1], "must differ from each other"),
    "one address twice": ([MX1, MX2 | {"address": "10.1.1.4"}], "must differ from each other"),
    "one key twice": ([MX1, MX2 | {"host": "mx1.example.co.jp"}], "must differ from each other"),
}


@pytest.mark.parametrize("state", NO_RELAYS)
def test_only_hosts_within_the_environment_are_relays(state: str) -> None:
    relays, reason = NO_RELAYS[state]
    with pytest.raises(Refused, match=f"relays: {re.escape(reason)}"):
        parse(HOME_KEY, altered(HOME[HOME_KEY], relays=relays), HUB)
    assert parse(HOME_KEY, altered(HOME[HOME_KEY], relays=[MX1, MX2]), HUB)["relays"] == [MX1, MX2]


def test_relays_are_the_environment_s_to_name() -> None:
    with pytest.raises(Refused, match=r"must have exactly its fields, differs in \['relays'\]"):
        parse(OSAKA_KEY, osaka(relays=[MX1]), HUB)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    with pytest.raises(Refused):
        parse(OSAKA_KEY, body, HUB)


STATES = {"hub": (HUB, PEOPLE), "branch": (BRANCH, PEOPLE), "relay": (RELAY, ADDRESSES)}
READ = {"hub": OSAKA_KEY, "branch": OSAKA_KEY, "relay": ADDRESSES_KEY}
"""The object that each role reads of a branch."""


@pytest.mark.parametrize(
    ("role", "state"), [(role, state) for role, (_, states) in STATES.items() for state in states]
)
def test_the_last_good_stays_and_the_wrong_one_is_named(
    role: str, state: str, tmp_path: Path
) -> None:
    config, states = STATES[role]
    bucket, key = Bucket(HOME, OSAKA), READ[role]
    follower = follow(tmp_path, bucket, config)
    assert follower.look()
    before = tables(tmp_path)
    assert JIRO in before["recipients"]
    assert alarms(tmp_path) == []
    bucket.objects[key], reason = states[state]
    follower.look()
    assert tables(tmp_path) == before
    [alarm] = alarms(tmp_path)
    assert re.match(f"refused {key}: .*({reason})", alarm), alarm
    bucket.put(texts("branches/osaka", users=["goro@example.jp"]))
    follower.look()
    assert "goro@example.jp" in tables(tmp_path)["recipients"]
    assert alarms(tmp_path) == []


@pytest.mark.parametrize("role", STATES)
def test_each_role_has_thirty_states_to_refuse(role: str) -> None:
    assert len(STATES[role][1]) >= 30
