"""Checks of input values, each returning what is wrong or None.

The real provider makes most of them while it plans, so that a preview fails too.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from typing import Any

GROUP_TEXT = re.compile(r"^[0-9A-Za-z_ .:/()#,@\[\]+=&;{}!$*-]*$")
"""What names and descriptions of groups and rules may hold (API reference, CreateSecurityGroup)."""
GROUP_TEXT_LENGTH = 255
BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
ARN = re.compile(r"^arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.+$")
TAG_LIMIT = 50
"""Tags for each resource ("Tag your Amazon EC2 resources", EC2 User Guide)."""


def cidr(shortest: int = 0, longest: int = 32) -> Callable[[Any], str | None]:
    """An IPv4 network without host bits, its prefix within the given lengths."""

    def check(value: Any) -> str | None:
        try:
            network = ipaddress.IPv4Network(value)
        except ValueError as error:
            return f"{value!r} is not an IPv4 network: {error}"
        if not shortest <= network.prefixlen <= longest:
            return f"the prefix of {value} must be between /{shortest} and /{longest}"
        return None

    return check


def address(value: Any) -> str | None:
    try:
        ipaddress.IPv4Address(value)
    except ValueError as error:
        return f"{value!r} is not an IPv4 address: {error}"
    return None


def only(modelled: Any, why: str) -> Callable[[Any], str | None]:
    """The one value that the lab acts on: another would be taken and do nothing, and `why`."""

    def check(value: Any) -> str | None:
        if value == modelled:
            return None
        return f"the lab knows {json.dumps(modelled)} only, got {json.dumps(value)}: {why}"

    return check


def one_of(*allowed: Any) -> Callable[[Any], str | None]:
    def check(value: Any) -> str | None:
        return None if value in allowed else f"must be one of {allowed}, got {value!r}"

    return check


def between(lowest: int, highest: int) -> Callable[[Any], str | None]:
    """A number within these bounds, both included."""

    def check(value: Any) -> str | None:
        if lowest <= value <= highest:
            return None
        return f"must be between {lowest} and {highest}, got {value}"

    return check


def arn(value: Any) -> str | None:
    """The shape only ("Identify AWS resources with ARNs", IAM guide)."""
    return None if ARN.match(value) else f"{value!r} is not an ARN"


def group_text(value: Any) -> str | None:
    if len(value) > GROUP_TEXT_LENGTH:
        return f"may have {GROUP_TEXT_LENGTH} characters, has {len(value)}"
    if GROUP_TEXT.match(value) is None:
        bad = sorted(set(re.sub(r"[0-9A-Za-z_ .:/()#,@\[\]+=&;{}!$*-]", "", value)))
        return f"{value!r} has characters that EC2 refuses: {' '.join(bad)}"
    return None


def group_name(value: Any) -> str | None:
    if value.startswith("sg-"):
        return f"{value!r} must not begin with sg-"
    return group_text(value)


def port(value: Any) -> str | None:
    """-1 stands for "all" with ICMP."""
    return None if -1 <= value <= 65535 else f"must be between -1 and 65535, got {value}"


def policy(value: Any) -> str | None:
    """A JSON object with statements ("Grammar of the IAM JSON policy language", IAM guide)."""
    try:
        document = json.loads(value)
    except ValueError as error:
        return f"is not JSON: {error}"
    if not isinstance(document, dict) or "Statement" not in document:
        return "is not a policy: it has no Statement"
    statements = document["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        if statement.get("Effect") not in ("Allow", "Deny"):
            return f"a statement's Effect must be Allow or Deny, got {statement.get('Effect')!r}"
        if not ("Action" in statement or "NotAction" in statement):
            return f"a statement has no Action: {json.dumps(statement)}"
    return None


def same_json(value: str) -> Any:
    """Two policies are equal when they are equal as JSON."""
    return json.loads(value)


def bucket(value: Any) -> str | None:
    """ "General purpose bucket naming rules", S3 User Guide."""
    if BUCKET.match(value) is None or ".." in value:
        return f"{value!r} is not a bucket name: 3-63 of a-z, 0-9, dot and hyphen"
    return None


def tags(value: Any) -> str | None:
    for key, text in value.items():
        if not isinstance(text, str):
            return f"the value of tag {key} must be a string, got {text!r}"
        if key.startswith("aws:") or not 1 <= len(key) <= 128 or len(text) > 256:
            return f"tag {key!r}: at most 128 characters (value 256), and not aws:"
    return f"more than {TAG_LIMIT} tags ({len(value)})" if len(value) > TAG_LIMIT else None
