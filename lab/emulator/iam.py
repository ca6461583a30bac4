"""IAM's limits on names and policies, and policies that something still uses: moto checks neither.

The numbers: "IAM and AWS STS quotas", IAM User Guide.
"""

from __future__ import annotations

import re
from typing import Any

from moto.iam.exceptions import (
    DeleteConflictException,
    LimitExceededException,
    ValidationError,
)
from moto.iam.models import IAMBackend

ROLE_NAME = 64
"""Characters."""
INLINE = 10_240
"""Characters of all of a role's inline policies together, white space not counted."""
MANAGED = 6_144
"""Characters of a managed policy, white space not counted."""


def create_role(moto: Any, self: Any, role_name: str, *arguments: Any, **named: Any) -> Any:
    if len(role_name) > ROLE_NAME:
        raise ValidationError(
            f"1 validation error detected: Value '{role_name}' at 'roleName' failed to satisfy "
            f"constraint: Member must have length less than or equal to {ROLE_NAME}"
        )
    return moto(self, role_name, *arguments, **named)


def put_role_policy(
    moto: Any, self: Any, role_name: str, policy_name: str, policy_json: str
) -> None:
    policies = {**self.get_role(role_name).policies, policy_name: policy_json}
    if sum(map(_size, policies.values())) > INLINE:
        raise LimitExceededException(
            f"Maximum policy size of {INLINE} bytes exceeded for role {role_name}"
        )
    moto(self, role_name, policy_name, policy_json)


def create_policy(
    moto: Any, self: Any, description: str, path: str, policy_document: str, *more: Any
) -> Any:
    _check_managed(policy_document)
    return moto(self, description, path, policy_document, *more)


def create_policy_version(
    moto: Any, self: Any, policy_arn: str, policy_document: str, set_as_default: bool
) -> Any:
    _check_managed(policy_document)
    return moto(self, policy_arn, policy_document, set_as_default)


def _check_managed(document: str) -> None:
    if _size(document) > MANAGED:
        raise LimitExceededException(f"Cannot exceed quota for PolicySize: {MANAGED}")


def _size(document: str) -> int:
    return len(re.sub(r"\s", "", document))


def delete_policy(moto: Any, self: Any, policy_arn: str) -> None:
    """API reference, DeletePolicy: detached from all, and only its default version is left.

    A role that has it as its boundary holds it as one to which it is attached ("Permissions
    boundaries for IAM entities": PermissionsBoundaryUsageCount).
    """
    policy = self.get_policy(policy_arn)
    holders = [*self.roles.values(), *self.users.values(), *self.groups.values()]
    used = [holder.name for holder in holders if policy_arn in holder.managed_policies]
    used += [r.name for r in self.roles.values() if r.permissions_boundary_arn == policy_arn]
    if used:
        raise DeleteConflictException(
            f"Cannot delete a policy attached to entities ({', '.join(used)})."
        )
    if len(policy.versions) > 1:
        raise DeleteConflictException(
            "This policy has more than one version. Before you delete a policy, you must delete "
            "the policy's versions. The default version is deleted with the policy."
        )
    moto(self, policy_arn)


CORRECTIONS = (
    (IAMBackend, "create_role", create_role),
    (IAMBackend, "put_role_policy", put_role_policy),
    (IAMBackend, "create_policy", create_policy),
    (IAMBackend, "create_policy_version", create_policy_version),
    (IAMBackend, "delete_policy", delete_policy),
)
