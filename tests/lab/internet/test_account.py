"""What is read of the account is read once, until something changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from emulated import Emulator

from lab.internet.account import Account

REGION = "ap-northeast-1"
ROLE = "relay"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("account"), images=()) as emulator:
        yield emulator


@pytest.fixture
def client(emulator: Emulator) -> Callable[[str], Any]:
    session = boto3.Session("x", "y", region_name=REGION)
    return lambda service: session.client(service, endpoint_url=emulator.endpoint)


def document(action: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def actions(account: Account) -> list[str]:
    policies = account.now().role_policies(ROLE)
    return [statement["Action"] for policy in policies for statement in policy["Statement"]]


def test_a_changed_policy_is_in_force_at_once_and_an_unchanged_one_is_not_read_again(
    emulator: Emulator, client: Callable[[str], Any]
) -> None:
    iam, account = client("iam"), Account(emulator.endpoint, REGION)
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=document("sts:AssumeRole"))
    assert actions(account) == []
    for action in ("s3:GetObject", "s3:PutObject"):
        iam.put_role_policy(RoleName=ROLE, PolicyName="p", PolicyDocument=document(action))
        assert actions(account) == [action]
    first, policies = account.now(), account.now().role_policies(ROLE)
    client("ec2").describe_vpcs()
    assert account.now() is first
    assert account.now().role_policies(ROLE) is policies
    client("s3").create_bucket(
        Bucket="other", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    assert account.now() is not first


def test_credentials_that_come_later_are_known(
    emulator: Emulator, client: Callable[[str], Any]
) -> None:
    sts, account = client("sts"), Account(emulator.endpoint, REGION)
    before = account.now().session_arn("ASIAQQQQQQQQQQQQQQQQ")
    arn = client("iam").create_role(
        RoleName="later", AssumeRolePolicyDocument=document("sts:AssumeRole")
    )["Role"]["Arn"]
    key = sts.assume_role(RoleArn=arn, RoleSessionName="i-0a")["Credentials"]["AccessKeyId"]
    assert account.now().session_arn(key).endswith("assumed-role/later/i-0a")
    assert account.now().session_arn("ASIAQQQQQQQQQQQQQQQQ") == before
