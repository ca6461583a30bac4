"""The tables of each role, and what Postfix makes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from directories import (
    BRANCH,
    FORWARDING_HUB,
    HOME_KEY,
    HUB,
    OSAKA_KEY,
    RELAY,
    parts,
    texts,
)

from userdata.machine.gatepost_directory import tables as made
from userdata.machine.gatepost_directory.objects import Config
from userdata.machine.gatepost_directory.tables import HOLDING, Tables, derive, servers

TARO, JIRO, INFO = "taro@example.jp", "jiro@example.jp", "info@example.jp"


def tables(config: Config, *objects: dict[str, str]) -> tuple[Tables, list[str]]:
    return derive(parts(config, *objects), config)


def home(**file: Any) -> dict[str, str]:
    file.setdefault("aliases", {INFO: [TARO], "boss@example.jp": [TARO]})
    file.setdefault("open_aliases", [INFO])
    return texts("environment", **file)


def osaka(**file: Any) -> dict[str, str]:
    file.setdefault("users", [JIRO, "taro@example.co.jp"])
    return texts("branches/osaka", **file)


def nagoya(**file: Any) -> dict[str, str]:
    file.setdefault("users", ["goro@example.jp"])
    return texts("branches/nagoya", **file)


def test_the_hub_knows_where_each_person_lives() -> None:
    old = {"address": "ken@example.jp", "at": "old"}
    found, conflicts = tables(HUB, home(users=[TARO, old]), osaka(aliases={INFO: [JIRO]}))
    assert conflicts == []
    assert found["transport"] == {
        TARO: "virtual:",
        "ken@example.jp": "legacy:[203.0.113.9]",
        JIRO: "relay:[192.168.10.5]",
        "taro@example.co.jp": "relay:[192.168.10.5]",
    }
    assert found["aliases"][INFO] == f"{TARO}, {JIRO}"
    assert found["mailboxes"] == {TARO: "example.jp/taro/"}
    assert set(found["recipients"]) == {*found["transport"], *found["aliases"]}
    assert found["refused"] == found["held"] == {}


def test_a_branch_keeps_its_own_people_only() -> None:
    found, _ = tables(BRANCH, osaka(aliases={INFO: [JIRO]}))
    assert set(found["recipients"]) == {JIRO, "taro@example.co.jp"}
    assert set(found["transport"].values()) == {"virtual:"}
    assert set(found) == {"transport", "mailboxes", "recipients"}


def test_the_relay_knows_addresses_and_nothing_more() -> None:
    found, _ = tables(RELAY, home(), osaka())
    assert set(found["recipients"].values()) == {"OK"}
    assert {TARO, JIRO, INFO} <= set(found["recipients"])
    assert found["refused"] == {}
    assert "192.168" not in str(found)


@pytest.mark.parametrize("gone", ["disabled", "reserved"])
def test_only_the_edge_refuses_who_exists_and_the_hub_tells_insiders(gone: str) -> None:
    text = "5.2.1 On leave until May" if gone == "disabled" else "5.1.6 This address is no longer"
    ken: dict[str, Any] = {"address": "ken@example.jp", "disabled": "On leave until May"}
    file = {"users": [TARO, ken]} if gone == "disabled" else {"reserved": ["ken@example.jp"]}
    edge, _ = tables(RELAY, home(**file))
    assert edge["refused"]["ken@example.jp"].startswith(f"550 {text}")
    assert "ken@example.jp" not in edge["recipients"]
    hub, _ = tables(HUB, home(**file))
    assert hub["refused"] == edge["refused"]
    assert hub["transport"]["ken@example.jp"] == "virtual:", "what the edge let through"
    assert hub["recipients"]["ken@example.jp"] == "OK"
    assert hub["mailboxes"]["ken@example.jp"] == "example.jp/ken/"


def test_a_group_leads_past_the_disabled_unless_nobody_else_is_left() -> None:
    users = [TARO, {"address": "ken@example.jp", "disabled": "On leave"}]
    aliases = {"all@example.jp": [TARO, "ken@example.jp"], "k@example.jp": ["ken@example.jp"]}
    hub, _ = tables(HUB, home(users=users, aliases=aliases, open_aliases=[]))
    assert hub["aliases"]["all@example.jp"] == TARO
    assert hub["aliases"]["k@example.jp"] == "ken@example.jp"
    edge, _ = tables(RELAY, home(users=users, aliases=aliases, open_aliases=[]))
    assert edge["refused"]["k@example.jp"] == "550 5.2.1 On leave"
    assert "all@example.jp" in edge["recipients"]


def test_the_hub_holds_the_mail_of_a_mailbox_on_its_way() -> None:
    held = [{"address": JIRO, "hold": True}]
    hub, conflicts = tables(HUB, home(), osaka(users=held))
    assert hub["transport"][JIRO] == HOLDING
    assert hub["held"] == {JIRO: "OK"}
    assert JIRO in hub["recipients"]
    branch, _ = tables(BRANCH, osaka(users=held))
    assert branch["transport"] == branch["recipients"] == {}, "what comes up there goes to the hub"
    assert JIRO in branch["mailboxes"], "for what is being delivered"
    edge, _ = tables(RELAY, home(), osaka(users=held))
    assert JIRO in edge["recipients"]
    assert conflicts == []


@pytest.mark.parametrize(
    ("before", "after", "way"),
    [
        ((home(users=[TARO, {"address": JIRO, "hold": True}]),), osaka(), "relay:[192.168.10.5]"),
        (
            (home(), osaka(users=[{"address": JIRO, "hold": True}])),
            nagoya(users=[JIRO]),
            "relay:[192.168.20.5]",
        ),
    ],
    ids=["from the hub", "between branches"],
)
def test_who_holds_lets_go_to_the_first_other_claim(
    before: tuple[dict[str, str], ...], after: dict[str, str], way: str
) -> None:
    hub, conflicts = tables(HUB, *before, after)
    assert conflicts == []
    assert hub["transport"][JIRO] == way
    assert JIRO not in hub["held"]


@pytest.mark.parametrize(
    ("branch", "conflict"),
    [
        (osaka(users=[TARO]), f"branches/osaka: {TARO} belongs to environment"),
        (osaka(users=[INFO]), f"branches/osaka: {INFO} belongs to environment"),
        (
            osaka(aliases={"boss@example.jp": [JIRO]}),
            "branches/osaka: boss@example.jp belongs to environment",
        ),
        (
            osaka(reserved=["boss@example.jp"]),
            "branches/osaka: boss@example.jp belongs to environment",
        ),
    ],
)
def test_the_environment_s_claim_stands(branch: dict[str, str], conflict: str) -> None:
    found, conflicts = tables(HUB, home(), branch)
    assert conflicts == [conflict]
    assert found["transport"][TARO] == "virtual:"
    assert found["aliases"]["boss@example.jp"] == TARO
    assert found["refused"] == {}
    edge, _ = tables(RELAY, home(), branch)
    assert "boss@example.jp" in edge["recipients"]


def test_an_address_that_is_reserved_is_nobody_else_s() -> None:
    old = home(reserved=["ken@example.jp"])
    found, conflicts = tables(HUB, old, osaka(users=["ken@example.jp"]))
    assert conflicts == ["branches/osaka: ken@example.jp belongs to environment"]
    assert found["transport"]["ken@example.jp"] == "virtual:"
    edge, _ = tables(RELAY, old, osaka(users=["ken@example.jp"]))
    assert edge["refused"]["ken@example.jp"].startswith("550 5.1.6 ")
    free, conflicts = tables(RELAY, home(), osaka(users=["ken@example.jp"]))
    assert (free["recipients"]["ken@example.jp"], conflicts) == ("OK", [])


def test_of_two_branches_the_first_by_name_has_an_address() -> None:
    found, conflicts = tables(HUB, home(), osaka(), nagoya(users=[JIRO]))
    assert conflicts == [f"branches/osaka: {JIRO} belongs to branches/nagoya"]
    assert found["transport"][JIRO] == "relay:[192.168.20.5]"


@pytest.mark.parametrize("place", ["host", "address"])
def test_of_two_branches_with_one_server_the_first_by_name_has_it(place: str) -> None:
    found = parts(HUB, home(), osaka(), nagoya())
    key = "people/branches/nagoya.json"
    found[key] = {**found[key], place: found[OSAKA_KEY][place]}
    result, conflicts = derive(found, HUB)
    assert conflicts == [f"branches/osaka: {found[key][place]} belongs to branches/nagoya"]
    assert JIRO not in result["recipients"]
    assert "goro@example.jp" in result["recipients"]


def test_branches_come_by_name_not_by_key() -> None:
    """`osaka-2.json` sorts before `osaka.json`."""
    found = parts(HUB, home(), osaka())
    second = {**found[OSAKA_KEY], "owner": "branches/osaka-2", "host": "a.b", "address": "x"}
    result, _ = derive({**found, "people/branches/osaka-2.json": second}, HUB)
    assert result["transport"][JIRO] == "relay:[192.168.10.5]"


def test_a_branch_adds_its_own_users_and_no_others_to_an_open_alias(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claims = osaka(users=[JIRO, TARO], aliases={INFO: [JIRO, TARO]})
    found, _ = tables(HUB, home(users=[TARO]), claims)
    assert found["aliases"][INFO] == f"{TARO}, {JIRO}"
    monkeypatch.setattr(made, "MOST_MEMBERS", 1)
    found, conflicts = tables(HUB, home(), osaka(aliases={INFO: [JIRO]}))
    assert found["aliases"][INFO] == TARO
    assert conflicts == [f"branches/osaka: alias {INFO} has 1 members"]


def test_an_alias_leads_outside_where_the_hub_forwards() -> None:
    member = "me+x@example.net"
    led = home(aliases={INFO: [TARO, member], "only@example.jp": [member]})
    found, conflicts = tables(FORWARDING_HUB, led, osaka(aliases={INFO: [JIRO]}))
    assert conflicts == []
    assert found["aliases"][INFO] == f"{TARO}, {member}, {JIRO}"
    assert found["aliases"]["only@example.jp"] == member
    assert found["recipients"]["only@example.jp"] == "OK"
    assert member not in str([found[name] for name in found if name != "aliases"])
    edge, _ = tables(RELAY, led)
    assert edge["recipients"]["only@example.jp"] == "OK"
    assert member not in str(edge)


def test_no_alias_leads_to_an_alias_whatever_owners_claim() -> None:
    """osaka's user is the environment's alias; osaka's alias would then lead to that."""
    claims = osaka(users=["boss@example.jp"], aliases={"s@example.jp": ["boss@example.jp"]})
    found, conflicts = tables(HUB, home(), claims)
    assert conflicts == ["branches/osaka: boss@example.jp belongs to environment"]
    assert "s@example.jp" not in found["aliases"]
    assert "s@example.jp" not in found["recipients"]


def test_a_legacy_server_s_address_is_no_branch_s() -> None:
    config = replace(HUB, legacy={"old": "192.168.10.5"})
    found = parts(replace(HUB, legacy={"old": "192.168.30.5"}), home(), osaka())
    _, conflicts = derive(found, config)
    assert conflicts == ["branches/osaka: 192.168.10.5 belongs to the legacy server old"]
    assert [part["owner"] for part in servers(found, config)] == ["environment"]
    assert set(found) == {HOME_KEY, OSAKA_KEY}
