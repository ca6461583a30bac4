"""The ways out: how mail leaves for the Internet, and what is needed for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from model import fields, ports
from model.fields import setting

RELAY, DIRECT, SMARTHOST = "relay", "direct", "smarthost"
MODES = (RELAY, DIRECT, SMARTHOST)

SECRET = fields.matching(
    r"[a-z][a-z0-9-]{0,39}", "1 to 40 of a-z, 0-9 and -, beginning with a letter"
)

IMPLICIT_TLS = (465, 2465)
"""Ports at which TLS begins before SMTP does (RFC 8314; "Connecting to an Amazon SES SMTP
endpoint"): Postfix would wait for a greeting that never comes."""

WELL_KNOWN_MX = (
    "gmail-smtp-in.l.google.com",
    "outlook-com.olc.protection.outlook.com",
    "mta5.am0.yahoodns.net",
)
"""MX hosts of the large receivers, of three operators, so that one's trouble is not taken for a
block of port 25."""


def port(raw: Any) -> int:
    """A port at which a server speaks SMTP and then STARTTLS."""
    if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= 65535:
        raise ValueError(f"must be a port number between 1 and 65535, got {raw!r}")
    if raw in IMPLICIT_TLS:
        raise ValueError(
            f"must be a port with STARTTLS such as {ports.SUBMISSION}, got {raw}, where TLS begins "
            "at once"
        )
    return raw


@dataclass(frozen=True, kw_only=True)
class Smarthost:
    """A service that takes all mail for the Internet, after a login and by TLS only."""

    host: str = setting(fields.domain, "its name, which its certificate must bear")
    port: int = setting(port, "its port, with STARTTLS", default=ports.SUBMISSION)
    secret: str = setting(
        SECRET,
        "the name of its user and password, which `gatepost secret put` stores and no file holds",
        default="smarthost",
    )
    drain: bool = setting(
        fields.flag,
        "whether it also takes what the relays still hold for the Internet, for the time after a "
        "change from `relay`; otherwise that waits there, and only the relays' own bounces go",
        default=False,
    )


def smarthost_problems(values: dict[str, Any]) -> Iterator[str]:
    """What the mode lacks, given an environment's `values` that could be read."""
    if values.get("outbound") == SMARTHOST and "smarthost" in values and not values["smarthost"]:
        yield (
            "environment.smarthost: missing; outbound: smarthost needs its host, as in "
            "{host: email-smtp.us-east-1.amazonaws.com}"
        )
