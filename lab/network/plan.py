"""What a network consists of, down to the commands that make and remove each part.

Every part is a value that compares by content, so two plans differ by exactly what has to change.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """A network namespace and the kernel settings (sysctl) that it gets when it is made."""

    name: str
    sysctls: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class End:
    """One end of a link: its namespace, its name there and its MAC address."""

    namespace: str
    name: str
    mac: str


@dataclass(frozen=True, kw_only=True)
class Link:
    """A veth pair."""

    near: End
    far: End

    @property
    def add(self) -> str:
        """The `ip` command that makes the pair, each end in its own namespace."""
        near, far = self.near, self.far
        return (
            f"link add name {near.name} netns {near.namespace} address {near.mac} type veth "
            f"peer name {far.name} netns {far.namespace} address {far.mac}"
        )

    @property
    def remove(self) -> str:
        """The `ip` command that removes the pair, for the near end's namespace."""
        return f"link del {self.near.name}"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """An address, neighbour, route or routing rule of a namespace.

    `add` and `remove` are the `ip` commands that make and remove it. `link` is the link that it
    belongs to, so that it is made anew when the link is.
    """

    namespace: str
    add: str
    remove: str
    link: Link | None = None


@dataclass(frozen=True, kw_only=True)
class Ruleset:
    """The packet filter of a namespace, as nftables text."""

    namespace: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole network; the empty plan is none at all."""

    namespaces: tuple[Namespace, ...] = ()
    links: tuple[Link, ...] = ()
    settings: tuple[Setting, ...] = ()
    rulesets: tuple[Ruleset, ...] = ()
