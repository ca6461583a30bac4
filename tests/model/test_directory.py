"""The directory's objects: who may read what, and who is refused."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

from model import directory
from model.people import People, User

PEOPLE = People(
    users=(
        User(address="a@example.jp"),
        User(address="b@example.jp", disabled="On leave"),
        User(address="c@example.jp", at="old", hold=True),
    ),
    aliases={
        "all@example.jp": ("b@example.jp", "a@example.jp"),
        "b2@example.jp": ("b@example.jp",),
        "old@example.jp": ("a@example.jp",),
    },
    reserved=("gone@example.jp", "old@example.jp"),
)


def contents() -> tuple[dict[str, object], dict[str, object]]:
    found = directory.objects("branches/osaka", PEOPLE, host="ms2.example.jp", address="192.0.2.5")
    addresses, people = found
    assert addresses.key == "addresses/branches/osaka.json"
    assert people.key == directory.people_key("branches/osaka") == "people/branches/osaka.json"
    return json.loads(addresses.text), json.loads(people.text)


def test_a_relay_reads_which_addresses_there_are_and_who_is_refused() -> None:
    addresses, _ = contents()
    assert addresses["addresses"] == sorted(
        f"{name}@example.jp" for name in ("a", "all", "b", "b2", "c", "gone", "old")
    )
    assert addresses["held"] == ["c@example.jp"]
    assert addresses["refused"] == {
        "b2@example.jp": "5.2.1 On leave",
        "b@example.jp": "5.2.1 On leave",
        "gone@example.jp": directory.LEFT,
        "old@example.jp": directory.LEFT,
    }
    assert set(addresses) == {"version", "owner", "addresses", "held", "refused"}


def test_the_environment_s_object_has_its_relays_in_order() -> None:
    relays = {"b.example.jp": IPv4Address("10.1.2.4"), "a.example.jp": IPv4Address("10.1.1.5")}
    _, people = directory.objects(
        "environment", PEOPLE, host="ms.example.jp", address="10.1.11.5", relays=relays
    )
    assert json.loads(people.text)["relays"] == [
        {"host": "b.example.jp", "address": "10.1.2.4"},
        {"host": "a.example.jp", "address": "10.1.1.5"},
    ]


def test_a_server_reads_who_lives_where() -> None:
    _, people = contents()
    assert people["users"] == [f"{name}@example.jp" for name in ("a", "b", "c", "gone")]
    assert people["legacy"] == {"c@example.jp": "old"}
    assert people["aliases"] == {
        "all@example.jp": ["a@example.jp"],
        "b2@example.jp": ["b@example.jp"],
        "old@example.jp": ["a@example.jp"],
    }
    assert (people["host"], people["address"]) == ("ms2.example.jp", "192.0.2.5")
