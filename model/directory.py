"""The directory: who exists and where they live, as objects in a bucket, each with one owner.

Two objects per owner, by who may read them: `addresses/…` says only which addresses take mail (a
relay reads nothing else), `people/…` also says where users live and what aliases expand to.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from model.people import People

VERSION = 1
ADDRESSES = "addresses/"
PEOPLE = "people/"


@dataclass(frozen=True, kw_only=True)
class DirectoryObject:
    """An object of the directory bucket: its key and its JSON text."""

    key: str
    text: str


def environment_owner() -> str:
    """The environment's name within the directory."""
    return "environment"


def branch_owner(name: str) -> str:
    """A branch's name within the directory."""
    return f"branches/{name}"


def people_key(owner: str) -> str:
    """The key of an owner's people."""
    return f"{PEOPLE}{owner}.json"


def objects(owner: str, people: People, *, host: str, address: str) -> tuple[DirectoryObject, ...]:
    """The objects of `owner`, whose users live on the mail server `host` at `address`."""
    head: dict[str, Any] = {"version": VERSION, "owner": owner}
    return (
        _object(ADDRESSES, owner, {**head, "addresses": list(people.addresses)}),
        _object(
            PEOPLE,
            owner,
            {
                **head,
                "host": host,
                "address": address,
                "users": list(people.users),
                "aliases": {name: list(people.aliases[name]) for name in sorted(people.aliases)},
                "open_aliases": list(people.open_aliases),
            },
        ),
    )


def _object(prefix: str, owner: str, content: dict[str, Any]) -> DirectoryObject:
    return DirectoryObject(key=f"{prefix}{owner}.json", text=json.dumps(content, indent=1) + "\n")
