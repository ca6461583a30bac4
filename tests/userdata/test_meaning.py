"""For random directories, what the tables of every role answer is what the files mean."""

from __future__ import annotations

from typing import Any

from directories import people
from hypothesis import given, settings
from meaning import OPEN, POOL, Meaning, Postfix, files, forms

from userdata.machine.gatepost_directory.tables import HOLDING

ASKED = (*POOL, OPEN, "taro@example.jp", "nobody@example.jp", "postmaster@example.co.jp")


@settings(max_examples=300, deadline=None)
@given(files())
def test_the_tables_mean_what_the_files_say(found: dict[str, dict[str, Any]]) -> None:
    meaning = Meaning(people={owner: people(owner, **file) for owner, file in found.items()})
    postfix = Postfix.of(found)
    for address in ASKED:
        for form in forms(address):
            assert postfix.edge(form) == meaning.edge(address), form
            assert postfix.hub(form) == meaning.hub(address), form
            assert postfix.branch(form) == meaning.branch(address), form
            assert postfix.from_branch(form) == insiders_hear(meaning, address), form


def insiders_hear(meaning: Meaning, address: str) -> str:
    """At the hub: what strangers hear at the edge, but 450 for the unknown; held mail is taken."""
    if not meaning.hub(address):
        return "450"
    return "250" if meaning.mailbox(address) == HOLDING else meaning.edge(address)


@settings(max_examples=300, deadline=None)
@given(files())
def test_what_the_edge_takes_the_hub_never_bounces(found: dict[str, dict[str, Any]]) -> None:
    """A way that ends in a mailbox, in the queue, or in 450: no host behind the edge says 5xx."""
    postfix = Postfix.of(found)
    for address in ASKED:
        if postfix.edge(address) == "250":
            assert postfix.from_relay(address) in ("250", "450")
            assert all(way for _, way in postfix.hub(address))


@settings(max_examples=100, deadline=None)
@given(files(), files())
def test_whoever_learns_first_nobody_bounces_or_circles(
    before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]
) -> None:
    """Each host may be at either state: what one takes the next delivers, holds or defers."""
    old, new = Postfix.of(before), Postfix.of(after)
    for address in ASKED:
        for hub in (old, new):
            for user, way in hub.hub(address):
                assert way.startswith(("virtual:", "relay:[", "legacy:[", "retry:")), (user, way)
                for office in (old, new):
                    if way == "relay:[192.168.10.5]" and office.branch(user) != "virtual:":
                        taken = user in office.office["recipients"]
                        assert not taken, "the branch would send it back to the hub"
