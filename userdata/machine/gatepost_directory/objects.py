"""The objects of the directory: what a host is told to believe, and what it refuses."""

from __future__ import annotations

import ipaddress
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

VERSION = 2
LARGEST_OBJECT = 32 * 1024 * 1024
"""Bytes; 100,000 people with an alias each take some 12 MB."""
MOST_VALUES = 2_000_000
"""Lists, mappings and their items in one object, counted before it is read: memory is finite."""
MOST_MEMBERS = 1000
"""Addresses that an alias may lead to (postconf(5), virtual_alias_expansion_limit)."""

ENVIRONMENT = "environment"
OWNER = re.compile(r"environment|branches/[a-z][a-z0-9-]{0,19}")
LOCAL = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
HOST = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LOCAL_OUTSIDE = re.compile(r"[a-z0-9]([a-z0-9._+-]{0,62}[a-z0-9])?")
"""The same of somebody outside, with a detail; both in printable ASCII, and nothing else."""
REFUSAL = re.compile(r"5\.[0-9]\.[0-9] [A-Za-z0-9][A-Za-z0-9 .,:;()@'/+_-]{0,198}[A-Za-z0-9.)]")
"""A status code (RFC 3463) and a text: what a sender gets to see, in printable ASCII."""

HEAD = {"version", "owner"}
FIELDS = {
    "addresses": HEAD | {"addresses", "held", "refused"},
    "people": HEAD
    | {"host", "address", "users", "legacy", "held", "refused", "aliases", "open_aliases"},
}
"""Exactly these, by the first part of the key: anything else is of another version."""
OF_ENVIRONMENT = {"people": {"relays"}}
"""What the environment's own has beside; a hub alone reads it."""
MOST_RELAYS = 4
"""As many as a stack file may have."""

Part = dict[str, Any]
"""The content of one object that `parse` has passed."""


class Refused(Exception):
    """An object of the directory is not taken, and why."""


@dataclass(frozen=True)
class Config:
    """What user data tells this program: see userdata/render.py. All trust begins here."""

    role: str
    bucket: str
    region: str
    owner: str
    """Whose users have their mailboxes on this host."""
    domains: list[str]
    branches: str
    """The supernet in which the branches' servers are."""
    hub: str
    seconds: float
    """Between two looks at the directory."""
    host: str
    """This host's own name."""
    peers: dict[str, list[str]] = field(default_factory=dict)
    """The environment's hosts that it talks to, each with the next hops that lead there; a hub has
    its relays by the directory."""
    network: str = ""
    """The network in which a hub's relays are."""
    relay_port: int = 0
    """The relays' port for what leaves by them; 0: nothing does."""
    hands_over: bool = False
    """Whether mail for anyone else goes to a host of our own, too."""
    legacy: dict[str, str] = field(default_factory=dict)
    """Addresses of servers that users may still be at, by name."""
    forwarding: bool = False
    """Whether the environment's aliases may lead outside."""

    @property
    def prefix(self) -> str:
        """The keys of all owners that this host's role may list; empty where it reads its own."""
        return {"relay": "addresses/", "hub": "people/", "branch": ""}[self.role]

    @property
    def required(self) -> str:
        """The key without which there is nothing to serve."""
        kind = "addresses" if self.role == "relay" else "people"
        return f"{kind}/{self.owner}.json"


def check_key(key: str) -> str:
    """The owner that a key names; raises Refused for a key that is no owner's."""
    kind, _, rest = key.partition("/")
    owner = rest.removesuffix(".json")
    if kind not in FIELDS or not rest.endswith(".json") or not OWNER.fullmatch(owner):
        raise Refused("must be environment.json or branches/NAME.json")
    return owner


