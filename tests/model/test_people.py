"""People: who exists, and what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.forwarding import SRS, Forwarding
from model.people import People, User, address, in_alias_domains, read_people

DOMAINS = ("example.jp",)
ROLES = {"postmaster@example.jp": ["a@example.jp"], "abuse@example.jp": ["a@example.jp"]}


def environment(**changes: Any) -> dict[str, Any]:
    return {"users": ["a@example.jp", "b@example.jp"], "aliases": ROLES} | changes


def problems(raw: object, *, branch: bool = False) -> list[str]:
    return read_people(raw, DOMAINS, path="people.yaml", branch=branch, legacy=("old",))[1]


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
        (environment(users="a@example.jp"), "must be a list of users"),
        (environment(users=["a+b@example.jp"]), "what follows a + belongs to no file"),
        (environment(users=[{"at": "old"}]), "people.yaml.users[0].address: missing"),
        (environment(users=[{"address": "a@example.jp", "att": 1}]), "did you mean at?"),
        (environment(users=[{"address": "a@example.jp", "hold": 1}]), "[0].hold: must be true or"),
        (
            environment(users=[{"address": "a@example.jp", "at": "new"}]),
            "a@example.jp: at must be a legacy server (old), got 'new'",
        ),
        (
            environment(users=[{"address": "a@example.jp", "disabled": "a\nb"}]),
            "[0].disabled: must be 2 to 200 letters",
        ),
        (
            environment(users=[{"address": "a@example.jp", "disabled": "On leave"}]),
            "postmaster@example.jp must lead to a user who is not disabled",
        ),
        (environment(reserved=["a@example.jp"]), "reserved: must not be a user's"),
        (
            environment(reserved=["postmaster@example.jp"]),
            "postmaster@example.jp must lead to a user",
        ),
        (environment(reserved=["x@example.jp"] * 2), "nor listed twice, got x@example.jp"),
        (environment(reserved=["x@example.net"]), "people.yaml.reserved: must be in a mail domain"),
        (
            environment(
                aliases=ROLES | {"x@example.jp": ["y@example.jp"], "y@example.jp": ["x@example.jp"]}
            ),
            "must not lead back to itself, got x@example.jp → y@example.jp → x@example.jp",
        ),
        (
            environment(aliases=ROLES | {"x@example.jp": ["x@example.jp"]}),
            "must not lead back to itself, got x@example.jp → x@example.jp",
        ),
        (environment(aliases=ROLES | {"a@example.jp": ["b@example.jp"]}), "a user's address too"),
        (
            environment(aliases=ROLES | {"x@example.jp": []}),
            "aliases.x@example.jp: must have a member, got none",
        ),
        (environment(aliases=ROLES | {"x@example.jp": ["q@example.jp"]}), "must name users or"),
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
        users=(User(address="a@example.jp"), User(address="a@example.co.jp")),
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


def test_a_person_is_an_address_or_what_is_said_of_it() -> None:
    raw = environment(
        users=[
            "b@example.jp",
            {"address": "a@example.jp", "at": "old", "disabled": "On leave", "hold": True},
        ],
        aliases={name: ["b@example.jp"] for name in ROLES},
    )
    people, found = read_people(raw, DOMAINS, path="p", branch=False, legacy=("old",))
    assert found == []
    assert people is not None
    assert people.users == (
        User(address="a@example.jp", at="old", disabled="On leave", hold=True),
        User(address="b@example.jp"),
    )


def test_groups_within_groups_lead_to_each_user_once() -> None:
    aliases = {
        "all@example.jp": ["x@example.jp", "y@example.jp", "b@example.jp"],
        "x@example.jp": ["a@example.jp"],
        "y@example.jp": ["x@example.jp", "b@example.jp"],
    }
    people, found = read_people(
        environment(aliases=ROLES | aliases), DOMAINS, path="p", branch=False
    )
    assert found == []
    assert people is not None
    assert people.aliases["all@example.jp"] == ("a@example.jp", "b@example.jp")


def test_groups_are_nested_and_large_within_bounds() -> None:
    users = [f"u{n}@example.jp" for n in range(1001)]
    raw = {"users": users, "aliases": {"all@example.jp": users}}
    assert problems(raw, branch=True) == [
        "people.yaml.aliases.all@example.jp: must lead to at most 1000 addresses, got 1001"
    ]
    chain = {f"g{n}@example.jp": [f"g{n + 1}@example.jp"] for n in range(30)}
    raw = {"users": ["u@example.jp"], "aliases": chain | {"g30@example.jp": ["u@example.jp"]}}
    assert any("must be nested at most 20 deep" in p for p in problems(raw, branch=True))


def test_a_hundred_thousand_people_are_read_in_seconds() -> None:
    users = [f"user{n}@example.jp" for n in range(100_000)]
    aliases = {f"alias{n}@example.jp": [name] for n, name in enumerate(users)}
    begun = time.process_time()
    assert problems({"users": users, "aliases": aliases}, branch=True) == []
    assert time.process_time() - begun < 20, "quadratic work would take hours"


ABROAD = Forwarding(mode=SRS, names=("example.ne.jp", "ms.example.jp"))


def led(
    *members: str, forwarding: Forwarding = ABROAD, branch: bool = False
) -> tuple[People | None, list[str]]:
    """What comes of an alias with these members."""
    aliases = {"all@example.jp": ["a@example.jp", *members]}
    raw = {"users": ["a@example.jp"], "aliases": aliases if branch else ROLES | aliases}
    return read_people(raw, DOMAINS, path="p", branch=branch, forwarding=forwarding)


@pytest.mark.parametrize(
    ("forwarding", "branch", "why"),
    [
        (Forwarding(), False, " without environment.forwarding: srs (docs/decisions/f"),
        (ABROAD, True, ": only aliases of the environment's file may (docs/decisions/forw"),
        (Forwarding(), True, ": only aliases of the environment's file may (docs/decisions/forw"),
    ],
)
def test_an_alias_leads_outside_only_where_that_is_set(
    forwarding: Forwarding, branch: bool, why: str
) -> None:
    _, [problem] = led("me@example.net", forwarding=forwarding, branch=branch)
    assert problem.startswith(
        f"p.aliases.all@example.jp: must not lead outside the mail domains (example.jp){why}"
    )
    assert problem.endswith("), got me@example.net")


def test_an_alias_of_the_environment_s_may_lead_outside() -> None:
    people, found = led("me@example.net", "me+work@mail.example.com", "x@news.example.jp")
    assert found == []
    assert people is not None
    assert people.aliases["all@example.jp"] == (
        "a@example.jp",
        "me@example.net",
        "me+work@mail.example.com",
        "x@news.example.jp",
    )


def test_every_wrong_address_is_told_with_its_place() -> None:
    raw = environment(
        reserved=["x", "y@example.jp", "Z"],
        aliases=ROLES | {"B1@example.jp": ["X", "a@example.jp", "Y"], "n@example.jp": []},
    )
    _, found = read_people(raw, DOMAINS, path="p", branch=False)
    assert [problem.partition(": must")[0] for problem in found] == [
        "p.aliases.B1@example.jp",
        "p.aliases.B1@example.jp[0]",
        "p.aliases.B1@example.jp[2]",
        "p.aliases.n@example.jp",
        "p.reserved[0]",
        "p.reserved[2]",
    ]


@pytest.mark.parametrize(
    ("member", "why"),
    [
        ("nobody@example.jp", "must name users or aliases of this file"),
        ("a+x@example.jp", "must name users or aliases of this file"),
        ("x@example.ne.jp", "must not lead to an alias domain or a host of our own"),
        ("x@ms.example.jp", "must not lead to an alias domain or a host of our own"),
        ("x@[192.0.2.1]", "must be a domain name"),
        ("x@192.0.2.1", "must be in a domain, not at an address"),
        ('"x y"@example.net', "must be an address such as"),
        ("x\n@example.net", "must be an address such as"),
        ("x@example.net\n", "must be a domain name"),
        ("x@example.net, y@example.net", "must be an address such as"),
        ("|cmd@example.net", "must be an address such as"),
        ("x..y@example.net", "must be an address such as"),
        ("X@example.net", "must be an address such as"),
        ("jir\u00f6@example.net", "must be an address such as"),
        ("x@ex\u00e4mple.net", "must be a domain name"),
        ("x@net", "must be a domain name"),
    ],
)
def test_no_alias_leads_where_it_must_not(member: str, why: str) -> None:
    _, found = led(member)
    assert any(why in problem for problem in found), found


def test_the_postmaster_reads_here() -> None:
    raw = environment(aliases=ROLES | {"abuse@example.jp": ["me@example.net"]})
    _, found = read_people(raw, DOMAINS, path="p", branch=False, forwarding=ABROAD)
    assert found == ["p.aliases: abuse@example.jp must lead to a user who is not disabled"]


def test_a_branch_needs_no_role_addresses() -> None:
    assert problems({"users": ["j@example.jp"]}, branch=True) == []


def test_a_branch_adds_only_its_own_users_to_an_alias() -> None:
    raw = {"users": ["j@example.jp"], "aliases": {"info@example.jp": ["a@example.jp"]}}
    assert (
        "must name users or aliases of this file, got a@example.jp" in problems(raw, branch=True)[0]
    )


@given(st.text(max_size=20))
def test_no_address_carries_what_a_table_or_shell_could_read(local: str) -> None:
    try:
        passed = address(f"{local}@example.jp")
    except ValueError:
        return
    assert not set(passed) & set(" \t\r\n\"'`$;|&<>()[]{}\\/:,*?!#%=")
    assert passed == passed.lower()
