"""Forwarding: which addresses outside an alias may lead to, and whether any (the decision is in
docs/decisions/forwarding.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from model import fields

NONE, SRS = "none", "srs"
MODES = (NONE, SRS)

LOCAL = re.compile(r"[a-z0-9]([a-z0-9._+-]{0,62}[a-z0-9])?")
"""A local part outside: what ours may be (`model.people.LOCAL`), and `+`, as a detail is the
receiver's to understand."""

PAGE = "docs/decisions/forwarding.md"


@dataclass(frozen=True, kw_only=True)
class Forwarding:
    """Where the aliases of one file may lead to beside its own people."""

    mode: str = NONE
    names: tuple[str, ...] = ()
    """Domains and hosts of our own, beside the mail domains: nothing is forwarded to them."""
    branch: bool = False
    """Whether the file is a branch's: its aliases lead to its people only."""


NOWHERE = Forwarding()


def target(raw: Any) -> str:
    """An address in lower case that an alias may lead to, inside or outside; plain ASCII."""
    local, at, domain = raw.rpartition("@") if isinstance(raw, str) else ("", "", "")
    if not at or not LOCAL.fullmatch(local) or ".." in local:
        raise ValueError(f"must be an address such as taro@example.jp, got {raw!r}")
    found = fields.domain(domain)
    # No top-level domain is a number (RFC 3696 section 2): that is an address without brackets.
    if found.rpartition(".")[2].isdigit():
        raise ValueError(f"must be in a domain, not at an address, got {raw!r}")
    return f"{local}@{found}"


def refusal(address: str, forwarding: Forwarding, domains: tuple[str, ...]) -> str:
    """Why an alias must not lead to an address outside the mail `domains`; empty if it may."""
    inside = ", ".join(domains)
    if address.rpartition("@")[2] in forwarding.names:
        return f"must not lead to an alias domain or a host of our own, got {address}"
    if forwarding.branch:
        return (
            f"must not lead outside the mail domains ({inside}): only aliases of the "
            f"environment's file may ({PAGE}), got {address}"
        )
    if forwarding.mode == NONE:
        return (
            f"must not lead outside the mail domains ({inside}) without environment.forwarding: "
            f"{SRS} ({PAGE}), got {address}"
        )
    return ""
