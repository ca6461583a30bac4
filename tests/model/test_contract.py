"""The contract between stacks, and the directory's objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from terms import TERMS

from model import contract
from model.fields import SettingsError
from model.settings import Branch, Office, read_branch, read_office


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
    found = contract.branch_problems(TERMS, Branch(**values), TERMS.account)
    assert sentence in found[0]
    assert len(found) == 1


def test_a_branch_in_another_account_is_refused(osaka: dict[str, Any]) -> None:
    values, _ = read_branch(osaka)
    found = contract.branch_problems(TERMS, Branch(**values), "999999999999")
    assert found == [
        "branch: must be deployed to its environment's account 123456789012, got 999999999999"
    ]


OFFICE = {
    "name": "nagoya",
    "environment": "dev",
    "region": "us-east-1",
    "network": "192.168.99.0/24",
    "host": "ms9.example.jp",
    "address": "192.168.99.5",
    "gateway": "203.0.113.9",
    "people": "people/dev-nagoya.yaml",
}


def test_an_office_needs_a_transit_gateway() -> None:
    values, problems = read_office(OFFICE)
    assert problems == []
    [found] = contract.branch_problems(TERMS, Office(**values), TERMS.account)
    assert "environment dev has branch_link: peering, set it to transit-gateway" in found
    joined = replace(TERMS, branch_link="transit-gateway")
    assert contract.branch_problems(joined, Office(**values), TERMS.account) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"address": "192.168.98.5"}, "office.address: must be a host of 192.168.99.0/24"),
        ({"address": "192.168.99.0"}, "office.address: must be a host of 192.168.99.0/24"),
        ({"address": "203.0.113.5"}, "office.address: must be private address space"),
        ({"gateway": "10.0.0.1"}, "office.gateway: must be a public address, got 10.0.0.1"),
        ({"gateway": "vpn.example.jp"}, "office.gateway: must be an IPv4 address"),
    ],
)
def test_an_office_s_addresses_are_checked(change: dict[str, Any], sentence: str) -> None:
    _, [problem] = read_office(OFFICE | change)
    assert sentence in problem
