"""The contract between stacks, and the directory's objects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from terms import TERMS

from model import contract, directory
from model.fields import SettingsError
from model.people import People
from model.settings import Branch, read_branch


def test_the_contract_comes_back_as_it_was() -> None:
    assert contract.from_json(contract.to_json(TERMS), "p") == TERMS


@pytest.mark.parametrize("value", ["", "[]", '{"version": 1}', '{"version": 2, "x": 1}'])
def test_another_contract_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="/gatepost/dev/contract: must be a contract"):
        contract.from_json(value, "/gatepost/dev/contract")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"network": "172.16.0.0/24"}, "must be within 192.168.0.0/16, the supernet"),
        ({"region": "eu-west-1", "zone": "eu-west-1a"}, "must be the environment's us-east-1"),
        ({"host": "ms.example.jp"}, "branch.host: must be a name of its own"),
    ],
)
def test_a_branch_that_does_not_fit_is_told_why(
    osaka: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    values, problems = read_branch(osaka | change)
    assert problems == []
    found = contract.branch_problems(TERMS, Branch(**values))
    assert sentence in found[0]
    assert len(found) == 1


def test_what_a_relay_may_read_does_not_tell_where_people_live() -> None:
    people = People(users=("a@example.jp",), aliases={"i@example.jp": ("a@example.jp",)})
    addresses, full = directory.objects(
        directory.branch_owner("osaka"), people, host="b.example.jp", address="192.168.10.5"
    )
    assert addresses.key == "addresses/branches/osaka.json"
    assert json.loads(addresses.text) == {
        "version": 1,
        "owner": "branches/osaka",
        "addresses": ["a@example.jp", "i@example.jp"],
    }
    assert full.key == directory.people_key("branches/osaka") == "people/branches/osaka.json"
    assert json.loads(full.text)["address"] == "192.168.10.5"
