"""The S3 gateway endpoints of both stacks: the directory passes, and no other bucket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recording import ACCOUNT, Recorder, run
from terms import TERMS_JSON

from lab.internet.policy import Request, evaluate
from stacks import branch, environment

TERMS = {"aws:ssm/getParameter:getParameter": {"value": TERMS_JSON}}


@pytest.fixture(params=["environment", "branch"])
def built(request: pytest.FixtureRequest, dev: dict[str, Any], osaka: dict[str, Any]) -> Recorder:
    if request.param == "environment":
        return run(lambda: environment.build("dev", dev), stack_name="dev")[0]
    return run(lambda: branch.build("dev-osaka", osaka), stack_name="dev-osaka", answers=TERMS)[0]


def passes(recorder: Recorder, action: str, resource: str) -> bool:
    [endpoint] = recorder.of("ec2/vpcEndpoint:VpcEndpoint")
    request = Request(
        role_arn="arn:aws:iam::1:role/x",
        session_arn="arn:aws:sts::1:assumed-role/x/i-1",
        account=ACCOUNT,
        action=action,
        resource=resource,
    )
    return evaluate(json.loads(endpoint.inputs["policy"]), request, of_resource=True) == "allow"


def test_all_that_a_machine_may_do_in_s3_passes_and_nothing_in_another_bucket(
    built: Recorder,
) -> None:
    asked = [
        (action, resource)
        for policy in built.of("iam/rolePolicy:RolePolicy")
        for statement in json.loads(policy.inputs["policy"])["Statement"]
        for action in listed(statement["Action"])
        for resource in listed(statement["Resource"])
        if action.startswith("s3:")
    ]
    assert {action for action, _ in asked} >= {"s3:GetObject", "s3:PutObject"}
    for action, resource in asked:
        bucket, slash, key = resource.partition("/")
        assert passes(built, action, resource), (action, resource)
        assert not passes(built, action, f"{bucket}-2{slash}{key}"), (action, resource)
        assert not passes(built, "s3:DeleteObject", resource), resource
        assert not passes(built, "s3:PutBucketPolicy", bucket), resource
    assert not passes(built, "s3:ListAllMyBuckets", "*")


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
