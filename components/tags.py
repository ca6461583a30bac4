"""Names that a person sees in the AWS console."""

from __future__ import annotations

ROLE = "gatepost:role"
"""The tag that tells what a mail host is: relay, hub or branch."""


def named(name: str, **others: str) -> dict[str, str]:
    """The `Name` tag, beside other tags."""
    return {"Name": name, **others}
