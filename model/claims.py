"""What the owners of one environment claim: an address is one owner's.

The rule is the directory's (docs/decisions/directory.md): an owner who holds a user's mail lets go
of the address as soon as another claims it, and an alias that the environment has opened may be
named by branches as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from model.people import People

MOST_TOLD = 5
"""Addresses that one sentence names."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What one file of people claims; `where` is how an error names the file."""

    where: str
    people: People
    branch: bool

    def firm(self, opened: Collection[str]) -> set[str]:
        """The addresses that nobody else can have; `opened` are the environment's open aliases."""
        people = self.people
        joined = {*opened} if self.branch else set()
        held = {user.address for user in people.users if user.hold}
        users = {user.address for user in people.users}
        left = {*people.reserved} - {*people.aliases}
        return (users | left | ({*people.aliases} - joined)) - held


def disputes(own: Claims, others: Iterable[Claims], opened: Collection[str]) -> Iterator[str]:
    """A sentence for each of the `others` that claims what `own` does."""
    mine = own.firm(opened)
    for other in others:
        if both := sorted(mine & other.firm(opened)):
            more = f" and {len(both) - MOST_TOLD} more" if len(both) > MOST_TOLD else ""
            yield (
                f"{own.where}: must claim nothing that {other.where} does, "
                f"got {', '.join(both[:MOST_TOLD])}{more}"
            )
