"""People: who exists, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.people import People, address, in_alias_domains, read_people

DOMAINS = ("example.jp",)
ROLES = {"postmaster@example.jp": ["a@example.jp"], "abuse@example.jp": ["a@example.jp"]}


def environment(**changes: Any) -> dict[str, Any]:
    return {"users": ["a@example.jp", "b@example.jp"], "aliases": ROLES} | changes


def problems(raw: object, *, branch: bool = False) -> list[str]:
    return read_people(raw, DOMAINS, path="people.yaml", branch=branch)[1]


def test_every_address_is_listed_once_and_in_order() -> None:
    people, found = read_people(environment(), DOMAINS, path="p", branch=False)
    assert found == []
    assert people is not None
    assert people.addresses == (
        "a@example.jp",
        "abuse@example.jp",
        "b@example.jp",
        "postmaster@example.jp",
    )


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (environment(users=["a@example.jp", "a@example.jp"]), "got a@example.jp 2 times"),
        (environment(users=["a@example.net"]), "must be in a mail domain (example.jp)"),
        (environment(users=["a b@example.jp"]), "must be an address such as"),
        (environment(users=["A@example.jp"]), "must be an address such as"),
        (environment(users="a@example.jp"), "must be a list of addresses"),
        (environment(aliases=ROLES | {"a@example.jp": ["b@example.jp"]}), "a user's address too"),
        (environment(aliases=ROLES | {"x@example.jp": []}), "got none for x@example.jp"),
        (environment(aliases=ROLES | {"x@example.jp": ["q@example.jp"]}), "must name users of"),
        (environment(aliases={}), "must hold postmaster@example.jp"),
        (environment(open_aliases=["x@example.jp"]), "must name an alias of this file"),
        (environment(user=[]), "unknown key; did you mean users?"),
        ({}, "people.yaml.users: missing"),
    ],
)
def test_what_is_wrong_is_said(raw: object, sentence: str) -> None:
    found = problems(raw)
    assert any(sentence in problem for problem in found), found


def test_everyone_of_a_mail_domain_exists_in_its_alias_domains() -> None:
    people = People(
        users=("a@example.jp", "a@example.co.jp"),
        aliases={"i@example.jp": ("a@example.jp",), "j@example.co.jp": ("a@example.co.jp",)},
        open_aliases=("i@example.jp", "j@example.co.jp"),
    )
    found = in_alias_domains(people, {"example.com": "example.jp", "example.net": "example.jp"})
    assert found.users == people.users
    assert set(found.aliases) - set(people.aliases) == {
        f"{local}@{domain}" for local in "ai" for domain in ("example.com", "example.net")
    }
    assert found.aliases["a@example.net"] == found.aliases["i@example.com"] == ("a@example.jp",)
    assert set(found.open_aliases) - set(people.open_aliases) == {
        "i@example.com",
        "i@example.net",
    }
    assert in_alias_domains(people, {}) == people


def test_a_branch_needs_no_role_addresses() -> None:
    assert problems({"users": ["j@example.jp"]}, branch=True) == []


def test_a_branch_adds_only_its_own_users_to_an_alias() -> None:
    raw = {"users": ["j@example.jp"], "aliases": {"info@example.jp": ["a@example.jp"]}}
    assert "must name users of this file, got a@example.jp" in problems(raw, branch=True)[0]


@given(st.text(max_size=20))
def test_no_address_carries_what_a_table_or_shell_could_read(local: str) -> None:
    try:
        passed = address(f"{local}@example.jp")
    except ValueError:
        return
    assert not set(passed) & set(" \t\r\n\"'`$;|&<>()[]{}\\/:,*?!#%=")
    assert passed == passed.lower()
