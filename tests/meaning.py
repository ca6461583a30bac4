"""What files of people mean, said apart from how it is done; and how Postfix looks tables up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from directories import BRANCH, DOMAINS, HUB, RELAY, SERVERS, parts, texts
from hypothesis import strategies as st

from model.directory import DISABLED, LEFT
from model.people import People
from userdata.machine.gatepost_directory.tables import HOLDING, Tables, derive

NAMES = ("a", "b", "c", "d", "e", "f")
POOL = tuple(f"{name}@{domain}" for name in NAMES for domain in DOMAINS)
OPEN = "info@example.jp"
ASKED = (*POOL, OPEN, "taro@example.jp", "nobody@example.jp", "postmaster@example.co.jp")
OWNERS = ("environment", "branches/nagoya", "branches/osaka")
"""In the order of their precedence."""


@st.composite
def files(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """A right file of people for each owner; any two may claim the same."""
    return {owner: draw(_file(owner)) for owner in OWNERS}


@st.composite
def _file(draw: st.DrawFn, owner: str) -> dict[str, Any]:
    home = owner == "environment"
    kinds = draw(st.lists(st.sampled_from(["none", "user", "alias", "reserved", "closed"]),
                          min_size=len(POOL), max_size=len(POOL)))  # fmt: skip
    by_kind = {k: [a for a, kind in zip(POOL, kinds, strict=True) if kind == k] for k in set(kinds)}
    users = [_user(draw, address, home) for address in by_kind.get("user", [])]
    if home:
        users.append("taro@example.jp")
    known = [user if isinstance(user, str) else user["address"] for user in users]
    groups = by_kind.get("alias", []) + by_kind.get("closed", [])
    aliases: dict[str, list[str]] = {}
    for name in groups if known else []:
        members = st.sampled_from([*known, *aliases])
        aliases[name] = draw(st.lists(members, min_size=1, max_size=3))
    if known and (home or draw(st.booleans())):
        aliases[OPEN] = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3))
    closed = [name for name in by_kind.get("closed", []) if name in aliases]
    found: dict[str, Any] = {
        "users": users,
        "aliases": aliases,
        "reserved": by_kind.get("reserved", []) + closed,
    }
    return found | ({"open_aliases": [OPEN]} if home else {})


def _user(draw: st.DrawFn, address: str, home: bool) -> Any:
    said: dict[str, Any] = {}
    if draw(st.integers(0, 3)) == 0:
        said["disabled"] = f"{address.partition('@')[0]} is away"
    if draw(st.integers(0, 3)) == 0:
        said["hold"] = True
    if home and draw(st.integers(0, 3)) == 0:
        said["at"] = "old"
    return {"address": address, **said} if said else address


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What some owners' people mean together."""

    people: Mapping[str, People]

    def owner(self, address: str) -> str | None:
        """The first who claims it and does not let go; the first of all if each lets go."""
        claims = [owner for owner in OWNERS if address in self._claims(owner)]
        firm = [owner for owner in claims if not self._held(owner, address)]
        return (firm or claims or [None])[0]

    def _claims(self, owner: str) -> set[str]:
        found = {*self.people[owner].addresses}
        joins = owner != "environment" and OPEN in self.people[owner].aliases
        return found - {OPEN} if joins else found

    def _held(self, owner: str, address: str) -> bool:
        return any(user.address == address and user.hold for user in self.people[owner].users)

    def edge(self, address: str) -> str:
        """What a stranger hears at the relay."""
        owner = self.owner(address)
        if owner is None:
            return "550 unknown"
        text = self._refusal(self.people[owner], address)
        return f"550 {text}" if text else "250"

    def _refusal(self, people: People, address: str) -> str:
        disabled = {user.address: user.disabled for user in people.users if user.disabled}
        if address in people.reserved:
            return LEFT
        if address in disabled:
            return f"{DISABLED} {disabled[address]}"
        members = people.aliases.get(address, ())
        if members and all(member in disabled for member in members):
            return f"{DISABLED} {disabled[members[0]]}"
        return ""

    def mailbox(self, address: str) -> str:
        """Where the hub takes a user's mail; empty for who is no user of whoever owns it."""
        owner = self.owner(address)
        if owner is None:
            return ""
        people = self.people[owner]
        user = next((user for user in people.users if user.address == address), None)
        if user is None and (address not in people.reserved or address in people.aliases):
            return ""
        if user and user.hold:
            return HOLDING
        if user and user.at:
            return f"legacy:[{HUB.legacy[user.at]}]"
        return "virtual:" if owner == "environment" else f"relay:[{SERVERS[owner][1]}]"

    def hub(self, address: str) -> set[tuple[str, str]]:
        """Whom the hub hands a message that a relay has taken for an address, and where."""
        owner = self.owner(address)
        if owner is None:
            return set()
        lists = [self._members(owner, address)]
        if address == OPEN:
            lists += [self._joiners(branch) for branch in OWNERS[1:]]
        users = {user for members in lists for user in members} or {address}
        return {(user, self.mailbox(user)) for user in users if self.mailbox(user)}

    def inside(self, address: str) -> str:
        """What a branch hears at the hub: as strangers at the edge, but 450 for the unknown; held
        mail is taken."""
        if not self.hub(address):
            return "450"
        return "250" if self.mailbox(address) == HOLDING else self.edge(address)

    def _members(self, owner: str, alias: str) -> list[str]:
        """Whom an alias leads to: all but the disabled, or all if all are."""
        people = self.people[owner]
        off = {user.address for user in people.users if user.disabled}
        members = people.aliases.get(alias, ())
        return [member for member in members if member not in off] or list(members)

    def _joiners(self, branch: str) -> list[str]:
        return [user for user in self._members(branch, OPEN) if self.owner(user) == branch]

    def branch(self, address: str) -> str:
        """What the branch osaka does with an address: its own people's mail stays."""
        people = self.people[BRANCH.owner]
        mine = {user.address for user in people.users if not user.hold}
        left = {*people.reserved} - {*people.aliases}
        return "virtual:" if address in mine | left else "relay:[hub]"


