"""What a host believes of the directory: at least thirty states that it must not."""

from __future__ import annotations

import gzip
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
from hypothesis import given
from hypothesis import strategies as st

from userdata.machine.gatepost_directory.objects import Config, Refused, check_key, parse

HOME = texts("environment", aliases={"info@example.jp": ["taro@example.jp"]})
OSAKA = texts(
    "branches/osaka",
    users=["jiro@example.jp", "saburo@example.jp"],
    aliases={"sales@example.jp": ["jiro@example.jp"]},
)
ADDRESSES_KEY = "addresses/branches/osaka.json"
TEXT = OSAKA[OSAKA_KEY]
JIRO = "jiro@example.jp"


def osaka(**changes: Any) -> bytes:
    return altered(TEXT, **changes)


def users(*names: Any) -> bytes:
    return osaka(users=[JIRO, "saburo@example.jp", *names])


def without(field: str) -> bytes:
    data = json.loads(TEXT)
    del data[field]
    return json.dumps(data).encode()


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "must be JSON"),
    "cut short": (TEXT.encode()[:-40], "must be JSON"),
    "a list": (b"[]", "must be an object"),
    "a number": (b"7", "must be an object"),
    "null": (b"null", "must be an object"),
    "not UTF-8": (TEXT.replace(JIRO, "jir\xf6@example.jp").encode("latin-1"), "must be JSON"),
    "UTF-16": (TEXT.encode("utf-16"), "must be JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + TEXT.encode(), "must be JSON"),
    "gzip": (gzip.compress(b" " * 10_000_000), "must be JSON"),
    "NaN": (TEXT.replace('"version": 2', '"version": NaN').encode(), "NaN is no JSON"),
    "a huge number": (TEXT.replace('"version": 2', f'"version": {"9" * 5000}').encode(), "JSON"),
    "deeply nested": (b"[" * 100_000 + b"]" * 100_000, "must be JSON"),
    "too many values": (b"[" + b"0," * 2_000_001 + b"0]", "at most 2000000 values"),
    "a key twice": (
        TEXT.replace('"owner":', '"owner": "x", "owner":').encode(),
        "key 'owner' stands twice",
    ),
    "an alias twice": (
        TEXT.replace(
            '"sales@example.jp": [', '"sales@example.jp": [], "sales@example.jp": ['
        ).encode(),
        "stands twice",
    ),
    "another version": (osaka(version=3), "must be of version 2, got 3"),
    "version true": (osaka(version=True), "must be an object of version 2"),
    "version as text": (osaka(version="2"), "must be an object of version 2"),
    "someone else's name": (osaka(owner="environment"), "must be owned by branches/osaka"),
    "no owner": (osaka(owner=None), "must be owned by branches/osaka"),
    "a field too many": (osaka(shell="/bin/sh"), "differs in .*shell"),
    "a field too few": (without("held"), "differs in .*held"),
    "the hub's address": (osaka(address=HUB_ADDRESS), "must be a branch's"),
    "a relay's address": (osaka(address="10.1.1.4"), "must be a branch's"),
    "an address of the Internet": (osaka(address="198.51.100.1"), "must be a branch's"),
    "a legacy server's address": (osaka(address="203.0.113.9"), "must be a branch's"),
    "the whole world": (osaka(address="0.0.0.0/0"), "must be IPv4"),
    "its whole network": (osaka(address="192.168.10.0/24"), "must be IPv4"),
    "a number as address": (osaka(address=3232238085), "must be IPv4"),
    "an address with a line more": (osaka(address="192.168.10.5\n0.0.0.0/0"), "must be IPv4"),
    "no address": (osaka(address=None), "must be IPv4"),
    "a command in the host": (osaka(host="ms2; rm -rf /"), "must be a host name"),
    "a host with a line more": (osaka(host="ms2.example.jp\n"), "must be a host name"),
    "the hub's name": (osaka(host="ms.example.jp"), "host: must be the branch's own"),
    "a stranger's domain": (users("x@example.net"), "in our mail domains"),
    "a subdomain": (users("x@a.example.jp"), "in our mail domains"),
    "no domain": (users("x"), "in our mail domains"),
    "a space": (users("x y@example.jp"), "in our mail domains"),
    "a line break": (users("x\ny@example.jp"), "in our mail domains"),
    "a NUL": (users("x\0y@example.jp"), "in our mail domains"),
    "a command": (users("$(id)@example.jp"), "in our mail domains"),
    "a pipe": (users("|cmd@example.jp"), "in our mail domains"),
    "a path": (users("../x@example.jp"), "in our mail domains"),
    "dots": (users("x..y@example.jp"), "in our mail domains"),
    "capitals": (users("X@example.jp"), "in our mail domains"),
    "a detail": (users("x+y@example.jp"), "in our mail domains"),
    "a letter that looks like another": (users("t\u0430ro@example.jp"), "in our mail domains"),
    "a local part too long": (users(f"{'x' * 65}@example.jp"), "in our mail domains"),
    "a number as user": (users(7), "in our mail domains"),
    "a list as user": (users([JIRO]), "in our mail domains"),
    "users as a mapping": (osaka(users={JIRO: "OK"}), "users: must be a list"),
    "no users": (osaka(users=None), "users: must be a list"),
    "aliases as a list": (osaka(aliases=[]), "aliases: must map"),
    "an alias of somebody else's user": (
        osaka(aliases={"sales@example.jp": ["taro@example.jp"]}),
        "aliases.sales@example.jp: must be addresses of the same object",
    ),
    "an alias that leads outside": (
        osaka(aliases={"sales@example.jp": ["x@example.net"]}),
        "must be addresses of the same object",
    ),
    "an alias of an alias": (
        osaka(aliases={"a@example.jp": ["b@example.jp"], "b@example.jp": [JIRO]}),
        "must be addresses of the same object",
    ),
    "aliases in a circle": (
        osaka(aliases={"a@example.jp": ["b@example.jp"], "b@example.jp": ["a@example.jp"]}),
        "must be addresses of the same object",
    ),
    "an alias of nobody": (osaka(aliases={"sales@example.jp": []}), "1 to 1000 members"),
    "an alias of itself": (osaka(aliases={JIRO: [JIRO]}), "must not be users too"),
    "an alias that is a command": (osaka(aliases={"|cmd@example.jp": [JIRO]}), "mail domains"),
    "an alias of a list": (osaka(aliases={"sales@example.jp": [[JIRO]]}), "same object"),
    "opened aliases": (osaka(open_aliases=["sales@example.jp"]), "the environment's to open"),
    "users at a legacy server": (osaka(legacy={JIRO: "old"}), "the environment's users"),
    "somebody else's user held": (osaka(held=["taro@example.jp"]), "held: must be addresses of"),
    "held as a text": (osaka(held=JIRO), "held: must be a list"),
    "somebody else's user refused": (
        osaka(refused={"taro@example.jp": "5.2.1 Gone away"}),
        "refused: must be own addresses",
    ),
    "a refusal that accepts": (osaka(refused={JIRO: "OK"}), "refused: must be own addresses"),
    "a refusal that redirects": (
        osaka(refused={JIRO: "5.2.1 x\r\nREDIRECT evil@example.net"}),
        "refused: must be own addresses",
    ),
    "a refusal without end": (
        osaka(refused={JIRO: f"5.2.1 {'x' * 1000}"}),
        "refused: must be own addresses",
    ),
    "refusals as a list": (osaka(refused=[JIRO]), "refused: must map"),
    "the last of a million keys twice": (
        b"{" + b",".join(b'"%d":0' % (n % 999_999) for n in range(1_000_000)) + b"}",
        "key '0' stands twice",
    ),
    "a million aliases": (
        osaka(aliases={f"a{n}@example.jp": [JIRO] for n in range(1_000_000)}),
        "must be at most|at most 2000000 values",
    ),
}
"""States of an object: content, and what is said of it."""


