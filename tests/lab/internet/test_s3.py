"""HTTP requests to S3 in IAM's terms."""

from __future__ import annotations

import pytest

from lab.internet.call import NotKnown
from lab.internet.s3 import operation

ENDPOINT = "s3.ap-northeast-1.amazonaws.com"
BUCKET = f"config.{ENDPOINT}"


@pytest.mark.parametrize(
    ("method", "host", "target", "action", "resource"),
    [
        ("GET", BUCKET, "/a/b%20c?x-id=GetObject", "s3:GetObject", "arn:aws:s3:::config/a/b c"),
        ("HEAD", BUCKET, "/a", "s3:GetObject", "arn:aws:s3:::config/a"),
        ("GET", ENDPOINT, "/config/a", "s3:GetObject", "arn:aws:s3:::config/a"),
        ("PUT", BUCKET, "/a", "s3:PutObject", "arn:aws:s3:::config/a"),
        ("DELETE", BUCKET, "/a", "s3:DeleteObject", "arn:aws:s3:::config/a"),
        ("GET", BUCKET, "/a?versionId=1", "s3:GetObjectVersion", "arn:aws:s3:::config/a"),
        ("GET", BUCKET, "/?list-type=2&prefix=a", "s3:ListBucket", "arn:aws:s3:::config"),
        ("GET", ENDPOINT, "/config", "s3:ListBucket", "arn:aws:s3:::config"),
        ("HEAD", BUCKET, "/", "s3:ListBucket", "arn:aws:s3:::config"),
        ("GET", BUCKET, "/?location", "s3:GetBucketLocation", "arn:aws:s3:::config"),
        ("GET", ENDPOINT, "/", "s3:ListAllMyBuckets", "*"),
        ("GET", f"a.b.{ENDPOINT}", "/k", "s3:GetObject", "arn:aws:s3:::a.b/k"),
    ],
)
def test_known_operations(method: str, host: str, target: str, action: str, resource: str) -> None:
    found = operation(method, host, target, {}, ENDPOINT)
    assert (found.action, found.resource) == (action, resource)


@pytest.mark.parametrize(
    ("method", "host", "target", "headers"),
    [
        ("PUT", BUCKET, "/", {}),
        ("POST", BUCKET, "/?delete", {}),
        ("GET", BUCKET, "/a?acl", {}),
        ("GET", BUCKET, "/a?tagging&versionId=1", {}),
        ("GET", BUCKET, "/a?something-new", {}),
        ("PUT", BUCKET, "/a", {"X-Amz-Copy-Source": "/other/a"}),
        ("PUT", ENDPOINT, "/", {}),
        ("GET", "s3.eu-west-1.amazonaws.com", "/config/a", {}),
        ("GET", f"config{ENDPOINT}", "/a", {}),
    ],
)
def test_others_are_not_guessed_at(
    method: str, host: str, target: str, headers: dict[str, str]
) -> None:
    with pytest.raises(NotKnown):
        operation(method, host, target, headers, ENDPOINT)


def test_parameters_become_condition_keys() -> None:
    found = operation("GET", BUCKET, "/?prefix=a%2F&delimiter=/", {}, ENDPOINT)
    assert found.parameters == {"s3:prefix": ["a/"], "s3:delimiter": ["/"], "s3:max-keys": []}
