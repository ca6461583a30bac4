"""How hosts of our own prove themselves to each other: docs/decisions/identity.md."""

from __future__ import annotations

from typing import Any

from model import ports
from model.mail import Postfix
from userdata.machine.gatepost_directory.waiting import UNLISTED, UNPROVEN

STATE = "/var/lib/gatepost"
"""Where the synchroniser keeps what it has made."""
IDENTITY = f"{STATE}/identity/host.pem"
"""A host's key and certificate, which its synchroniser makes."""
NOBODY = ":".join(["00"] * 32)
"""A SHA-256 that no key has: what a host must have whose key is not known."""


def known(postfix: Postfix) -> dict[str, Any]:
    """What the synchroniser is told beside where the directory is."""
    return {
        "host": postfix.host,
        "peers": {host: list(nexthops) for host, nexthops in postfix.peers.items()},
        "hands_over": postfix.hands_over,
        **({"network": postfix.network} if postfix.network else {}),
        **({"relay_port": ports.INSIDE} if postfix.by_relays else {}),
        **({"forwarding": True} if postfix.forwards else {}),
    }


def values() -> dict[str, str]:
    """What the templates of main.cf and master.cf say of it."""
    return {
        "identity": IDENTITY,
        "nobody": NOBODY,
        "unproven": UNPROVEN,
        "unlisted": UNLISTED,
        "inside_port": str(ports.INSIDE),
    }
