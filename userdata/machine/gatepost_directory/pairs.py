"""Owners of whom the directory has one object and not the other.

An owner who leaves takes both along. One alone that goes is no removal, but somebody's slip: the
edge would refuse people whom the hub knows, or take mail that then waits.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from .objects import Config, show

PEOPLE, ADDRESSES = "people/", "addresses/"
EVERY = 60.0
"""Seconds between two comparisons; what two in a row find is an alarm, as a stack writes or deletes
one object after the other."""


class Pairs:
    """Compares, on a hub, whose people there are and whose addresses."""

    def __init__(self, config: Config, s3: Any) -> None:
        self.config = config
        self.s3 = s3
        self.complaints: set[str] = set()
        self._next_look = 0.0
        self._last: set[str] = set()

    def look(self, listed: Iterable[str]) -> None:
        """Compare now and then; `listed` are the keys of the people that there are."""
        now = time.monotonic()
        if self.config.role != "hub" or now < self._next_look:
            return
        self._next_look = now + EVERY
        try:
            addresses = self._list()
        except (BotoCoreError, ClientError) as error:
            self.complaints = {f"the addresses cannot be listed: {error}"}
            return
        # Whether the hub's own people are there the hub says by itself.
        found = halves({*listed, self.config.required}, addresses)
        self.complaints, self._last = found & self._last, found

    def _list(self) -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.config.bucket, Prefix=ADDRESSES)
        return {item["Key"] for page in found for item in page.get("Contents", [])}


def halves(people: set[str], addresses: set[str]) -> set[str]:
    """A sentence for each object, by its key, whose other half is missing."""
    known = {key.removeprefix(PEOPLE) for key in people}
    taken = {key.removeprefix(ADDRESSES) for key in addresses}
    return {
        f"missing {ADDRESSES}{show(name)}: the edge refuses mail for its owner's people"
        for name in known - taken
    } | {
        f"missing {PEOPLE}{show(name)}: the edge takes mail for its owner's people, and it waits"
        for name in taken - known
    }
