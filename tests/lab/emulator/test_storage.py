"""A bucket that blocks public policies takes no such."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.emulator.steps import refused

EVERYONE = {"Effect": "Allow", "Principal": "*"}


@pytest.fixture(scope="module")
def s3(client: Callable[[str], Any]) -> Any:
    made = client("s3")
    where = {"LocationConstraint": "ap-northeast-1"}
    made.create_bucket(Bucket="blocking", CreateBucketConfiguration=where)
    block = {"BlockPublicPolicy": True}
    made.put_public_access_block(Bucket="blocking", PublicAccessBlockConfiguration=block)
    return made


def policy(statement: dict[str, Any]) -> str:
    what = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::blocking/*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**what, **statement}]})


PUBLIC: list[dict[str, Any]] = [
    EVERYONE,
    {"Effect": "Allow", "Principal": {"AWS": ["*"]}},
    {**EVERYONE, "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
    {**EVERYONE, "Condition": {"StringLike": {"aws:SourceVpc": "vpc-*"}}},
]
PRIVATE: list[dict[str, Any]] = [
    {"Effect": "Deny", "Principal": "*"},
    {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}},
    {**EVERYONE, "Condition": {"StringEquals": {"aws:SourceVpc": "vpc-91237329"}}},
]


@pytest.mark.parametrize("statement", PUBLIC)
def test_a_public_policy_is_refused(s3: Any, statement: dict[str, Any]) -> None:
    with refused("AccessDenied"):
        s3.put_bucket_policy(Bucket="blocking", Policy=policy(statement))


@pytest.mark.parametrize("statement", PRIVATE)
def test_another_is_taken(s3: Any, statement: dict[str, Any]) -> None:
    s3.put_bucket_policy(Bucket="blocking", Policy=policy(statement))
    assert s3.get_bucket_policy(Bucket="blocking")["Policy"] == policy(statement)


def test_without_a_block_a_bucket_may_be_public(s3: Any) -> None:
    where = {"LocationConstraint": "ap-northeast-1"}
    s3.create_bucket(Bucket="open", CreateBucketConfiguration=where)
    s3.put_bucket_policy(Bucket="open", Policy=policy(EVERYONE))
