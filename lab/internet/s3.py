"""What an HTTP request to S3 asks for, in IAM's terms.

The table of actions follows "Actions, resources, and condition keys for Amazon S3" (Service
Authorization Reference); the two addressing styles "Virtual hosting of buckets" (S3 User Guide).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
"""Signature Version 4 (IAM User Guide)."""


class NotKnown(ValueError):
    """A request that the lab's endpoint cannot judge, and so does not serve."""


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


def access_key(target: str, headers: Mapping[str, str]) -> str | None:
    """The access key id that signed a request, by header or presigned; None if nobody did.

    Raises:
        NotKnown: it is signed by another algorithm than Signature Version 4.
    """
    query = parse_qs(urlsplit(target).query)
    authorization = headers.get("Authorization")
    if authorization is None:
        credential = query.get("X-Amz-Credential", [None])[0]
        return credential.split("/")[0] if credential else None
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise NotKnown(f"signature algorithm {algorithm!r}: only {ALGORITHM} is served")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    return fields.get("Credential", "").split("/")[0] or None


def _bucket_and_key(host: str, path: str, endpoint: str) -> tuple[str | None, str | None]:
    path = unquote(path).removeprefix("/")
    if host == endpoint:
        bucket, _, key = path.partition("/")
        return bucket or None, key or None
    if host.endswith("." + endpoint):
        return host.removesuffix("." + endpoint), path or None
    raise NotKnown(f"host {host!r} is not {endpoint} or a bucket below it")