@pytest.mark.parametrize("state", HOSTILE)
def test_a_malformed_or_hostile_object_is_refused(state: str) -> None:
    body, reason = HOSTILE[state]
    with pytest.raises(Refused, match=reason) as caught:
        parse(OSAKA_KEY, body, HUB)
    said = str(caught.value)
    assert said.isascii()
    assert said.isprintable()
    assert len(said) < 400


def test_an_object_that_is_right_is_taken() -> None:
    for key, text in {**HOME, **OSAKA}.items():
        assert parse(key, text.encode(), HUB) == json.loads(text)


def test_a_hub_takes_no_branch_for_a_relay() -> None:
    with pytest.raises(Refused, match="host: must be the branch's own, got dmz-ms"):
        parse(OSAKA_KEY, osaka(host="dmz-ms.example.jp"), HUB)


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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"addresses": ["x@example.net"]}, "in our mail domains"),
        ({"addresses": "jiro@example.jp"}, "must be a list"),
        ({"held": ["taro@example.jp"]}, "same object"),
        ({"refused": {"taro@example.jp": "5.1.1 no"}}, "own addresses"),
        ({"host": "ms2.example.jp"}, "differs in"),
    ],
)
def test_a_relay_checks_what_it_reads(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        parse(ADDRESSES_KEY, altered(OSAKA[ADDRESSES_KEY], **changes), RELAY)


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


@pytest.mark.parametrize("config", [HUB, BRANCH], ids=["hub", "branch"])
@pytest.mark.parametrize("state", HOSTILE)
def test_the_last_good_stays_and_the_wrong_one_is_named(
    state: str, config: Config, tmp_path: Path
) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, config)
    assert follower.look()
    before = tables(tmp_path)
    assert "jiro@example.jp" in before["transport"]
    assert alarms(tmp_path) == []
    bucket.objects[OSAKA_KEY] = HOSTILE[state][0]
    follower.look()
    assert tables(tmp_path) == before
    [alarm] = alarms(tmp_path)
    assert alarm.startswith(f"refused {OSAKA_KEY}: ")
    bucket.put(texts("branches/osaka", users=["goro@example.jp"]))
    follower.look()
    assert "goro@example.jp" in tables(tmp_path)["transport"]
    assert alarms(tmp_path) == []
