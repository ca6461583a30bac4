"""People: the users and aliases of one owner, an environment or a branch.

An address is `local@domain` with its domain among the environment's mail domains. Comparison is
case-insensitive, as Postfix's lookups are, so addresses are written in lower case. Whatever
follows a `+` in a local part is the user's own to choose (`taro+shop@example.jp` is taro's).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from model import fields
from model.fields import Problems, setting
from model.forwarding import NOWHERE, Forwarding, refusal, target

LOCAL = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
"""What a local part may be here: a dot-atom of RFC 5321 without the characters that Postfix, a
shell or a file name could read as more than a letter, and without `+`, which begins a detail; at
most 64 characters (section 4.5.3.1.1)."""

ROLES = ("postmaster", "abuse")
"""Addresses that every mail domain must accept: RFC 5321 section 4.5.1 and RFC 2142."""

MOST_MEMBERS = 1000
"""Addresses that an alias may lead to (postconf(5), virtual_alias_expansion_limit)."""

MOST_NESTED = 20
"""Aliases within aliases."""

REFUSAL = fields.matching(
    r"[A-Za-z0-9][A-Za-z0-9 .,:;()@'/+_-]{0,198}[A-Za-z0-9.)]",
    "2 to 200 letters, digits, spaces and .,:;()@'/+_- (it becomes an SMTP reply)",
)
"""A text that senders get to see; an SMTP reply is ASCII (RFC 5321 section 4.2)."""


def address(raw: Any) -> str:
    """A mail address in lower case."""
    local, at, domain = raw.rpartition("@") if isinstance(raw, str) else ("", "", "")
    if not at or not LOCAL.fullmatch(local) or ".." in local:
        detail = "; what follows a + belongs to no file" if "+" in local else ""
        raise ValueError(f"must be an address such as taro@example.jp, got {raw!r}{detail}")
    return f"{local}@{fields.domain(domain)}"


def addresses(raw: Any, kind: Callable[[Any], str] = address) -> tuple[str, ...]:
    """A list of addresses, of our own or of another kind."""
    if not isinstance(raw, list):
        raise ValueError(f"must be a list of addresses, got {raw!r}")
    found, parts = fields.each(kind, raw)
    if parts:
        raise Problems(parts)
    return tuple(found)


def alias_table(raw: Any) -> dict[str, tuple[str, ...]]:
    """A mapping of an alias to the list of its members."""
    if not isinstance(raw, Mapping):
        raise ValueError(f"must map each alias to a list of addresses, got {raw!r}")
    return fields.mapping(address, _members, len(raw))(raw)


def _members(raw: Any) -> tuple[str, ...]:
    found = addresses(raw, target)
    if not found:
        raise ValueError("must have a member, got none")
    return found


@dataclass(frozen=True, kw_only=True)
class User:
    """A person with a mailbox; in the file either the address alone, or a mapping of these."""

    address: str = setting(address, "the address")
    at: str = setting(
        fields.text,
        "the legacy server where the mailbox still is; without it, the owner's own server",
        default="",
    )
    disabled: str = setting(
        REFUSAL, "takes no mail; the text tells senders why (550 at the edge)", default=""
    )
    hold: bool = setting(
        fields.flag, "mail waits at the hub, while the mailbox is moved", default=False
    )


def users(raw: Any) -> tuple[User, ...]:
    """A list of users, each an address or a mapping; raises Problems with the place of each."""
    if not isinstance(raw, list):
        raise ValueError(f"must be a list of users, got {raw!r}")
    whole = fields.record(User)

    def one(item: Any) -> User:
        return whole(item) if isinstance(item, Mapping) else User(address=address(item))

    found, parts = fields.each(one, raw)
    if parts:
        raise Problems(parts)
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class People:
    """What one owner's file says; aliases lead to users, groups within groups are resolved. An
    environment's may lead outside, too, where that is set.

    `open_aliases` are those of an environment's aliases that branches may add their users to.
    `reserved` are addresses of people who have left: nobody else gets them, mail to them is
    refused at the edge, and what is still under way goes to the mailbox that they left behind. An
    alias that is given up is reserved too; as long as it is in `aliases` as well, what is under
    way still reaches its members.
    """

    users: tuple[User, ...]
    aliases: Mapping[str, tuple[str, ...]]
    open_aliases: tuple[str, ...] = ()
    reserved: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Every address that is the owner's, whether it takes mail or not, in order."""
        return tuple(sorted({*(u.address for u in self.users), *self.aliases, *self.reserved}))


