"""A call to AWS's API as the lab's endpoints see it, and what each service has to say of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
"""Signature Version 4 (IAM User Guide)."""

_CREDENTIAL_PARTS = 5


class NotKnown(ValueError):
    """A call that the lab's endpoints cannot judge, and so do not serve."""


class Refusal(Exception):
    """An answer other than the emulator's: AWS's error code and HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An assumed role, as its access key id tells."""

    account: str
    role: str
    role_arn: str
    session_arn: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP request to an endpoint; `host` in lower case without a port."""

    method: str
    host: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Permission:
    """What a policy must allow, in IAM's terms; `resource` is `*` where the action knows none.

    `context` holds the condition keys that the call itself carries, in lower case.
    """

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


class Service(Protocol):
    """One of AWS's services, at its endpoint of a Region."""

    def permissions(self, call: Call, caller: Caller) -> Sequence[Permission]:
        """All that the caller must be allowed for this call.

        Raises:
            NotKnown: the call is none that the lab serves.
        """
        ...

    def absence(self, call: Call, caller: Caller) -> Permission | None:
        """What the caller must be allowed to be told that something is not there, if anything."""
        ...

    def accepted(self, call: Call) -> None:
        """Told once the emulator has done what was asked, before its answer is sent."""
        ...

    def refusal(self, refusal: Refusal) -> tuple[int, str, bytes]:
        """Status, media type and body of an error answer."""
        ...


def access_key(call: Call) -> str | None:
    """The access key id that signed a call, by header or presigned; None if nobody did.

    Raises:
        NotKnown: it is signed by another algorithm than Signature Version 4.
    """
    return _credential(call)[0] or None


def signing_region(call: Call) -> str:
    """The Region a call was signed for; empty if nobody did. Raises as `access_key`."""
    return _credential(call)[2]


def _credential(call: Call) -> list[str]:
    """Access key id, date, Region, service and `aws4_request` (IAM User Guide, "Elements of an AWS
    API request signature")."""
    authorization = call.headers.get("Authorization")
    if authorization is None:
        query = parse_qs(urlsplit(call.target).query)
        scope = query.get("X-Amz-Credential", [""])[0]
    else:
        algorithm, _, rest = authorization.partition(" ")
        if algorithm != ALGORITHM:
            raise NotKnown(f"signature algorithm {algorithm!r}: only {ALGORITHM} is served")
        fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        scope = fields.get("Credential", "")
    parts = scope.split("/")
    return parts + [""] * (_CREDENTIAL_PARTS - len(parts))
