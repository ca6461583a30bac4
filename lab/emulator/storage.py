"""S3: bucket policies are kept and readable, but enforced elsewhere; markers can be deleted.

A policy that makes its bucket public is refused where the bucket blocks such, as S3 does.

moto evaluates a policy without its conditions, so that a policy which denies what does not come
over TLS would deny everything. The lab's AWS endpoint, where TLS ends, enforces policies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.exceptions import S3AccessDeniedError
from moto.s3.models import FakeBucket, FakeDeleteMarker, S3Backend

LIMITS = frozenset(
    {
        "aws:principalorgid",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceip",
        "aws:sourceowner",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:userid",
        "s3:dataaccesspointaccount",
        "s3:dataaccesspointarn",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
    }
)
"""Condition keys whose fixed values make what is granted to everyone not public ("The meaning of
'public'", S3 User Guide)."""


def get_permission(_moto: Any, _self: Any, _action: str, _resource: str) -> PermissionResult:
    return PermissionResult.NEUTRAL


def dispose(_moto: Any, _self: Any) -> None:
    """moto fails with 500 when the last version of a key is a delete marker: it has no body."""


def put_bucket_policy(moto: Any, self: Any, bucket_name: str, policy: bytes) -> None:
    """BlockPublicPolicy ("Block public access settings", S3 User Guide)."""
    block = self.get_bucket(bucket_name).public_access_block
    if block is not None and block.block_public_policy and _public(json.loads(policy)):
        raise S3AccessDeniedError
    moto(self, bucket_name, policy)


def _public(policy: Mapping[str, Any]) -> bool:
    statements = policy["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal")
        names = principal.get("AWS", []) if isinstance(principal, Mapping) else principal
        everyone = names is not None and "*" in ([names] if isinstance(names, str) else names)
        if statement["Effect"] == "Allow" and everyone and not _limited(statement):
            return True
    return False


def _limited(statement: Mapping[str, Any]) -> bool:
    return any(
        key.lower() in LIMITS and not any(mark in json.dumps(values) for mark in ("*", "?", "${"))
        for keys in statement.get("Condition", {}).values()
        for key, values in keys.items()
    )


CORRECTIONS = (
    (FakeBucket, "get_permission", get_permission),
    (FakeDeleteMarker, "dispose", dispose),
    (S3Backend, "put_bucket_policy", put_bucket_policy),
)