def parse(key: str, body: bytes, config: Config) -> Part:
    """Check one object as a whole; returns its content or raises Refused."""
    owner = check_key(key)
    kind = key.partition("/")[0]
    data = decode(body)
    if not isinstance(data, dict) or type(data.get("version")) is not int:
        raise Refused(f"must be an object of version {VERSION}")
    if data["version"] != VERSION:
        raise Refused(f"must be of version {VERSION}, got {data['version']}")
    if data.get("owner") != owner:
        raise Refused(f"must be owned by {owner}, got {show(data.get('owner'))}")
    fields = FIELDS[kind] | (OF_ENVIRONMENT.get(kind, set()) if owner == ENVIRONMENT else set())
    if set(data) != fields:
        odd = sorted(set(data) ^ fields)
        raise Refused(f"must have exactly its fields, differs in {show(odd)}")
    if kind == "addresses":
        _check_addresses(data, config)
    else:
        _check_people(data, owner, config)
    return data


def decode(body: bytes) -> Any:
    """JSON as RFC 8259 has it: UTF-8, no key twice, no NaN, and no more than fits in memory."""
    if len(body) > LARGEST_OBJECT:
        raise Refused(f"must be at most {LARGEST_OBJECT} bytes, got more")
    values = sum(body.count(sign) for sign in (b"[", b"{", b","))
    if values > MOST_VALUES:
        raise Refused(f"must have at most {MOST_VALUES} values, got {values}")
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise Refused(f"must be JSON ({show(str(error))})") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"key {twice!r} stands twice")
    return data


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


def show(value: object) -> str:
    """A value in a sentence: one line of printable ASCII, cut short; a plain word as it is."""
    plain = isinstance(value, str) and re.fullmatch(r"[a-z0-9/._@-]+", value)
    return (str(value) if plain else ascii(value))[:120]


def _check_addresses(data: Part, config: Config) -> None:
    known = set(_addresses(data["addresses"], "addresses", config))
    _subset(data["held"], known, "held")
    _check_refusals(data["refused"], known)


def _check_people(data: Part, owner: str, config: Config) -> None:
    users = set(_addresses(data["users"], "users", config))
    if not isinstance(data["aliases"], dict):
        raise Refused("aliases: must map addresses to lists of addresses")
    aliases = set(_addresses(list(data["aliases"]), "aliases", config))
    if users & aliases:
        raise Refused(f"aliases: must not be users too, got {show(min(users & aliases))}")
    ours = {*config.domains, config.host, *config.peers}
    if owner == ENVIRONMENT:
        ours |= _check_relays(data["relays"], config)
    outside = config.forwarding and owner == ENVIRONMENT
    _check_members(data["aliases"], users, ours if outside else None)
    _subset(data["held"], users, "held")
    _check_refusals(data["refused"], users | aliases)
    _check_legacy(data["legacy"], users, owner, config)
    if not isinstance(data["host"], str) or not HOST.fullmatch(data["host"]):
        raise Refused(f"host: must be a host name, got {show(data['host'])}")
    if owner == ENVIRONMENT:
        _subset(data["open_aliases"], aliases, "open_aliases")
        if data["address"] != config.hub:
            raise Refused(f"address: must be the hub's {config.hub}, got {show(data['address'])}")
        return
    if data["open_aliases"] != []:
        raise Refused("open_aliases: must be the environment's to open")
    if data["host"] in config.peers or (owner != config.owner and data["host"] == config.host):
        raise Refused(f"host: must be the branch's own, got {data['host']}")
    _check_server(data["address"], config)


def _check_members(aliases: Part, users: set[str], ours: set[str] | None) -> None:
    """An alias leads to the file's users, and, unless `ours` is None, outside of `ours`."""
    for name, members in aliases.items():
        inside = members if ours is None else _inside(members, ours)
        _subset(inside, users, f"aliases.{name}")
        if not 1 <= len(members) <= MOST_MEMBERS:
            raise Refused(f"aliases.{name}: must have 1 to {MOST_MEMBERS} members")


