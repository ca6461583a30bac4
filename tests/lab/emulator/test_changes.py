"""The emulator counts what may change the account, so that readers need not ask anew."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from lab.emulator.changes import PATH, may_change


def query(action: str) -> dict[str, Any]:
    body = f"Version=2016-11-15&Action={action}&Name=x".encode()
    return {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": "application/x-www-form-urlencoded; charset=utf-8",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }


def json_call(action: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": "POST", "HTTP_X_AMZ_TARGET": f"AmazonSSM.{action}"}


def rest(method: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": method}


@pytest.mark.parametrize(
    ("environ", "counted"),
    [
        (query("DescribeVpcs"), False),
        (query("GetCallerIdentity"), False),
        (query("ListRolePolicies"), False),
        (query("PutRolePolicy"), True),
        (query("AssumeRole"), True),
        (query("GetSessionToken"), True),
        (query(""), True),
        (json_call("GetParameter"), False),
        (json_call("PutParameter"), True),
        (json_call("PutKeyPolicy"), True),
        (rest("GET"), False),
        (rest("HEAD"), False),
        (rest("PUT"), True),
        (rest("POST"), True),
        (rest("DELETE"), True),
    ],
)
def test_what_may_change_something(environ: dict[str, Any], counted: bool) -> None:
    body = environ["wsgi.input"].getvalue() if "wsgi.input" in environ else b""
    assert may_change(environ) is counted
    if body:
        assert environ["wsgi.input"].read() == body


def test_the_number_rises_with_each_change_and_with_nothing_else(
    endpoint: str, client: Callable[[str], Any]
) -> None:
    def number() -> int:
        with urllib.request.urlopen(endpoint + PATH) as answer:
            return int(answer.read())

    iam, s3, ssm, ec2 = (client(name) for name in ("iam", "s3", "ssm", "ec2"))
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    allow = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    changes: list[Callable[[], Any]] = [
        lambda: iam.create_role(RoleName="counted", AssumeRolePolicyDocument=allow),
        lambda: iam.put_role_policy(RoleName="counted", PolicyName="p", PolicyDocument=allow),
        lambda: iam.delete_role_policy(RoleName="counted", PolicyName="p"),
        lambda: iam.delete_role(RoleName="counted"),
        lambda: s3.create_bucket(
            Bucket="counted", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
        ),
        lambda: s3.put_object(Bucket="counted", Key="k", Body=b"x"),
        lambda: s3.delete_object(Bucket="counted", Key="k"),
        lambda: s3.delete_bucket(Bucket="counted"),
        lambda: ssm.put_parameter(Name="/counted", Value="x", Type="String"),
        lambda: ssm.delete_parameter(Name="/counted"),
        lambda: ec2.delete_vpc(VpcId=ec2.create_vpc(CidrBlock="10.250.0.0/16")["Vpc"]["VpcId"]),
    ]
    for change in changes:
        before = number()
        change()
        assert number() > before
    before = number()
    iam.list_roles()
    s3.list_buckets()
    ssm.get_parameters(Names=["/counted"])
    ec2.describe_vpcs()
    assert number() == before
