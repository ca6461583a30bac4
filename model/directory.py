"""The directory: who exists and where they live, as objects in a bucket, each with one owner.

Two objects per owner, by who may read them: `addresses/…` says only which addresses there are and
which of them are refused, with which words (a relay reads nothing else); `people/…` also says
where users live and what aliases lead to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from model.people import People

VERSION = 2
"""Of the objects' form. A host refuses any other, and keeps what it has."""
ADDRESSES = "addresses/"
PEOPLE = "people/"
IDENTITIES = "keys/"
"""The folder of the fingerprints that hosts publish: the one thing that machines write."""
SOFTWARE = "software/"
"""The folder of the archives that hosts fetch at their first boot (userdata/software.py)."""

DISABLED = "5.2.1"
"""Mailbox disabled, not accepting messages (RFC 3463 section 3.3)."""
LEFT = "5.1.6 This address is no longer in use"
"""Valid at one time, no longer accepted, no forwarding address (RFC 3463 section 3.2)."""


@dataclass(frozen=True, kw_only=True)
class DirectoryObject:
    """An object of the directory bucket: its key and its JSON text."""

    key: str
    text: str


def bucket_name(stack: str, account: str, region: str) -> str:
    """The name of an environment's bucket, which nobody else in the world has."""
    return f"gatepost-{stack}-directory-{account}-{region}"


def environment_owner() -> str:
    """The environment's name within the directory."""
    return "environment"


def branch_owner(name: str) -> str:
    """A branch's name within the directory."""
    return f"branches/{name}"


def people_key(owner: str) -> str:
    """The key of an owner's people."""
    return f"{PEOPLE}{owner}.json"


def identity_key(owner: str, host: str) -> str:
    """The key under which a host publishes the fingerprint by which others know it."""
    return f"{IDENTITIES}{owner}/{host.partition('.')[0]}.json"


def identity_object(owner: str, host: str, fingerprint: str) -> DirectoryObject:
    """What a host would publish of its key; for one that cannot, as it is not on AWS."""
    content = {"version": VERSION, "owner": owner, "host": host, "fingerprint": fingerprint}
    return DirectoryObject(key=identity_key(owner, host), text=json.dumps(content, indent=1) + "\n")


def objects(
    owner: str,
    people: People,
    *,
    host: str,
    address: str,
    relays: Mapping[str, IPv4Address] | None = None,
) -> tuple[DirectoryObject, ...]:
    """The objects of `owner`, whose users live on the mail server `host` at `address`.

    The environment's has its `relays` by host, in the order in which the hub tries them: the hub
    alone reads that object.
    """
    head: dict[str, Any] = {"version": VERSION, "owner": owner}
    refused = refusals(people)
    held = sorted(user.address for user in people.users if user.hold)
    return (
        _object(
            ADDRESSES,
            owner,
            {**head, "addresses": list(people.addresses), "held": held, "refused": refused},
        ),
        _object(
            PEOPLE,
            owner,
            {
                **head,
                "host": host,
                "address": address,
                "users": _mailboxes(people),
                "legacy": {user.address: user.at for user in people.users if user.at},
                "held": held,
                "refused": refused,
                "aliases": _aliases(people),
                "open_aliases": list(people.open_aliases),
                **({} if relays is None else {"relays": _relays(relays)}),
            },
        ),
    )


def _relays(relays: Mapping[str, IPv4Address]) -> list[dict[str, str]]:
    return [{"host": host, "address": str(address)} for host, address in relays.items()]


def refusals(people: People) -> dict[str, str]:
    """Addresses that the edge refuses, with status code and text, in order.

    Disabled users, those who have left, aliases given up or that lead to disabled users only.
    """
    disabled = {user.address: user.disabled for user in people.users if user.disabled}
    found = {name: f"{DISABLED} {text}" for name, text in disabled.items()}
    for name, members in people.aliases.items():
        if all(member in disabled for member in members):
            found[name] = f"{DISABLED} {disabled[members[0]]}"
    found.update(dict.fromkeys(people.reserved, LEFT))
    return dict(sorted(found.items()))


def _mailboxes(people: People) -> list[str]:
    """Whoever has a mailbox, or has left one behind, in order."""
    left = {*people.reserved} - {*people.aliases}
    return sorted({user.address for user in people.users} | left)


def _aliases(people: People) -> Mapping[str, list[str]]:
    """Aliases without their disabled members, as long as others are left."""
    disabled = {user.address for user in people.users if user.disabled}
    return {
        name: [member for member in members if member not in disabled] or list(members)
        for name, members in sorted(people.aliases.items())
    }


def _object(prefix: str, owner: str, content: dict[str, Any]) -> DirectoryObject:
    return DirectoryObject(key=f"{prefix}{owner}.json", text=json.dumps(content, indent=1) + "\n")
