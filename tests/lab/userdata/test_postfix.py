"""What real Postfix does with the tables of a directory: what its files mean, and no more."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from directories import BRANCH, HUB_ADDRESS, parts, people, texts
from hypothesis import HealthCheck, Phase, given, seed, settings
from meaning import ASKED, Meaning, files, forms
from meaning import Postfix as Model

from lab.machines.image import Image, Images
from lab.session import cache_folder
from model import mail
from model.settings import Environment, read_environment
from tests.lab.userdata.running import LISTENS, Running, running
from userdata import render
from userdata.machine.gatepost_directory.tables import derive

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="an overlay needs root"),
]
DOMAINS = ("example.jp", "example.co.jp")
RELAY_ADDRESS, OSAKA_ADDRESS, HERE = "10.1.1.4", "192.168.10.5", "127.0.0.1"
OTHERS = ("branch_certs", "outward", "peers", "tls_policy")
"""Tables that are of no concern here."""
FEW = settings(
    max_examples=3,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""Directories of random people, the first of them empty; each is a Postfix of its own. The fixture
that is shared is only read."""


@pytest.fixture(scope="module")
def image() -> Image:
    return Images(cache_folder(), print).layer(render.PACKAGES)


@contextmanager
def asked(image: Image, host: mail.Postfix, tables: Mapping[str, Any]) -> Generator[Running]:
    """A role's Postfix with these tables, which its own network's hosts can ask."""
    every = {name: {} for name in OTHERS} | dict(tables)
    clients = [RELAY_ADDRESS, OSAKA_ADDRESS, HUB_ADDRESS]
    # A hub's mail for people stays in the queue, where it tells who they are.
    kept = "relay, legacy, smtp" + (", virtual" if host.role == "hub" else "")
    with (
        TemporaryDirectory() as folder,
        running(Path(folder), image, host, every, clients=clients, kept=kept) as made,
    ):
        yield made


def branch() -> mail.Postfix:
    return mail.branch("ms2.example.jp", LISTENS, DOMAINS, HUB_ADDRESS, "ms.example.jp")


def hub(dev: dict[str, Any]) -> mail.Postfix:
    legacy = [{"name": "old", "address": "203.0.113.9"}]
    values, problems = read_environment(dev | {"domains": list(DOMAINS), "legacy": legacy})
    assert problems == []
    return mail.hub(Environment(**values), IPv4Address(LISTENS))


def every_form() -> list[tuple[str, str]]:
    return [(address, form) for address in ASKED for form in forms(address)]


def as_built(postfix: Running, tables: Mapping[str, Mapping[str, str]]) -> None:
    """postmap(1) answers each table's own, and nothing else."""
    names = [form.lower() for _, form in every_form()]
    for name, table in tables.items():
        known = {key: table[key] for key in {*names, *table} if key in table}
        assert postfix.ask("table", name, sorted({*names, *table})) == known, name


@seed(6)
@FEW
@given(found=files())
def test_a_hub_does_what_the_files_mean(
    dev: dict[str, Any], image: Image, found: dict[str, dict[str, Any]]
) -> None:
    meaning = Meaning(people={owner: people(owner, **file) for owner, file in found.items()})
    tables = Model.of(found).inside
    with asked(image, hub(dev), tables) as postfix:
        as_built(postfix, tables)
        said = postfix.ask("replies", RELAY_ADDRESS, [form for _, form in every_form()])
        for (address, form), reply in zip(every_form(), said, strict=True):
            assert reply[:3] == ("250" if meaning.hub(address) else "450"), (form, reply)
        said = postfix.ask("replies", OSAKA_ADDRESS, [form for _, form in every_form()])
        for (address, form), reply in zip(every_form(), said, strict=True):
            wanted = meaning.inside(address)
            # Postfix puts its own words between the status code and the text.
            assert reply.startswith(wanted[:3]), (form, reply)
            assert all(word in reply for word in wanted[4:].split(" ", 1)), (form, reply)
        for address in filter(meaning.hub, ASKED):
            local, _, domain = address.partition("@")
            for form in (address, f"{local}+x@{domain}"):
                assert way_of(postfix, form) == meaning.hub(address), form


def way_of(postfix: Running, address: str) -> set[tuple[str, str]]:
    """Whose mailboxes a relay's message is for, and by which transport it leaves."""
    word = postfix.ask("send", RELAY_ADDRESS, [address])
    users = [user.replace("+x@", "@") for user in postfix.ask("queued", word)]
    ways = postfix.ask("ways", users)
    return {
        (user, way if not way.startswith("virtual:") else "virtual:")
        for user, way in zip(users, ways, strict=True)
    }


@seed(6)
@FEW
@given(found=files())
def test_a_branch_does_what_the_files_mean(image: Image, found: dict[str, dict[str, Any]]) -> None:
    meaning = Meaning(people={owner: people(owner, **file) for owner, file in found.items()})
    tables = Model.of(found).office
    with asked(image, branch(), tables) as postfix:
        as_built(postfix, tables)
        said = postfix.ask("replies", HUB_ADDRESS, [form for _, form in every_form()])
        ways = postfix.ask("ways", [form for _, form in every_form()])
        for (address, form), reply, way in zip(every_form(), said, ways, strict=True):
            mine = meaning.branch(address) == "virtual:"
            assert reply[:3] == ("250" if mine else "450"), (form, reply)
            there = f"virtual:{form.rpartition('@')[2]}" if mine else f"relay:[{HUB_ADDRESS}]"
            assert way == there, form
        mine = [form for address, form in every_form() if meaning.branch(address) == "virtual:"]
        for form in mine:
            assert postfix.ask("queued", postfix.ask("send", HUB_ADDRESS, [form])) == {}
        boxes = [address for address, _ in every_form() if meaning.branch(address) == "virtual:"]
        assert postfix.ask("mailboxes") == sorted(boxes)


def osaka(*, stale: bool) -> dict[str, Any]:
    """The tables of the demonstration's branch; `stale`: an old transport table, without jiro."""
    found = parts(BRANCH, texts("branches/osaka", users=["jiro@example.jp", "saburo@example.jp"]))
    tables, _ = derive(found, BRANCH)
    if stale:
        del tables["transport"]["jiro@example.jp"]
    return tables


def test_a_program_of_a_branch_may_write_to_people_here_and_elsewhere_at_once(image: Image) -> None:
    with asked(image, branch(), osaka(stale=False)) as postfix:
        others = ["taro@example.jp", "x@example.net"]
        word = postfix.ask("send", HERE, ["jiro@example.jp", *others])
        assert postfix.ask("queued", word) == dict.fromkeys(others, "deferred transport")
        assert postfix.ask("mailboxes") == ["jiro@example.jp"]


def test_what_a_branch_takes_from_the_hub_stays_there(image: Image) -> None:
    with asked(image, branch(), osaka(stale=True)) as postfix:
        both = ["jiro@example.jp", "saburo@example.jp"]
        assert postfix.ask("ways", both) == [f"relay:[{HUB_ADDRESS}]", "virtual:example.jp"]
        assert postfix.ask("queued", postfix.ask("send", HUB_ADDRESS, both)) == {}
        assert postfix.ask("mailboxes") == both
