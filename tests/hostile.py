"""States of the directory's objects that no host may take: what a machine of a branch, or whoever
has the rights of its stack, could write."""

from __future__ import annotations

import gzip
import json
from typing import Any

from directories import HUB_ADDRESS, OSAKA_KEY, altered, texts

from userdata.machine.gatepost_directory.objects import LARGEST_OBJECT

States = dict[str, tuple[bytes, str]]

HOME = texts("environment", aliases={"info@example.jp": ["taro@example.jp"]})
OSAKA = texts(
    "branches/osaka",
    users=["jiro@example.jp", "saburo@example.jp"],
    aliases={"sales@example.jp": ["jiro@example.jp"]},
)
ADDRESSES_KEY = "addresses/branches/osaka.json"
TEXT, LISTED = OSAKA[OSAKA_KEY], OSAKA[ADDRESSES_KEY]
JIRO = "jiro@example.jp"


def osaka(**changes: Any) -> bytes:
    return altered(TEXT, **changes)


def users(*names: Any) -> bytes:
    return osaka(users=[JIRO, "saburo@example.jp", *names])


def without(field: str) -> bytes:
    data = json.loads(TEXT)
    del data[field]
    return json.dumps(data).encode()


PEOPLE: States = {
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
    "too large": (b" " * (LARGEST_OBJECT + 1), f"must be at most {LARGEST_OBJECT} bytes"),
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
"""States of an object of people: content, and what is said of it."""


def listed(**changes: Any) -> bytes:
    return altered(LISTED, **changes)


def claimed(*names: Any) -> bytes:
    return listed(addresses=[JIRO, "saburo@example.jp", "sales@example.jp", *names])


ADDRESSES: States = {
    "empty": (b"", "must be JSON"),
    "cut short": (LISTED.encode()[:-40], "must be JSON"),
    "a list": (b"[]", "must be an object"),
    "null": (b"null", "must be an object"),
    "not UTF-8": (LISTED.replace(JIRO, "jir\xf6@example.jp").encode("latin-1"), "must be JSON"),
    "UTF-16": (LISTED.encode("utf-16"), "must be JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + LISTED.encode(), "must be JSON"),
    "gzip": (gzip.compress(LISTED.encode()), "must be JSON"),
    "NaN": (LISTED.replace('"version": 2', '"version": NaN').encode(), "NaN is no JSON"),
    "deeply nested": (b"[" * 100_000 + b"]" * 100_000, "must be JSON"),
    "too large": (b" " * (LARGEST_OBJECT + 1), f"must be at most {LARGEST_OBJECT} bytes"),
    "too many values": (b"[" + b"0," * 2_000_001 + b"0]", "at most 2000000 values"),
    "a key twice": (
        LISTED.replace('"owner":', '"owner": "x", "owner":').encode(),
        "key 'owner' stands twice",
    ),
    "another version": (listed(version=3), "must be of version 2, got 3"),
    "someone else's name": (listed(owner="environment"), "must be owned by branches/osaka"),
    "a field too many": (listed(users=[JIRO]), "differs in .*users"),
    "people, told to the edge": (TEXT.encode(), "differs in .*aliases"),
    "a field too few": (
        json.dumps({"version": 2, "owner": "branches/osaka", "addresses": [JIRO]}).encode(),
        "differs in .*held",
    ),
    "a stranger's domain": (claimed("x@example.net"), "in our mail domains"),
    "a subdomain": (claimed("x@a.example.jp"), "in our mail domains"),
    "a whole domain": (claimed("@example.jp"), "in our mail domains"),
    "no domain": (claimed("x"), "in our mail domains"),
    "a space": (claimed("x y@example.jp"), "in our mail domains"),
    "a line break": (claimed("x\nevil@example.jp"), "in our mail domains"),
    "a NUL": (claimed("x\0y@example.jp"), "in our mail domains"),
    "a command": (claimed("$(id)@example.jp"), "in our mail domains"),
    "a pipe": (claimed("|cmd@example.jp"), "in our mail domains"),
    "capitals": (claimed("X@example.jp"), "in our mail domains"),
    "a detail": (claimed("x+y@example.jp"), "in our mail domains"),
    "a letter that looks like another": (claimed("t\u0430ro@example.jp"), "in our mail domains"),
    "a local part too long": (claimed(f"{'x' * 65}@example.jp"), "in our mail domains"),
    "a number as address": (claimed(7), "in our mail domains"),
    "addresses as a mapping": (listed(addresses={JIRO: "OK"}), "addresses: must be a list"),
    "no addresses": (listed(addresses=None), "addresses: must be a list"),
    "somebody else's user held": (listed(held=["taro@example.jp"]), "held: must be addresses of"),
    "held as a text": (listed(held=JIRO), "held: must be a list"),
    "somebody else's user refused": (
        listed(refused={"taro@example.jp": "5.2.1 Gone away"}),
        "refused: must be own addresses",
    ),
    "a refusal that accepts": (listed(refused={JIRO: "OK"}), "refused: must be own addresses"),
    "a refusal that redirects": (
        listed(refused={JIRO: "5.2.1 x\r\nREDIRECT evil@example.net"}),
        "refused: must be own addresses",
    ),
    "refusals as a list": (listed(refused=[JIRO]), "refused: must map"),
}
"""The same of the object with addresses, which the edge reads."""