@dataclass(frozen=True, kw_only=True)
class _BranchFile:
    users: tuple[User, ...] = setting(users, "the branch's users, by address")
    aliases: dict[str, tuple[str, ...]] = setting(
        alias_table,
        "its aliases, and the environment's open ones that its users join",
        default_factory=dict,
    )
    reserved: tuple[str, ...] = setting(addresses, "addresses of people who have left", default=())


@dataclass(frozen=True, kw_only=True)
class _EnvironmentFile:
    users: tuple[User, ...] = setting(users, "the users at the hub or a legacy server, by address")
    aliases: dict[str, tuple[str, ...]] = setting(alias_table, "aliases and their members")
    open_aliases: tuple[str, ...] = setting(
        addresses, "aliases that branches may add their users to", default=()
    )
    reserved: tuple[str, ...] = setting(addresses, "addresses of people who have left", default=())


def in_alias_domains(people: People, alias_domains: Mapping[str, str]) -> People:
    """The same people, who exist in the alias domains too: each address of a mail domain becomes
    an alias in those that stand for it, open or reserved if that one is.

    `alias_domains` names the mail domain of each alias domain.
    """

    def others(names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Each name, and what it is called in each alias domain of its own."""
        for name in names:
            local, _, there = name.rpartition("@")
            for alias_domain, domain in alias_domains.items():
                if there == domain:
                    yield name, f"{local}@{alias_domain}"

    # Mail under way to one who has left goes to the mailbox that is left, by either name.
    boxes = [*(user.address for user in people.users), *people.reserved]
    own = {name: (name,) for name in boxes} | dict(people.aliases)
    return replace(
        people,
        aliases={**people.aliases, **{other: own[name] for name, other in others(own)}},
        open_aliases=(*people.open_aliases, *(other for _, other in others(people.open_aliases))),
        reserved=(*people.reserved, *(other for _, other in others(people.reserved))),
    )


def read_people(
    raw: object,
    domains: tuple[str, ...] | None,
    *,
    path: str,
    branch: bool,
    legacy: tuple[str, ...] = (),
    forwarding: Forwarding = NOWHERE,
) -> tuple[People | None, list[str]]:
    """Read a file of people; `path` names it in errors.

    `domains` are the mail domains, None where they could not be read (then any domain passes);
    `legacy` names the servers beside the owner's own that users may be at. A branch may list
    aliases of the environment's that are open to it, so that an alias leads to users of the same
    file only, or outside as `forwarding` says. Returns None beside the problems where there are
    any.
    """
    values, problems = fields.read(_BranchFile if branch else _EnvironmentFile, raw, path)
    found = _made(values)
    problems += _twice(found, path)
    problems += _domain_problems(found, domains, path)
    problems += _server_problems(found.users, legacy, path)
    problems += [
        f"{path}.open_aliases: must name an alias of this file, got {name}"
        for name in found.open_aliases
        if name not in found.aliases
    ]
    expanded, more = _expanded(found, domains, path, replace(forwarding, branch=branch))
    problems += more
    if not branch and domains and "aliases" in values:
        problems += _role_problems(found, expanded, domains, path)
    if problems:
        return None, problems
    return (
        People(
            users=found.users,
            aliases=expanded,
            open_aliases=found.open_aliases,
            reserved=found.reserved,
        ),
        [],
    )


def glimpse(raw: object, *, branch: bool) -> People:
    """What can be read of somebody else's file, groups within groups as they stand.

    What is wrong in it is for its own `up` to tell.
    """
    return _made(fields.read(_BranchFile if branch else _EnvironmentFile, raw)[0])


def _made(values: Mapping[str, Any]) -> People:
    return People(
        users=tuple(sorted(values.get("users", ()), key=lambda user: user.address)),
        aliases=values.get("aliases", {}),
        open_aliases=values.get("open_aliases", ()),
        reserved=tuple(sorted(values.get("reserved", ()))),
    )


def _twice(people: People, path: str) -> Iterator[str]:
    """An address is one user's, one alias's, or reserved."""
    claims = Counter(user.address for user in people.users)
    for name, count in claims.items():
        if count > 1:
            yield f"{path}.users: must name each user once, got {name} {count} times"
    for name in people.aliases:
        if name in claims:
            yield f"{path}.aliases: must not be a user's address too, got {name}"
    for name, count in Counter(people.reserved).items():
        if name in claims or count > 1:
            yield f"{path}.reserved: must not be a user's, nor listed twice, got {name}"


def _domain_problems(people: People, domains: tuple[str, ...] | None, path: str) -> Iterator[str]:
    if domains is None:
        return
    names = {
        "users": [user.address for user in people.users],
        "aliases": list(people.aliases),
        "reserved": people.reserved,
    }
    for key, listed in names.items():
        for name in listed:
            if name.rpartition("@")[2] not in domains:
                yield f"{path}.{key}: must be in a mail domain ({', '.join(domains)}), got {name}"


def _server_problems(found: tuple[User, ...], legacy: tuple[str, ...], path: str) -> Iterator[str]:
    known = f"a legacy server ({', '.join(legacy)})" if legacy else "left out: none is declared"
    for user in found:
        if user.at and user.at not in legacy:
            yield f"{path}.users: {user.address}: at must be {known}, got {user.at!r}"


def _expanded(
    people: People, domains: tuple[str, ...] | None, path: str, forwarding: Forwarding
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Each alias with the addresses that it leads to, through however many others."""
    known = {user.address for user in people.users}
    done: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []

    def resolve(name: str, way: tuple[str, ...]) -> tuple[str, ...]:
        if name in done:
            return done[name]
        if len(way) >= MOST_NESTED:
            problems.append(f"{path}.aliases.{way[0]}: must be nested at most {MOST_NESTED} deep")
            return ()
        members: dict[str, None] = {}
        for member in people.aliases[name]:
            if member in (*way, name):
                circle = (*way, name)[(*way, name).index(member) :]
                problems.append(
                    f"{path}.aliases.{name}: must not lead back to itself, "
                    f"got {' → '.join((*circle, member))}"
                )
            elif member in people.aliases:
                members.update(dict.fromkeys(resolve(member, (*way, name))))
            else:
                members[member] = None
                if member not in known and (wrong := _strange(member, domains, forwarding)):
                    problems.append(f"{path}.aliases.{name}: {wrong}")
        done[name] = tuple(members)
        return done[name]

    for name in people.aliases:
        if len(resolve(name, ())) > MOST_MEMBERS:
            problems.append(
                f"{path}.aliases.{name}: must lead to at most {MOST_MEMBERS} addresses, "
                f"got {len(done[name])}"
            )
    return done, problems


def _strange(member: str, domains: tuple[str, ...] | None, forwarding: Forwarding) -> str:
    """What is wrong with an alias's member that is nobody of the same file; empty if nothing is."""
    if domains is None or member.rpartition("@")[2] in domains:
        return f"must name users or aliases of this file, got {member}"
    return refusal(member, forwarding, domains)


def _role_problems(
    people: People,
    expanded: Mapping[str, tuple[str, ...]],
    domains: tuple[str, ...],
    path: str,
) -> Iterator[str]:
    """postmaster and abuse exist in every domain and reach someone who takes mail."""
    taking = {user.address for user in people.users if not user.disabled}
    for domain in domains:
        for role in ROLES:
            name = f"{role}@{domain}"
            if name not in expanded and name not in {user.address for user in people.users}:
                yield f"{path}.aliases: must hold {name} (RFC 5321, RFC 2142)"
            elif name in people.reserved or not taking & {name, *expanded.get(name, ())}:
                yield f"{path}.aliases: {name} must lead to a user who is not disabled"
