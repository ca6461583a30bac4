"""For random directories, what the tables of every role answer is what the files mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from directories import Tables as Store
from directories import people
from hypothesis import given, settings
from meaning import ASKED, Meaning, Postfix, files, forms, lookup

Files = dict[str, dict[str, Any]]


def meant(found: Files) -> Meaning:
    return Meaning(people={owner: people(owner, **file) for owner, file in found.items()})


@settings(max_examples=300, deadline=None)
@given(files())
def test_the_tables_mean_what_the_files_say(found: Files) -> None:
    meaning, postfix = meant(found), Postfix.of(found)
    for address in ASKED:
        for form in forms(address):
            assert postfix.edge(form) == meaning.edge(address), form
            assert postfix.hub(form) == meaning.hub(address), form
            assert postfix.branch(form) == meaning.branch(address), form
            assert postfix.branch_takes(form) == (meaning.branch(address) == "virtual:"), form
            assert postfix.from_branch(form) == meaning.inside(address), form


@settings(max_examples=50, deadline=None)
@given(files(), files())
def test_while_tables_change_nobody_who_stays_is_refused_or_lost(
    before: Files, after: Files
) -> None:
    """At every moment of a change: each host is at the old state, at the new one, or between."""
    old, new = meant(before), meant(after)
    for relay in changing(before, after, "relay"):
        for address in ASKED:
            assert relay.edge(address) in (old.edge(address), new.edge(address)), address
    for hub in changing(before, after, "inside"):
        for address in ASKED:
            found = hub.hub(address)
            assert found or not (old.hub(address) and new.hub(address)), address
            for user, way in found:
                assert way, f"{address}: {user} is of neither state"
                assert way in (old.mailbox(user), new.mailbox(user)), (address, user)
                assert way != "virtual:" or lookup(hub.inside["mailboxes"], user), user
    for branch in changing(before, after, "office"):
        for address in filter(branch.branch_takes, ASKED):
            assert branch.branch(address) == "virtual:", f"{address} would go back to the hub"
            assert lookup(branch.office["mailboxes"], address), address


def changing(before: Files, after: Files, role: str) -> Iterator[Postfix]:
    """A role's tables after each step by which the synchroniser puts others in force."""
    old, new = Postfix.of(before), Postfix.of(after)
    seen: list[Postfix] = []
    with TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.install(getattr(old, role))

        def replaced(source: Path | str, target: Path) -> None:
            Path(source).rename(target)
            if target.suffix != ".cdb":
                seen.append(replace(new, **{role: live(store)}))

        with patch("os.replace", replaced):
            store.install(getattr(new, role))
    return iter(seen)


def live(store: Store) -> dict[str, dict[str, str]]:
    files = [file for file in store.tables.iterdir() if "-" not in file.name and not file.suffix]
    lines = {file.name: file.read_text().splitlines() for file in files}
    return {
        name: {key: value for key, _, value in (line.partition(" ") for line in each)}
        for name, each in lines.items()
    }
