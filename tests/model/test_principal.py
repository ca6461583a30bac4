"""What the policy of a branch's principal allows beside what is its own: nothing of a neighbour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from terms import TERMS

from lab.internet.policy import Request, evaluate
from model.principal import BRANCH, STACK, branch_policy

IAM, KMS = f"arn:aws:iam::{TERMS.account}", f"arn:aws:kms:{TERMS.region}:{TERMS.account}"
CALLS = {
    "role": (
        "CreateRole",
        "DeleteRole",
        "DeleteRolePolicy",
        "GetRole",
        "PassRole",
        "PutRolePolicy",
        "TagRole",
        "UntagRole",
        "UpdateAssumeRolePolicy",
    ),
    "instance-profile": (
        "AddRoleToInstanceProfile",
        "DeleteInstanceProfile",
        "RemoveRoleFromInstanceProfile",
    ),
}
NEIGHBOURS = {"kobe": "gatepost-dev-kobe-east", "dmz": "gatepost-dev-dmz-ms"}
"""A branch, and whose names begin with its own: another branch's, and the relay's."""


def allows(name: str, action: str, resource: str) -> bool:
    """Whether the principal of a branch may do it, with every condition key as it would like."""
    keys: Mapping[str, str] = {
        f"aws:requesttag/{STACK}": f"dev-{name}",
        f"aws:requesttag/{BRANCH}": name,
        "iam:passedtoservice": "ec2.amazonaws.com",
        "iam:permissionsboundary": TERMS.boundary,
    }
    others = (f"aws:resourcetag/{STACK}", "ec2:createaction", "s3:prefix")
    context: dict[str, Any] = {key: [value] for key, value in keys.items()}
    request = Request(
        role_arn="arn:aws:iam::1:role/x",
        session_arn="arn:aws:sts::1:assumed-role/x/y",
        account=TERMS.account,
        action=action,
        resource=resource,
        context=context | {key: [] for key in others},
    )
    return evaluate(branch_policy(TERMS, name), request, of_resource=False) == "allow"


@pytest.mark.parametrize("name", NEIGHBOURS)
@pytest.mark.parametrize("kind", CALLS)
def test_of_roles_and_profiles_a_principal_has_its_own_and_no_neighbour_s(
    name: str, kind: str
) -> None:
    near = NEIGHBOURS[name]
    for call in CALLS[kind]:
        assert allows(name, f"iam:{call}", f"{IAM}:{kind}/gatepost-dev-{name}-server"), call
        for other in (near, f"{near}-server", f"gatepost-dev-{name}-", f"gatepost-dev-{name}-x"):
            assert not allows(name, f"iam:{call}", f"{IAM}:{kind}/{other}"), (call, other)


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_of_aliases_a_principal_has_its_own_and_no_neighbour_s(name: str) -> None:
    for call in ("CreateAlias", "UpdateAlias", "DeleteAlias"):
        assert allows(name, f"kms:{call}", f"{KMS}:alias/gatepost-dev-{name}-disks")
        for other in (f"{NEIGHBOURS[name]}-disks", f"gatepost-dev-{name}-secrets"):
            assert not allows(name, f"kms:{call}", f"{KMS}:alias/{other}"), (call, other)
