"""The account behind the endpoints, as its API tells of it: what decides who may do what.

Machines ask every few seconds, and a dozen answers decide on each of their calls: nothing is asked
twice while nothing has changed.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.exceptions import ClientError

from lab.emulator.changes import PATH
from lab.internet.conditions import PolicyError

CHANGES_LIMIT = 60.0
"""Seconds for the emulator to say how much has changed; boto3's own read timeout."""


class Account:
    """The account behind `emulator` (an URL), in one Region."""

    def __init__(self, emulator: str, region: str) -> None:
        self._emulator = urlsplit(emulator)
        self._clients = _Clients(emulator, region)
        self._lock = threading.Lock()
        self._changes = -1
        self._reading = Reading(self._clients)

    def now(self) -> Reading:
        """What can be read of it now.

        Raises:
            OSError, http.client.HTTPException: the emulator did not answer.
        """
        changes = self._ask_changes()
        with self._lock:
            if changes != self._changes:
                self._changes, self._reading = changes, Reading(self._clients)
            return self._reading

    def _ask_changes(self) -> int:
        host, port = self._emulator.hostname or "", self._emulator.port
        connection = http.client.HTTPConnection(host, port, timeout=CHANGES_LIMIT)
        try:
            connection.request("GET", PATH)
            return int(connection.getresponse().read())
        finally:
            connection.close()


class _Clients:
    """boto3's clients for one emulator."""

    def __init__(self, emulator: str, region: str) -> None:
        self.region = region
        self._emulator = emulator
        self._making = threading.Lock()  # boto3's sessions are not for several threads
        self._session = boto3.Session(region_name=region)
        # Any credentials do: the emulator behind the endpoint asks for none of its own.
        self.iam, self.s3, self.kms, self.ec2 = (
            self.client(name, "lab") for name in ("iam", "s3", "kms", "ec2")
        )

    def client(self, service: str, access_key_id: str) -> Any:
        """One that signs with that key."""
        with self._making:
            return self._session.client(
                service,
                endpoint_url=self._emulator,
                aws_access_key_id=access_key_id,
                aws_secret_access_key="lab",
            )


class Reading:
    """What one account answers as long as nothing in it changes; each question is asked once.

    Every method raises botocore.exceptions.ClientError if the emulator refuses.
    """

    def __init__(self, clients: _Clients) -> None:
        self._clients = clients
        self.session_arn = cache(self._session_arn)
        self.role = cache(self._role)
        self.role_policies = cache(self._role_policies)
        self.boundary = cache(self._boundary)
        self.bucket_policy = cache(self._bucket_policy)
        self.key_policy = cache(self._key_policy)
        self.vpcs = cache(self._vpcs)
        self.endpoint_policy = cache(self._endpoint_policy)
        self.instance_vpc = cache(self._instance_vpc)

    def _session_arn(self, access_key_id: str) -> str:
        """Whose key that is (STS API reference, GetCallerIdentity)."""
        return self._clients.client("sts", access_key_id).get_caller_identity()["Arn"]

    def _role(self, name: str) -> dict[str, Any]:
        return self._clients.iam.get_role(RoleName=name)["Role"]

    def _role_policies(self, role: str) -> list[Mapping[str, Any]]:
        """The role's own policies and those attached to it."""
        iam = self._clients.iam
        policies = [
            iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for page in iam.get_paginator("list_role_policies").paginate(RoleName=role)
            for name in page["PolicyNames"]
        ]
        for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=role):
            policies += [self._managed(policy["PolicyArn"]) for policy in page["AttachedPolicies"]]
        return [_document(policy) for policy in policies]

    def _boundary(self, role: str) -> Mapping[str, Any] | None:
        """What bounds the role's permissions, if anything does."""
        bound = self.role(role).get("PermissionsBoundary")
        return _document(self._managed(bound["PermissionsBoundaryArn"])) if bound else None

    def _managed(self, arn: str) -> Any:
        iam = self._clients.iam
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        return iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]

    def _bucket_policy(self, bucket: str) -> Mapping[str, Any] | None:
        try:
            return json.loads(self._clients.s3.get_bucket_policy(Bucket=bucket)["Policy"])
        except ClientError as error:
            # An absent bucket is for the emulator to answer.
            if error.response["Error"]["Code"] in ("NoSuchBucketPolicy", "NoSuchBucket"):
                return None
            raise

    def _key_policy(self, key: str) -> Mapping[str, Any]:
        found = self._clients.kms.get_key_policy(KeyId=key, PolicyName="default")
        return json.loads(found["Policy"])

    def _vpcs(self) -> list[str]:
        """The ids of all VPCs."""
        return [vpc["VpcId"] for vpc in self._clients.ec2.describe_vpcs()["Vpcs"]]

    def _endpoint_policy(self, vpc: str) -> Mapping[str, Any] | None:
        """Of the VPC's gateway endpoint for S3; None if it has none.

        Raises PolicyError if the VPC has several.
        """
        only = [
            {"Name": "vpc-id", "Values": [vpc]},
            {"Name": "service-name", "Values": [f"com.amazonaws.{self._clients.region}.s3"]},
        ]
        found = [
            endpoint["PolicyDocument"]
            for endpoint in self._clients.ec2.describe_vpc_endpoints(Filters=only)["VpcEndpoints"]
            if endpoint["State"] == "available"
        ]
        if len(found) > 1:
            raise PolicyError(f"{vpc} has {len(found)} endpoints for S3: which of them is not told")
        return json.loads(found[0]) if found else None

    def _instance_vpc(self, instance: str) -> str | None:
        """The VPC of an instance; None if there is no such instance."""
        only = [{"Name": "instance-id", "Values": [instance]}]
        found = self._clients.ec2.describe_instances(Filters=only)["Reservations"]
        return found[0]["Instances"][0]["VpcId"] if found else None


def _document(policy: Any) -> Mapping[str, Any]:
    """IAM's API gives policies as URL-encoded JSON (RFC 3986); boto3 decodes most of them."""
    return json.loads(unquote(policy)) if isinstance(policy, str) else policy
