"""Whose an address is, among files of people beside each other: what two cannot both claim."""

from __future__ import annotations

from typing import Any

import pytest

from model.claims import Claims, disputes
from model.people import glimpse

JIRO, INFO = "jiro@example.jp", "info@example.jp"
HELD = {"address": JIRO, "hold": True}


def claims(name: str, **file: Any) -> Claims:
    branch = name != "dev"
    return Claims(where=name, people=glimpse(file, branch=branch), branch=branch)


@pytest.mark.parametrize(
    "claim",
    [{"users": [JIRO]}, {"users": [], "aliases": {JIRO: ["x@example.jp"]}},
     {"users": [], "reserved": [JIRO]}],
)  # fmt: skip
def test_one_address_of_two_is_named_with_both_files(claim: dict[str, Any]) -> None:
    kobe = claims("people/kobe.yaml", **claim)
    osaka = claims("people/osaka.yaml of stack dev-osaka", users=[JIRO])
    assert list(disputes(kobe, [osaka], [])) == [
        "people/kobe.yaml: must claim nothing that people/osaka.yaml of stack dev-osaka does, "
        "got jiro@example.jp"
    ]


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ({"users": [HELD]}, {"users": [JIRO]}),
        ({"users": [JIRO]}, {"users": [HELD]}),
        ({"users": [HELD]}, {"users": [HELD]}),
        ({"users": [JIRO]}, {"users": ["jiro@example.co.jp"]}),
    ],
)
def test_a_mailbox_that_moves_and_another_domain_are_no_dispute(
    own: dict[str, Any], other: dict[str, Any]
) -> None:
    assert list(disputes(claims("a", **own), [claims("b", **other)], [])) == []


def test_an_open_alias_is_everybody_s_to_join_and_nobody_s_to_have() -> None:
    home = claims("dev", users=["t@example.jp"], aliases={INFO: ["t@example.jp"]})
    joins = claims("osaka", users=[JIRO], aliases={INFO: [JIRO]})
    other = claims("kobe", users=["k@example.jp"], aliases={INFO: ["k@example.jp"]})
    takes = claims("nara", users=[INFO])
    assert list(disputes(joins, [home, other], [INFO])) == []
    assert list(disputes(home, [joins], [INFO])) == []
    assert len(list(disputes(joins, [home, other], []))) == 2
    assert len(list(disputes(takes, [home, joins], [INFO]))) == 1


def test_many_are_counted() -> None:
    users = [f"u{number}@example.jp" for number in range(9)]
    [said] = disputes(claims("a", users=users), [claims("b", users=users)], [])
    assert said.endswith("u3@example.jp, u4@example.jp and 4 more")