@dataclass(frozen=True, kw_only=True)
class Postfix:
    """How Postfix 3.10 reads the tables of the three roles, with `recipient_delimiter = +`."""

    relay: Tables
    inside: Tables
    office: Tables

    @classmethod
    def of(cls, found: Mapping[str, Mapping[str, Any]]) -> Postfix:
        """The tables that every role derives from some files."""
        made = [texts(owner, **file) for owner, file in found.items()]
        return cls(
            relay=derive(parts(RELAY, *made), RELAY)[0],
            inside=derive(parts(HUB, *made), HUB)[0],
            office=derive(parts(BRANCH, *made), BRANCH)[0],
        )

    def edge(self, address: str) -> str:
        """A stranger's RCPT: smtpd_recipient_restrictions, then relay_recipient_maps."""
        refused = lookup(self.relay["refused"], address)
        if refused:
            return refused
        return "250" if lookup(self.relay["recipients"], address) else "550 unknown"

    def from_relay(self, address: str) -> str:
        """A relay's RCPT at the hub."""
        held = lookup(self.inside["held"], address)
        return "250" if held or lookup(self.inside["recipients"], address) else "450"

    def from_branch(self, address: str) -> str:
        """A branch's RCPT at the hub."""
        refused = lookup(self.inside["refused"], address)
        if lookup(self.inside["held"], address) or self.from_relay(address) == "450" or not refused:
            return self.from_relay(address)
        return refused

    def hub(self, address: str) -> set[tuple[str, str]]:
        """Alias expansion, then the way of each recipient; none for what the hub does not take."""
        if self.from_relay(address) == "450":
            return set()
        users = lookup(self.inside["aliases"], address)
        found = set()
        for user in users.split(", ") if users else [_plain(address)]:
            way = lookup(self.inside["transport"], user)
            found.add((user, way))
        return found

    def branch(self, address: str) -> str:
        """The way of an address at the branch."""
        return lookup(self.office["transport"], address) or "relay:[hub]"

    def branch_takes(self, address: str) -> bool:
        """Whether the branch takes it of the hub: then it keeps it."""
        return bool(lookup(self.office["recipients"], address))


def forms(address: str) -> tuple[str, ...]:
    """An address as senders may write it."""
    local, _, domain = address.partition("@")
    return (
        address,
        address.upper(),
        f"{local}+x@{domain}",
        f"{local}+@{domain}",
        f"{local}+a+b@{domain}",
    )


def lookup(table: Mapping[str, str], address: str) -> str:
    """virtual(5), transport(5), access(5): the whole address first, then without its detail."""
    address = address.lower()
    return table.get(address) or table.get(_plain(address)) or ""


def _plain(address: str) -> str:
    local, _, domain = address.lower().rpartition("@")
    name, plus, _ = local.partition("+")
    return f"{name}@{domain}" if plus and name else f"{local}@{domain}"