def _check_relays(raw: object, config: Config) -> set[str]:
    """The relays' names; two must differ in the first part, by which keys are told apart."""
    if not isinstance(raw, list) or not 1 <= len(raw) <= MOST_RELAYS:
        raise Refused(f"relays: must be a list of 1 to {MOST_RELAYS}, got {show(raw)}")
    seen = {config.hub, config.host.partition(".")[0]}
    for relay in raw:
        if not isinstance(relay, dict) or set(relay) != {"host", "address"}:
            raise Refused(f"relays: must each have host and address, got {show(relay)}")
        host, address = relay["host"], relay["address"]
        if not isinstance(host, str) or not HOST.fullmatch(host):
            raise Refused(f"relays: must be host names, got {show(host)}")
        if not _is_within(address, config.network):
            raise Refused(f"relays: must be within {config.network}, got {show(address)}")
        mine = {host.partition(".")[0], address}
        if seen & mine:
            raise Refused(f"relays: must differ from each other and the hub, got {show(relay)}")
        seen |= mine
    return {relay["host"] for relay in raw}


def _is_within(raw: object, network: str) -> bool:
    try:
        address = ipaddress.IPv4Address(raw if isinstance(raw, str) else "")
    except ValueError:
        return False
    return address in ipaddress.IPv4Network(network)


def _inside(raw: object, ours: set[str]) -> object:
    """What is left of an alias's members without those to whom mail may be forwarded."""
    if not isinstance(raw, list):
        return raw
    return [item for item in raw if not (isinstance(item, str) and _is_outside(item, ours))]


def _is_outside(address: str, ours: set[str]) -> bool:
    """Whether mail may be forwarded there: not to a domain or host of `ours`."""
    local, _, domain = address.rpartition("@")
    return (
        LOCAL_OUTSIDE.fullmatch(local) is not None
        and ".." not in local
        and HOST.fullmatch(domain) is not None
        and len(domain) <= 253
        # No top-level domain is a number (RFC 3696 section 2): that is an address.
        and not domain.rpartition(".")[2].isdigit()
        and domain not in ours
    )


def _check_server(raw: object, config: Config) -> None:
    try:
        address = ipaddress.IPv4Address(raw if isinstance(raw, str) else "")
    except ValueError:
        raise Refused(f"address: must be IPv4, got {show(raw)}") from None
    taken = {config.hub, *config.legacy.values()}
    if address not in ipaddress.IPv4Network(config.branches) or str(address) in taken:
        raise Refused(f"address: must be a branch's, within {config.branches}, got {address}")


def _check_legacy(raw: object, users: set[str], owner: str, config: Config) -> None:
    if not isinstance(raw, dict) or (raw and owner != ENVIRONMENT):
        raise Refused("legacy: must map the environment's users to servers")
    for user, server in raw.items():
        if user not in users or not isinstance(server, str) or server not in config.legacy:
            raise Refused(f"legacy: must be users at declared servers, got {show((user, server))}")


def _check_refusals(raw: object, known: set[str]) -> None:
    if not isinstance(raw, dict):
        raise Refused("refused: must map addresses to texts")
    for name, text in raw.items():
        if name not in known or not isinstance(text, str) or not REFUSAL.fullmatch(text):
            raise Refused(f"refused: must be own addresses and texts, got {show((name, text))}")


def _subset(raw: object, known: set[str], where: str) -> None:
    if not isinstance(raw, list):
        raise Refused(f"{where}: must be a list of addresses")
    for item in raw:
        if not isinstance(item, str) or item not in known:
            raise Refused(f"{where}: must be addresses of the same object, got {show(item)}")


def _addresses(raw: object, where: str, config: Config) -> list[str]:
    if not isinstance(raw, list):
        raise Refused(f"{where}: must be a list of addresses")
    domains = set(config.domains)
    for item in raw:
        local, _, domain = item.rpartition("@") if isinstance(item, str) else ("", "", "")
        if domain not in domains or not LOCAL.fullmatch(local) or ".." in local:
            raise Refused(f"{where}: must be an address in our mail domains, got {show(item)}")
    return raw
