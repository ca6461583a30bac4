"""What an HTTP request to S3 asks for, in IAM's terms.

The table of actions follows "Actions, resources, and condition keys for Amazon S3" (Service
Authorization Reference); the two addressing styles "Virtual hosting of buckets" (S3 User Guide).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from lab.internet.call import Call, Caller, NotKnown, Permission, Refusal
from lab.internet.endpoints import s3_names


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One S3 operation: `parameters` holds the condition keys that the request itself carries."""

    action: str
    bucket: str | None
    key: str | None
    parameters: Mapping[str, Sequence[str]]

    @property
    def resource(self) -> str:
        """The ARN that policies name it by; listing all buckets has none and is `*`."""
        if self.bucket is None:
            return "*"
        path = self.bucket if self.key is None else f"{self.bucket}/{self.key}"
        return f"arn:aws:s3:::{path}"

    @property
    def permission(self) -> Permission:
        """The one that it takes."""
        return Permission(action=self.action, resource=self.resource, context=self.parameters)


_BUCKET_ACTIONS: Mapping[tuple[str, str | None], str] = {
    ("GET", None): "s3:ListBucket",
    ("HEAD", None): "s3:ListBucket",
    ("GET", "location"): "s3:GetBucketLocation",
    ("GET", "policy"): "s3:GetBucketPolicy",
    ("GET", "versioning"): "s3:GetBucketVersioning",
    ("GET", "versions"): "s3:ListBucketVersions",
}
_OBJECT_ACTIONS: Mapping[tuple[str, str | None], str] = {
    ("GET", None): "s3:GetObject",
    ("HEAD", None): "s3:GetObject",
    ("PUT", None): "s3:PutObject",
    ("DELETE", None): "s3:DeleteObject",
    ("GET", "versionId"): "s3:GetObjectVersion",
    ("HEAD", "versionId"): "s3:GetObjectVersion",
    ("DELETE", "versionId"): "s3:DeleteObjectVersion",
    ("GET", "attributes"): "s3:GetObjectAttributes",
    ("GET", "tagging"): "s3:GetObjectTagging",
}
_PLAIN_PARAMETERS = re.compile(
    r"list-type|prefix|delimiter|max-keys|marker|continuation-token|start-after|encoding-type"
    r"|fetch-owner|x-id|response-.+|X-Amz-.+"
)
"""Query parameters that do not change which action a request is; any other one does."""
_PARAMETER_KEYS = {
    "prefix": "s3:prefix",
    "delimiter": "s3:delimiter",
    "max-keys": "s3:max-keys",
}
KEYS = (*_PARAMETER_KEYS.values(), "s3:tlsversion")
"""Condition keys of the service's own, in lower case."""


class S3:
    """See `lab.internet.call.Service`."""

    def __init__(self, region: str) -> None:
        self._endpoint = s3_names(region)[0]

    def permissions(self, call: Call, caller: Caller) -> Sequence[Permission]:
        """Each operation takes one."""
        return (self._operation(call).permission,)

    def absence(self, call: Call, caller: Caller) -> Permission | None:
        """Without s3:ListBucket an absent object is denied, not absent (S3 API, GetObject)."""
        asked = self._operation(call)
        if asked.key is None:
            return None
        return Operation(
            action="s3:ListBucket", bucket=asked.bucket, key=None, parameters=asked.parameters
        ).permission

    def accepted(self, call: Call) -> None:
        """Nothing follows."""

    def refusal(self, refusal: Refusal) -> tuple[int, str, bytes]:
        """As "REST error responses" of the S3 API has it."""
        return (
            refusal.status,
            "application/xml",
            (
                '<?xml version="1.0" encoding="UTF-8"?>\n'
                f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>"
                f"<RequestId>{uuid.uuid4().hex[:16].upper()}</RequestId></Error>"
            ).encode(),
        )

    def _operation(self, call: Call) -> Operation:
        return operation(call.method, call.host, call.target, call.headers, self._endpoint)


def operation(
    method: str, host: str, target: str, headers: Mapping[str, str], endpoint: str
) -> Operation:
    """The operation of a request to `endpoint` (`s3.<region>.amazonaws.com`) or a bucket below it.

    Raises:
        NotKnown: another host, or an action that is not in the tables above.
    """
    parts = urlsplit(target)
    query = parse_qs(parts.query, keep_blank_values=True)
    bucket, key = _bucket_and_key(host, parts.path, endpoint)
    subresources = sorted(name for name in query if not _PLAIN_PARAMETERS.fullmatch(name))
    if len(subresources) > 1 or "x-amz-copy-source" in {name.lower() for name in headers}:
        raise NotKnown(f"{method} {target}: not an operation that this endpoint knows")
    subresource = subresources[0] if subresources else None
    if bucket is None:
        known = method == "GET" and subresource is None
        action = "s3:ListAllMyBuckets" if known else None
    elif key is None:
        action = _BUCKET_ACTIONS.get((method, subresource))
    else:
        action = _OBJECT_ACTIONS.get((method, subresource))
    if action is None:
        raise NotKnown(f"{method} {host}{target}: not an operation that this endpoint knows")
    parameters = {name: query.get(given, []) for given, name in _PARAMETER_KEYS.items()}
    return Operation(action=action, bucket=bucket, key=key, parameters=parameters)


def _bucket_and_key(host: str, path: str, endpoint: str) -> tuple[str | None, str | None]:
    path = unquote(path).removeprefix("/")
    if host == endpoint:
        bucket, _, key = path.partition("/")
        return bucket or None, key or None
    if host.endswith("." + endpoint):
        return host.removesuffix("." + endpoint), path or None
    raise NotKnown(f"host {host!r} is not {endpoint} or a bucket below it")
