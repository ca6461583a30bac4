"""Clients of the emulated AWS API, made when first used."""

from __future__ import annotations

import functools
import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

GONE = frozenset(
    {
        "404",
        "NatGatewayNotFound",
        "NoSuchBucket",
        "NoSuchBucketPolicy",
        "NoSuchEntity",
        "NoSuchHostedZone",
        "NoSuchKey",
        "NoSuchKeySigningKey",
        "NoSuchLifecycleConfiguration",
        "NoSuchPublicAccessBlockConfiguration",
        "OwnershipControlsNotFoundError",
        "ParameterNotFound",
        "ServerSideEncryptionConfigurationNotFoundError",
    }
)
"""Error codes of IAM, Route 53, S3, SSM and EC2 that mean "there is no such object"; the others of
EC2 end in `.NotFound`."""


class ProviderError(Exception):
    """A failure that the user is to read as it is, without a traceback."""


class Aws:
    """One Region of the account behind AWS_ENDPOINT_URL."""

    def __init__(self, region: str) -> None:
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        if not endpoint:
            raise ProviderError(
                "AWS_ENDPOINT_URL is not set: this stand-in provider speaks to the lab's emulator "
                "only; start the program through `gatepost lab`"
            )
        self.region = region
        self._endpoint = endpoint
        self._session = boto3.Session(region_name=region)

    @functools.cache  # noqa: B019 (one Aws lives as long as the process)
    def client(self, service: str) -> Any:
        """The service's client, without retries: the emulator answers the same every time."""
        config = Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
        )
        return self._session.client(service, endpoint_url=self._endpoint, config=config)

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    @property
    def iam(self) -> Any:
        return self.client("iam")

    @property
    def kms(self) -> Any:
        return self.client("kms")

    @property
    def route53(self) -> Any:
        return self.client("route53")

    @property
    def s3(self) -> Any:
        return self.client("s3")

    @property
    def ssm(self) -> Any:
        return self.client("ssm")

    @functools.cached_property
    def account(self) -> str:
        return self.client("sts").get_caller_identity()["Account"]

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and Region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"


def code_of(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def is_gone(error: ClientError) -> bool:
    """Whether the API says that the object does not exist."""
    code = code_of(error)
    return code in GONE or code.endswith((".NotFound", "NotFoundException"))


# Tags are lists of Key and Value in the APIs, and objects in Pulumi.


def tag_list(tags: dict[str, str] | None) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def tag_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    """Without the tags that AWS sets itself."""
    return {t["Key"]: t["Value"] for t in tags or [] if not t["Key"].startswith("aws:")}


def specification(kind: str, tags: dict[str, str] | None) -> list[dict[str, Any]]:
    """EC2's TagSpecifications; empty without tags, as the API wants it."""
    return [{"ResourceType": kind, "Tags": tag_list(tags)}] if tags else []


def retag(aws: Aws, identifier: str, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Make an EC2 object's tags those of `new`, both given as property values."""
    before, after = old.get("tags") or {}, new.get("tags") or {}
    gone = [{"Key": key} for key in before if key not in after]
    if gone:
        aws.ec2.delete_tags(Resources=[identifier], Tags=gone)
    if after:
        aws.ec2.create_tags(Resources=[identifier], Tags=tag_list(after))
