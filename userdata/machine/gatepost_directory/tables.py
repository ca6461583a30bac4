"""The tables of a role, derived from the objects of all owners.

An address belongs to the environment if that claims it, else to the first branch by name that
does; an owner who holds a user's mail, to move the mailbox elsewhere, lets go of the address as
soon as another claims it. Every host decides so for itself, and all alike.

Only the edge refuses people who exist. Behind it, what the edge has let through is delivered, be
a user disabled or gone since: so it does not matter who learns first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .objects import ENVIRONMENT, MOST_MEMBERS, Config, Part

Tables = dict[str, dict[str, str]]

HOLDING = "retry:4.2.1 The mailbox is being moved"
REFUSED = "550 {}"
BY_EDGE = "permit_auth_destination"
"""What the relays have let through is delivered (access(5), postconf(5))."""
STALE = "DEFER_IF_REJECT 4.3.0 Not all addresses are known at the moment"
"""Turns what would be a 550 for an unknown address into a 450 (access(5))."""


def derive(parts: Mapping[str, Part], config: Config) -> tuple[Tables, list[str]]:
    """The tables of this host's role, and a sentence for each conflict between owners.

    `parts` maps keys to contents that `parse` has passed, the required one among them.
    """
    if config.role == "branch":
        return _home_tables(parts[config.required]), []
    ordered = _ordered(parts)
    return _relay_tables(ordered) if config.role == "relay" else _hub_tables(ordered, config)


def servers(parts: Mapping[str, Part], config: Config) -> list[Part]:
    """The owners with a server of their own, as a hub knows them, in order of precedence."""
    return _servers(_ordered(parts), config)[0]


def places(parts: Mapping[str, Part], config: Config) -> dict[str, str]:
    """Whose each server's address and name is, as a hub knows them; a relay's the environment's."""
    return _relays(parts.values()) | {
        place: part["owner"]
        for part in servers(parts, config)
        for place in (part["address"], part["host"])
    }


def _relays(parts: Iterable[Part]) -> dict[str, str]:
    return {
        place: part["owner"]
        for part in parts
        if part["owner"] == ENVIRONMENT
        for relay in part["relays"]
        for place in (relay["address"], relay["host"])
    }


def _ordered(parts: Mapping[str, Part]) -> list[Part]:
    return sorted(parts.values(), key=lambda part: (part["owner"] != ENVIRONMENT, part["owner"]))


def stale_table(domains: Iterable[str], *, stale: bool) -> dict[str, str]:
    """What has a relay say 450 instead of 550 while it may not have heard of an address."""
    return dict.fromkeys(domains, STALE) if stale else {}


def _owners(parts: list[Part], claims: Mapping[str, list[str]]) -> tuple[dict[str, str], list[str]]:
    """Whose each address is, and the claims that do not stand; `parts` in order of precedence."""
    owners: dict[str, str] = {}
    held = {(part["owner"], address) for part in parts for address in part["held"]}
    conflicts = []
    for part in parts:
        owner = part["owner"]
        for address in claims[owner]:
            first = owners.setdefault(address, owner)
            if first == owner or (owner, address) in held:
                continue
            if (first, address) in held:
                owners[address] = owner
            else:
                conflicts.append(f"{owner}: {address} belongs to {first}")
    return owners, conflicts


def _relay_tables(parts: list[Part]) -> tuple[Tables, list[str]]:
    """Which addresses there are, and who is refused with which words."""
    claims = {part["owner"]: part["addresses"] for part in parts}
    owners, _ = _owners(parts, claims)
    refused = {
        address: REFUSED.format(text)
        for part in parts
        for address, text in part["refused"].items()
        if owners[address] == part["owner"]
    }
    known = {address: "OK" for address in owners if address not in refused}
    return {"recipients": known, "refused": refused}, []


