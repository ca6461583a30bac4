"""Names that a person sees in the AWS console."""

from __future__ import annotations

from model.principal import STACK as STACK

ROLE = "gatepost:role"
"""The tag that tells what a mail host is: relay, hub or branch."""

BIRTH = "gatepost:birth"
"""The tag that tells one user data and image of a host from another."""


ENVIRONMENT = "gatepost:environment"
"""The tag, on everything, that tells whose environment's it is: its own and its branches'."""


def named(name: str, **others: str) -> dict[str, str]:
    """The `Name` tag, beside other tags."""
    return {"Name": name, **others}
