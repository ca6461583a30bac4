"""What a host needs so that aliases may lead outside: docs/decisions/forwarding.md."""

from __future__ import annotations

from typing import Any

from model import ports
from model.mail import Postfix
from userdata.files import entry

LOOPBACK = "127.0.0.1"
POSTSRSD = ("postsrsd",)
"""Debian's package of the Sender Rewriting Scheme."""
DEFAULTS = "/etc/default/postsrsd"

HASH_LENGTH = 6
"""Characters of base64, in either case, that vouch for an address. Of the usual 4 there are two
million, and one client of a relay may try some 12,000 a minute (600 connections, 20 errors each);
of 6 there are three billion, and an address is good for 21 days only (srs2.c)."""


def packages(postfix: Postfix) -> tuple[str, ...]:
    """Debian packages of this host beside those that every host has."""
    return POSTSRSD if postfix.forwards else ()


def tables(postfix: Postfix) -> tuple[str, ...]:
    """The names of its tables in /etc/postfix beside those that every host of its role has."""
    if postfix.forwards:
        return ("forwarded", "forwarding", "returned")
    return ("returned",) if postfix.checks_returns else ()


def values(postfix: Postfix) -> dict[str, str]:
    """What the templates of main.cf and master.cf say of it."""
    return {
        "returns": "regexp:/etc/postfix/returned.regexp",
        "srs_forward": f"tcp:{LOOPBACK}:{ports.SRS_FORWARD}",
        "srs_reverse": f"tcp:{LOOPBACK}:{ports.SRS_REVERSE}",
        "forwarding": f"{LOOPBACK}:{ports.FORWARDING}",
        "forwarder": f"forwarding.{postfix.primary}",
    }


def files(postfix: Postfix) -> tuple[dict[str, Any], ...]:
    """Entries of write_files, written once the package has made its own."""
    if not postfix.forwards:
        return ()
    defaults = {
        "SRS_DOMAIN": postfix.primary,
        "SRS_FORWARD_PORT": ports.SRS_FORWARD,
        "SRS_REVERSE_PORT": ports.SRS_REVERSE,
        "SRS_HASHLENGTH": HASH_LENGTH,
        "SRS_HASHMIN": HASH_LENGTH,
    }
    return (entry(DEFAULTS, "".join(f"{k}={v}\n" for k, v in defaults.items()), late=True),)


def enabled(postfix: Postfix) -> tuple[str, ...]:
    """Units that run from now on, at each boot."""
    return ("postsrsd.service",) if postfix.forwards else ()


def steps(postfix: Postfix) -> tuple[str, ...]:
    """What begins now: as it was installed it has a secret of its own."""
    return ("systemctl restart --no-block postsrsd.service",) if postfix.forwards else ()