def _home_tables(part: Part) -> Tables:
    """Users whose mailbox is on this host; who is held is the hub's to hold."""
    held = set(part["held"])
    here = [user for user in part["users"] if user not in part["legacy"]]
    serving = [user for user in here if user not in held]
    return {
        "transport": dict.fromkeys(serving, "virtual:"),
        "mailboxes": {user: _maildir(user) for user in here},
        "recipients": dict.fromkeys(serving, "OK"),
    }


def _maildir(user: str) -> str:
    local, _, domain = user.rpartition("@")
    return f"{domain}/{local}/"


def _hub_tables(parts: list[Part], config: Config) -> tuple[Tables, list[str]]:
    """Everyone, and where they live."""
    parts, conflicts = _servers(parts, config)
    opened = frozenset(parts[0]["open_aliases"])
    claims = {p["owner"]: [*p["users"], *(set(p["aliases"]) - opened)] for p in parts}
    claims[ENVIRONMENT] += opened
    owners, claimed = _owners(parts, claims)
    conflicts += claimed
    transport: dict[str, str] = {}
    refused: dict[str, str] = {}
    for part in parts:
        mine = [user for user in part["users"] if owners[user] == part["owner"]]
        transport.update(_ways(part, mine, config))
        for address, text in part["refused"].items():
            if owners[address] == part["owner"]:
                refused[address] = REFUSED.format(text)
    aliases, joined = _aliases(parts, owners, transport, opened, config)
    return {
        "transport": transport,
        "mailboxes": _home_tables(parts[0])["mailboxes"],
        "aliases": {name: ", ".join(members) for name, members in aliases.items()},
        "held": {user: "OK" for user, way in transport.items() if way == HOLDING},
        "refused": refused,
        "recipients": dict.fromkeys([*transport, *aliases], "OK"),
        "edge": {relay["address"]: BY_EDGE for relay in parts[0]["relays"]},
    }, conflicts + joined


def _servers(parts: list[Part], config: Config) -> tuple[list[Part], list[str]]:
    """The owners with a server of their own; of two with one address or name the first has it.

    Two are met here only where none was in force before: see watch.py.
    """
    taken = {address: f"the legacy server {name}" for name, address in config.legacy.items()}
    taken |= _relays(parts)
    standing, conflicts = [], []
    for part in parts:
        for place in (part["address"], part["host"]):
            if place in taken:
                conflicts.append(f"{part['owner']}: {place} belongs to {taken[place]}")
                break
        else:
            taken |= dict.fromkeys((part["address"], part["host"]), part["owner"])
            standing.append(part)
    return standing, conflicts


def _ways(part: Part, users: list[str], config: Config) -> dict[str, str]:
    """The transport of an owner's users: a mailbox here, another server, or the queue."""
    here = "virtual:" if part["owner"] == ENVIRONMENT else f"relay:[{part['address']}]"
    held = set(part["held"])
    return {
        user: HOLDING
        if user in held
        else f"legacy:[{config.legacy[part['legacy'][user]]}]"
        if user in part["legacy"]
        else here
        for user in users
    }


def _outside(address: str, config: Config) -> bool:
    return config.forwarding and address.rpartition("@")[2] not in config.domains


def _aliases(
    parts: list[Part],
    owners: Mapping[str, str],
    transport: Mapping[str, str],
    opened: frozenset[str],
    config: Config,
) -> tuple[dict[str, list[str]], list[str]]:
    """Aliases with their members; a branch adds its own users, and no others, to an open one.

    Members are users or outside, never aliases: whatever owners claim, none leads back to itself.
    """
    aliases: dict[str, list[str]] = {}
    conflicts = []
    for part in parts:
        for name, listed in part["aliases"].items():
            members = [user for user in listed if user in transport or _outside(user, config)]
            if owners[name] == part["owner"]:
                aliases[name] = members
            elif name in opened:
                members = [user for user in members if owners.get(user) == part["owner"]]
                if len(aliases[name]) + len(members) > MOST_MEMBERS:
                    conflicts.append(f"{part['owner']}: alias {name} has {MOST_MEMBERS} members")
                    continue
                aliases[name] += members
    return {name: members for name, members in aliases.items() if members}, conflicts
