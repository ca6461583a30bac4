"""The branches of one environment beside each other: what two of them cannot both have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

SERVER = "-server"
"""How the names of branches' machines end, and of their roles. No host of an environment may be
called so: its role would be the one that a branch's principal may give away."""


def stack_name(environment: str, name: str) -> str:
    """What the stack of a branch or an office is called: no two can then have one name."""
    return f"{environment}-{name}"


def server_name(stack: str) -> str:
    """What a branch's machine, its role and its instance profile are called."""
    return f"gatepost-{stack}{SERVER}"


def disk_key_name(stack: str) -> str:
    """What the key of a branch's volumes is called."""
    return f"gatepost-{stack}-disks"


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A branch as another sees it; what is not known of it is None, and collides with nothing."""

    where: str
    """How an error names it: its stack, or the route that leads to it."""
    network: IPv4Network | None = None
    name: str | None = None
    host: str | None = None
    gateway: IPv4Address | None = None
    """The public address of an office's VPN gateway: AWS knows each once."""


def conflicts(kind: str, own: Neighbour, others: Iterable[Neighbour]) -> Iterator[str]:
    """A sentence for everything that `own`, a `branch` or an `office`, shares with the `others`."""
    for other in others:
        if own.network and other.network and own.network.overlaps(other.network):
            yield (
                f"{kind}.network: must not overlap {other.network} of {other.where}, "
                f"got {own.network}"
            )
        for key in ("name", "host", "gateway"):
            value = getattr(own, key)
            if value is not None and value == getattr(other, key):
                yield f"{kind}.{key}: must be its own, got {value}, which is {other.where}'s"
