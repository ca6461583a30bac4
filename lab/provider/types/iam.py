"""Managed policies, roles with policies of their own, and instance profiles.

Registry pages: aws/iam/{policy,role,rolepolicy,instanceprofile}.
"""

from __future__ import annotations

import json
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, tag_list, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import POLICY, TAGS
from lab.provider.values import Values

ROLE_SETTINGS = {
    "assumeRolePolicy": "AssumeRolePolicyDocument",
    "description": "Description",
    "maxSessionDuration": "MaxSessionDuration",
    "name": "RoleName",
    "path": "Path",
    "permissionsBoundary": "PermissionsBoundary",
}


def _role_rules(value: Any) -> str | None:
    """A trust policy: IAM accepts it only with a Principal."""
    wrong = checks.policy(value)
    if wrong:
        return wrong
    statements = json.loads(value)["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        if "Principal" not in statement:
            return f"a statement has no Principal: {json.dumps(statement)}"
    return None


def _create_role(aws: Aws, new: Values) -> str:
    request = {p: new[name] for name, p in ROLE_SETTINGS.items() if name in new}
    made = aws.iam.create_role(Tags=tag_list(new.get("tags")), **request)
    return made["Role"]["RoleName"]


def _read_role(aws: Aws, identifier: str, _state: Values) -> Values | None:
    role = aws.iam.get_role(RoleName=identifier)["Role"]
    return {
        "arn": role["Arn"],
        "assumeRolePolicy": json.dumps(role["AssumeRolePolicyDocument"]),
        "createDate": role["CreateDate"].isoformat(),
        "description": role.get("Description") or None,
        "maxSessionDuration": role["MaxSessionDuration"],
        "name": role["RoleName"],
        "path": role["Path"],
        "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        "tags": tag_map(role.get("Tags")),
        "uniqueId": role["RoleId"],
    }


def _update_role(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if "assumeRolePolicy" in changed:
        aws.iam.update_assume_role_policy(
            RoleName=identifier, PolicyDocument=new["assumeRolePolicy"]
        )
    if changed & {"description", "maxSessionDuration"}:
        aws.iam.update_role(
            RoleName=identifier,
            Description=new.get("description", ""),
            MaxSessionDuration=new["maxSessionDuration"],
        )
    if "permissionsBoundary" in changed:
        _bound_role(aws, identifier, new.get("permissionsBoundary"))
    _retag(aws.iam.tag_role, aws.iam.untag_role, {"RoleName": identifier}, old, new)


def _bound_role(aws: Aws, identifier: str, boundary: str | None) -> None:
    if boundary:
        aws.iam.put_role_permissions_boundary(RoleName=identifier, PermissionsBoundary=boundary)
    else:
        aws.iam.delete_role_permissions_boundary(RoleName=identifier)


def _retag(tag: Any, untag: Any, name: dict[str, str], old: Values, new: Values) -> None:
    before, after = old.get("tags") or {}, new.get("tags") or {}
    if gone := [key for key in before if key not in after]:
        untag(TagKeys=gone, **name)
    if after:
        tag(Tags=tag_list(after), **name)


ROLE = Resource(
    token="aws:iam/role:Role",
    named="name",
    inputs={
        "assumeRolePolicy": Property(required=True, check=_role_rules, normal=checks.same_json),
        "description": Property(),
        "forceDetachPolicies": Property(default=False),
        "maxSessionDuration": Property(default=3600),
        "name": Property(computed=True, replaces=True),
        "path": Property(default="/", replaces=True),
        "permissionsBoundary": Property(),
        "tags": TAGS,
    },
    outputs=("arn", "createDate", "uniqueId"),
    create=_create_role,
    read=_read_role,
    update=_update_role,
    delete=lambda aws, identifier, _state: aws.iam.delete_role(RoleName=identifier),
)


def _put_role_policy(aws: Aws, new: Values) -> str:
    aws.iam.put_role_policy(
        RoleName=new["role"], PolicyName=new["name"], PolicyDocument=new["policy"]
    )
    return f"{new['role']}:{new['name']}"


def _read_role_policy(aws: Aws, identifier: str, _state: Values) -> Values | None:
    role, _, name = identifier.partition(":")
    found = aws.iam.get_role_policy(RoleName=role, PolicyName=name)
    return {"name": name, "policy": json.dumps(found["PolicyDocument"]), "role": role}


def _delete_role_policy(aws: Aws, identifier: str, _state: Values) -> None:
    role, _, name = identifier.partition(":")
    aws.iam.delete_role_policy(RoleName=role, PolicyName=name)


def _update_role_policy(aws: Aws, _id: str, _old: Values, new: Values, _changed: set[str]) -> None:
    _put_role_policy(aws, new)


ROLE_POLICY = Resource(
    token="aws:iam/rolePolicy:RolePolicy",
    named="name",
    inputs={
        "name": Property(computed=True, replaces=True),
        "policy": POLICY,
        "role": Property(required=True, replaces=True),
    },
    create=_put_role_policy,
    read=_read_role_policy,
    update=_update_role_policy,
    delete=_delete_role_policy,
)


def _create_profile(aws: Aws, new: Values) -> str:
    made = aws.iam.create_instance_profile(
        InstanceProfileName=new["name"], Path=new["path"], Tags=tag_list(new.get("tags"))
    )
    return made["InstanceProfile"]["InstanceProfileName"]


def _add_role(aws: Aws, identifier: str, new: Values) -> None:
    if "role" in new:
        aws.iam.add_role_to_instance_profile(InstanceProfileName=identifier, RoleName=new["role"])


def _read_profile(aws: Aws, identifier: str, _state: Values) -> Values | None:
    profile = aws.iam.get_instance_profile(InstanceProfileName=identifier)["InstanceProfile"]
    roles = [role["RoleName"] for role in profile["Roles"]]
    return {
        "arn": profile["Arn"],
        "createDate": profile["CreateDate"].isoformat(),
        "name": profile["InstanceProfileName"],
        "path": profile["Path"],
        "role": roles[0] if roles else None,
        "tags": tag_map(profile.get("Tags")),
        "uniqueId": profile["InstanceProfileId"],
    }


def _remove_role(aws: Aws, identifier: str, state: Values) -> None:
    if state.get("role"):
        aws.iam.remove_role_from_instance_profile(
            InstanceProfileName=identifier, RoleName=state["role"]
        )


def _update_profile(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if "role" in changed:
        _remove_role(aws, identifier, old)
        _add_role(aws, identifier, new)
    name = {"InstanceProfileName": identifier}
    _retag(aws.iam.tag_instance_profile, aws.iam.untag_instance_profile, name, old, new)


def _delete_profile(aws: Aws, identifier: str, state: Values) -> None:
    _remove_role(aws, identifier, _read_profile(aws, identifier, state) or {})
    aws.iam.delete_instance_profile(InstanceProfileName=identifier)


INSTANCE_PROFILE = Resource(
    token="aws:iam/instanceProfile:InstanceProfile",
    named="name",
    inputs={
        "name": Property(computed=True, replaces=True),
        "path": Property(default="/", replaces=True),
        "role": Property(),
        "tags": TAGS,
    },
    outputs=("arn", "createDate", "uniqueId"),
    create=_create_profile,
    settle=_add_role,
    read=_read_profile,
    update=_update_profile,
    delete=_delete_profile,
)


def _create_policy(aws: Aws, new: Values) -> str:
    made = aws.iam.create_policy(
        PolicyName=new["name"],
        Path=new["path"],
        PolicyDocument=new["policy"],
        Description=new.get("description", ""),
        Tags=tag_list(new.get("tags")),
    )
    return made["Policy"]["Arn"]


def _read_policy(aws: Aws, identifier: str, _state: Values) -> Values | None:
    policy = aws.iam.get_policy(PolicyArn=identifier)["Policy"]
    version = policy["DefaultVersionId"]
    found = aws.iam.get_policy_version(PolicyArn=identifier, VersionId=version)["PolicyVersion"]
    return {
        "arn": policy["Arn"],
        "description": policy.get("Description") or None,
        "name": policy["PolicyName"],
        "path": policy["Path"],
        "policy": json.dumps(found["Document"]),
        "policyId": policy["PolicyId"],
        "tags": tag_map(policy.get("Tags")),
    }


def _update_policy(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    """A new version; the former ones go, as a policy may have five (API, CreatePolicyVersion)."""
    if "policy" in changed:
        _drop_versions(aws, identifier)
        aws.iam.create_policy_version(
            PolicyArn=identifier, PolicyDocument=new["policy"], SetAsDefault=True
        )
    _retag(aws.iam.tag_policy, aws.iam.untag_policy, {"PolicyArn": identifier}, old, new)


def _drop_versions(aws: Aws, identifier: str) -> None:
    for version in aws.iam.list_policy_versions(PolicyArn=identifier)["Versions"]:
        if not version["IsDefaultVersion"]:
            aws.iam.delete_policy_version(PolicyArn=identifier, VersionId=version["VersionId"])


def _delete_policy(aws: Aws, identifier: str, _state: Values) -> None:
    _drop_versions(aws, identifier)
    aws.iam.delete_policy(PolicyArn=identifier)


MANAGED_POLICY = Resource(
    token="aws:iam/policy:Policy",
    named="name",
    inputs={
        "description": Property(replaces=True),
        "name": Property(computed=True, replaces=True),
        "path": Property(default="/", replaces=True),
        "policy": POLICY,
        "tags": TAGS,
    },
    outputs=("arn", "policyId"),
    create=_create_policy,
    read=_read_policy,
    update=_update_policy,
    delete=_delete_policy,
)

TYPES = (MANAGED_POLICY, ROLE, ROLE_POLICY, INSTANCE_PROFILE)
