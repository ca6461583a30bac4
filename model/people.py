"""People: the users and aliases of one owner, an environment or a branch.

An address is `local@domain` with its domain among the environment's mail domains. Comparison is
case-insensitive, as Postfix's lookups are, so addresses are written in lower case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model import fields

LOCAL = re.compile(r"[a-z0-9]([a-z0-9._+-]{0,62}[a-z0-9])?")
"""What a local part may be here: a dot-atom of RFC 5321 without the characters that Postfix, a
shell or a file name could read as more than a letter; at most 64 characters (section 4.5.3.1.1)."""

ROLES = ("postmaster", "abuse")
"""Addresses that every mail domain must accept: RFC 5321 section 4.5.1 and RFC 2142."""


@dataclass(frozen=True, kw_only=True)
class People:
    """`open_aliases` are those of an environment's aliases that branches may add their users to."""

    users: tuple[str, ...]
    aliases: Mapping[str, tuple[str, ...]]
    open_aliases: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address that takes mail, in order."""
        return tuple(sorted({*self.users, *self.aliases}))


def read_people(
    raw: object, domains: tuple[str, ...] | None, *, path: str, branch: bool
) -> tuple[People | None, list[str]]:
    """Read a file of people; `path` names it in errors.

    `domains` are the mail domains, None where they could not be read (then any domain passes). A
    branch may list aliases of the environment's that are open to it, so its alias members alone
    must be its own users. Returns None beside the problems where there are any.
    """
    values, problems = fields.read(_BranchFile if branch else _EnvironmentFile, raw, path)
    users: tuple[str, ...] = values.get("users", ())
    aliases: dict[str, tuple[str, ...]] = values.get("aliases", {})
    opened: tuple[str, ...] = values.get("open_aliases", ())
    problems += _repeated(users, path)
    problems += _domain_problems(users, aliases, domains, path)
    problems += _member_problems(users, aliases, path)
    problems += [
        f"{path}.open_aliases: must name an alias of this file, got {name}"
        for name in opened
        if name not in aliases
    ]
    if not branch and domains and "aliases" in values:
        problems += _role_problems(users, aliases, domains, path)
    if problems:
        return None, problems
    return People(users=tuple(sorted(users)), aliases=aliases, open_aliases=opened), []


def in_alias_domains(people: People, alias_domains: Mapping[str, str]) -> People:
    """The same people, who exist in the alias domains too: each address of a mail domain becomes
    an alias in those that stand for it, open if that one is open to branches.

    `alias_domains` names the mail domain of each alias domain.
    """
    own = {user: (user,) for user in people.users} | dict(people.aliases)
    aliases = dict(people.aliases)
    opened = list(people.open_aliases)
    for alias_domain, domain in alias_domains.items():
        for name, members in own.items():
            local, _, there = name.rpartition("@")
            if there == domain:
                aliases[f"{local}@{alias_domain}"] = members
        opened += [
            f"{local}@{alias_domain}"
            for local, _, there in (name.rpartition("@") for name in people.open_aliases)
            if there == domain
        ]
    return People(users=people.users, aliases=aliases, open_aliases=tuple(opened))


def address(raw: Any) -> str:
    """A mail address in lower case."""
    local, at, domain = raw.rpartition("@") if isinstance(raw, str) else ("", "", "")
    if not at or not LOCAL.fullmatch(local) or ".." in local:
        raise ValueError(f"must be an address such as taro@example.jp, got {raw!r}")
    return f"{local}@{fields.domain(domain)}"


def addresses(raw: Any) -> tuple[str, ...]:
    """A list of addresses."""
    if not isinstance(raw, list):
        raise ValueError(f"must be a list of addresses, got {raw!r}")
    return tuple(address(item) for item in raw)


def alias_table(raw: Any) -> dict[str, tuple[str, ...]]:
    """A mapping of an alias to the list of its members."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"must map each alias to a list of addresses, got {raw!r}")
    table = {address(name): addresses(members) for name, members in raw.items()}
    empty = [name for name, members in table.items() if not members]
    if empty:
        raise ValueError(f"must give each alias a member, got none for {', '.join(empty)}")
    return table


@dataclass(frozen=True, kw_only=True)
class _BranchFile:
    users: tuple[str, ...] = fields.setting(addresses, "the branch's users, by address")
    aliases: dict[str, tuple[str, ...]] = fields.setting(
        alias_table,
        "its aliases, and the environment's open ones that its users join",
        default_factory=dict,
    )


@dataclass(frozen=True, kw_only=True)
class _EnvironmentFile:
    users: tuple[str, ...] = fields.setting(addresses, "the users at the hub, by address")
    aliases: dict[str, tuple[str, ...]] = fields.setting(alias_table, "aliases and their members")
    open_aliases: tuple[str, ...] = fields.setting(
        addresses, "aliases that branches may add their users to", default=()
    )


def _repeated(users: tuple[str, ...], path: str) -> Iterator[str]:
    for user in sorted({user for user in users if users.count(user) > 1}):
        yield f"{path}.users: must name each user once, got {user} {users.count(user)} times"


def _domain_problems(
    users: tuple[str, ...],
    aliases: Mapping[str, tuple[str, ...]],
    domains: tuple[str, ...] | None,
    path: str,
) -> Iterator[str]:
    if domains is None:
        return
    for key, names in (("users", users), ("aliases", tuple(aliases))):
        for name in names:
            if name.rpartition("@")[2] not in domains:
                yield f"{path}.{key}: must be in a mail domain ({', '.join(domains)}), got {name}"


def _member_problems(
    users: tuple[str, ...], aliases: Mapping[str, tuple[str, ...]], path: str
) -> Iterator[str]:
    for alias, members in aliases.items():
        if alias in users:
            yield f"{path}.aliases: must not be a user's address too, got {alias}"
        for member in members:
            if member not in users:
                yield f"{path}.aliases.{alias}: must name users of this file, got {member}"


def _role_problems(
    users: tuple[str, ...],
    aliases: Mapping[str, tuple[str, ...]],
    domains: tuple[str, ...],
    path: str,
) -> Iterator[str]:
    for domain in domains:
        for role in ROLES:
            name = f"{role}@{domain}"
            if name not in aliases and name not in users:
                yield f"{path}.aliases: must hold {name} (RFC 5321, RFC 2142)"
