"""A company whose people change: its files of people, and random changes of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

DOMAIN = "example.jp"
FILES = {"dev": "dev.yaml", "dev-osaka": "dev-osaka.yaml"}
KEPT = ("taro@example.jp",)
"""Whoever is never changed: the role addresses lead to him."""
GONE_TEXT = "No longer with us"


@dataclass
class Move:
    """A mailbox under way: held at the old server, then claimed by the new one."""

    user: str
    source: str
    target: str


@dataclass
class Company:
    """Who is where; `change` does one random thing, `write` puts all of it into the files."""

    folder: Path
    rng: random.Random
    users: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """By stack and address, what the file says beside the address."""
    reserved: dict[str, set[str]] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)
    """Of the environment, beside those that it must have."""
    number: int = 0
    moving: set[str] = field(default_factory=set)
    """Whose mailbox is under way; nothing else happens to them meanwhile."""

    @classmethod
    def start(cls, project: Path, *, seed: int, size: int) -> Company:
        """The demonstration's people and `size` more at each server."""
        company = cls(folder=project / "stacks" / "people", rng=random.Random(seed))
        for stack, file in FILES.items():
            content = yaml.safe_load((company.folder / file).read_text())
            company.users[stack] = {user: {} for user in content["users"]}
            company.reserved[stack] = set()
            for _ in range(size):
                company.users[stack][company._new("user")] = {}
        return company

    def write(self) -> None:
        """The files of people, as a person would write them."""
        for stack, file in FILES.items():
            path = self.folder / file
            old = yaml.load(path.read_text(), yaml.CSafeLoader)
            content: dict[str, Any] = {
                "users": [
                    {"address": user, **said} if said else user
                    for user, said in self.users[stack].items()
                ],
                "reserved": sorted(self.reserved[stack]),
            }
            if stack == "dev":
                roles = {a: m for a, m in old["aliases"].items() if not a.startswith("group")}
                content |= {"aliases": roles | self.aliases, "open_aliases": old["open_aliases"]}
            else:
                content["aliases"] = old["aliases"]
            path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, sort_keys=False))

    def change(self) -> str:
        """One random change; returns what it was."""
        return self.rng.choice([self.join, self.join, self.leave, self.alter, self.disable])()

    def join(self) -> str:
        """A new person."""
        user = self._new("user")
        self.users[self.rng.choice(list(FILES))][user] = {}
        return f"join {user}"

    def leave(self) -> str:
        """A person who leaves: the address stays reserved, and leaves every group."""
        stack, user = self._someone()
        del self.users[stack][user]
        self.reserved[stack].add(user)
        for name, members in list(self.aliases.items()):
            self.aliases[name] = [m for m in members if m != user] or list(KEPT)
        return f"leave {user}"

    def disable(self) -> str:
        """A person who takes no mail for a while, or does so again."""
        stack, user = self._someone()
        said = self.users[stack][user]
        if said.pop("disabled", None):
            return f"enable {user}"
        said["disabled"] = GONE_TEXT
        return f"disable {user}"

    def alter(self) -> str:
        """A new group, or another member of one."""
        free = self.users["dev"].items()
        here = [user for user, said in free if not said and user not in self.moving]
        members = self.rng.sample(here, min(3, len(here)))
        if self.aliases and self.rng.random() < 0.5:
            name = self.rng.choice(list(self.aliases))
        else:
            name = self._new("group")
        self.aliases[name] = members
        return f"group {name}"

    def move(self) -> Iterator[Move]:
        """The steps of a move: hold, then the new server claims, then the old one lets go.

        Each is written and applied by the caller before the next is asked for.
        """
        source, user = self._someone(in_groups=False)
        target = next(stack for stack in FILES if stack != source)
        self.moving.add(user)
        self.users[source][user] = {"hold": True}
        yield Move(user, source, target)
        self.users[target][user] = {}
        yield Move(user, source, target)
        del self.users[source][user]
        self.moving.remove(user)
        yield Move(user, source, target)

    def takes_mail(self) -> set[str]:
        """Every address that mail should reach."""
        people = {
            user
            for users in self.users.values()
            for user, said in users.items()
            if "disabled" not in said
        }
        return people | set(self.aliases)

    def refuses_mail(self) -> set[str]:
        """Every address that the edge should refuse though it exists or has existed."""
        disabled = {u for us in self.users.values() for u, said in us.items() if "disabled" in said}
        return disabled | {user for left in self.reserved.values() for user in left}

    def _someone(self, *, in_groups: bool = True) -> tuple[str, str]:
        grouped = {m for members in self.aliases.values() for m in members}
        taken = self.moving if in_groups else self.moving | grouped
        return self.rng.choice(
            [
                (stack, user)
                for stack, users in self.users.items()
                for user, said in users.items()
                if user.startswith("user") and user not in taken
            ]
        )

    def _new(self, kind: str) -> str:
        self.number += 1
        return f"{kind}{self.number}@{DOMAIN}"
