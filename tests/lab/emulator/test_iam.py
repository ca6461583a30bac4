"""IAM's limits, and policies that something still uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.emulator.steps import refused

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


@pytest.fixture(scope="module")
def iam(client: Callable[[str], Any]) -> Any:
    return client("iam")


def document(size: int, indent: int | None = None) -> str:
    """A policy of so many characters, white space not counted."""

    def made(filling: str) -> str:
        resource = f"arn:aws:s3:::{filling}"
        statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": resource}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, indent=indent)

    return made("x" * (size - len("".join(made("").split()))))


def make_role(iam: Any, name: str, **more: Any) -> None:
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST, **more)


def make_policy(iam: Any, name: str, text: str) -> str:
    return iam.create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"]


def test_a_roles_name_has_64_characters(iam: Any) -> None:
    make_role(iam, "n" * 64)
    with refused("ValidationError"):
        make_role(iam, "n" * 65)


def test_a_roles_inline_policies_have_10240_characters_together(iam: Any) -> None:
    def put(name: str, text: str) -> None:
        iam.put_role_policy(RoleName="wordy", PolicyName=name, PolicyDocument=text)

    make_role(iam, "wordy")
    put("one", document(6000, indent=8))
    put("two", document(4240))
    with refused("LimitExceeded"):
        put("two", document(4241))
    with refused("LimitExceeded"):
        put("three", document(300))
    put("one", document(5700))
    put("three", document(300))


def test_a_managed_policy_has_6144_characters(iam: Any) -> None:
    arn = make_policy(iam, "full", document(6144, indent=8))
    with refused("LimitExceeded"):
        make_policy(iam, "overfull", document(6145))
    with refused("LimitExceeded"):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(6145))


def test_a_policy_in_use_is_not_deleted(iam: Any) -> None:
    arn = make_policy(iam, "used", document(200))
    make_role(iam, "bound", PermissionsBoundary=arn)
    with refused("DeleteConflict"):
        iam.delete_policy(PolicyArn=arn)
    iam.delete_role_permissions_boundary(RoleName="bound")
    iam.attach_role_policy(RoleName="bound", PolicyArn=arn)
    with refused("DeleteConflict"):
        iam.delete_policy(PolicyArn=arn)
    iam.detach_role_policy(RoleName="bound", PolicyArn=arn)
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=document(201), SetAsDefault=True)
    with refused("DeleteConflict"):
        iam.delete_policy(PolicyArn=arn)
    iam.delete_policy_version(PolicyArn=arn, VersionId="v1")
    iam.delete_policy(PolicyArn=arn)
