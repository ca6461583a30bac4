"""S3: bucket policies are kept and readable, but enforced elsewhere; markers can be deleted.

moto evaluates a policy without its conditions, so that a policy which denies what does not come
over TLS would deny everything. The lab's AWS endpoint, where TLS ends, enforces policies.
"""

from __future__ import annotations

from typing import Any

from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket, FakeDeleteMarker


def get_permission(_moto: Any, _self: Any, _action: str, _resource: str) -> PermissionResult:
    return PermissionResult.NEUTRAL


def dispose(_moto: Any, _self: Any) -> None:
    """moto fails with 500 when the last version of a key is a delete marker: it has no body."""


CORRECTIONS = (
    (FakeBucket, "get_permission", get_permission),
    (FakeDeleteMarker, "dispose", dispose),
)
