"""docs/seed.md: every line of the seed, with true lines of ours and true names of checks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checks.suite import Scene, all_checks
from model import addressing, mail
from model.settings import Environment, read_environment
from tests.checks.fakes import FakeDeployment
from userdata import render

PAGE = Path(__file__).parents[1] / "docs" / "seed.md"

SEED = """
myhostname = dmz-ms.example.jp
mydomain = example.jp
myorigin = $mydomain
inet_interfaces = all
mydestination = localhost.$mydomain, localhost
mynetworks_style = subnet
mynetworks = 10.1.1.0/24, 127.0.0.0/8, 192.168.1.0/24
relay_domains = example.jp
relayhost = [192.168.1.5]
# relay_recipient_maps = hash:/etc/postfix/relay_recipients
alias_maps = hash:/etc/postfix/aliases
alias_database = hash:/etc/postfix/aliases
message_size_limit = 0
mailbox_size_limit = 0

mydomain = example.jp
myhostname = ms.example.jp
myorigin = $mydomain
inet_interfaces = all
alias_maps = hash:/etc/postfix/aliases
alias_database = hash:/etc/postfix/aliases
mydestination = ms.example.jp, example.jp , localhost, localhost.example.jp
mynetworks_style = subnet
mynetworks = 192.168.1.0/24, 127.0.0.0/8
relayhost = [10.1.1.4]
message_size_limit = 0
mailbox_size_limit = 0

mydomain = example.jp
myhostname = ms2.example.jp
myorigin = $mydomain
inet_interfaces = all
relayhost = [192.168.1.5]
alias_maps = hash:/etc/postfix/aliases
alias_database = hash:/etc/postfix/aliases
fallback_transport = smtp:[192.168.1.5]
mydestination = ms2.example.jp, example.jp , localhost, localhost.example.jp
local_recipient_maps =
mynetworks_style = subnet
mynetworks = 192.168.1.0/24, 192,168.10.0/24, 127.0.0.0/8

mydomain = example.jp
myhostname = ms.example.jp
myorigin = $mydomain
inet_interfaces = all
alias_maps = hash:/etc/postfix/aliases
alias_database = hash:/etc/postfix/aliases
mydestination = ms.example.jp, ms2.example.jp, example.jp , localhost, localhost.example.jp
mynetworks_style = subnet
mynetworks = 192.168.1.0/24, 192.168.10.0/24, 192.168.20.0/24, 127.0.0.0/8
message_size_limit = 0
mailbox_size_limit = 0
"""
"""The four files of the page of 2006, without its comments."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the seed in the page."""

    seed: str
    fate: str
    now: str
    why: str
    checks: tuple[str, ...]


def tables() -> list[list[Row]]:
    """The page's four tables."""
    found = []
    for section in re.split(r"(?m)^## (?=\d)", PAGE.read_text())[1:]:
        cells = [
            [cell.strip() for cell in line.strip("|\n").split("|")]
            for line in section.splitlines()
            if line.startswith("| `")
        ]
        found.append(
            [
                Row(
                    seed=seed.strip("`"),
                    fate=fate,
                    now=now.strip("`"),
                    why=why,
                    checks=tuple(re.findall(r"\*(.+?)\*", checks)),
                )
                for seed, fate, now, why, checks in cells
            ]
        )
    return found


def main_cf(dev: dict[str, Any]) -> list[dict[str, str]]:
    """The parameters of the four hosts that the tables are about."""
    settings = Environment(**read_environment(dev)[0])
    plan = addressing.environment_plan(settings.network, 1, [0])
    relay = mail.relay(settings, settings.relays[0].host, plan.hub, "198.51.100.1")
    hub = mail.hub(settings, plan.hub)
    branch = mail.branch(
        "ms2.example.jp", "192.168.10.5", settings.domains, str(plan.hub), settings.hub.host
    )
    found = []
    for host in (relay, hub, branch, hub):
        pairs = [line.partition("=") for line in render.main_cf(host).splitlines() if "=" in line]
        found.append({name.strip(): value.strip() for name, _, value in pairs})
    return found


def test_every_line_of_the_seed_has_its_row_in_order() -> None:
    files = [block.splitlines() for block in SEED.strip().split("\n\n")]
    assert [[row.seed for row in table] for table in tables()] == files


def test_each_row_says_what_became_of_it() -> None:
    for table in tables():
        for row in table:
            assert row.fate in ("kept", "changed", "dropped"), row
            assert row.why or row.fate == "kept" or row.seed.startswith("alias_database"), row
            if row.fate == "kept" and "relay" not in row.seed:
                assert row.now == row.seed, row


def test_what_is_there_now_is_there(dev: dict[str, Any]) -> None:
    for table, parameters in zip(tables(), main_cf(dev), strict=True):
        for row in table:
            if row.now == "-":
                assert row.seed.partition(" =")[0] not in parameters, row
                continue
            name, _, value = (part.strip() for part in row.now.partition("="))
            found = parameters[name]
            if value.endswith("…"):
                assert found.startswith(value.removesuffix("…").strip()), row
            else:
                assert found == value, row


def test_every_check_that_is_named_is_one() -> None:
    scene = Scene(FakeDeployment())
    names = {(check.__doc__ or "").strip().partition("\n")[0] for check in all_checks(scene)}
    named = {name for table in tables() for row in table for name in row.checks}
    assert named <= names
    assert len(named) >= 20


@pytest.mark.parametrize("number", range(4))
def test_a_line_that_moves_mail_has_its_check(number: int) -> None:
    silent = {"mynetworks_style", "alias_database", "mailbox_size_limit"}
    for row in tables()[number]:
        assert row.checks or row.seed.partition(" =")[0] in silent, row
