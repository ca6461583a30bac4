"""Who may do what: the account's own policies, read through its API at each request."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import boto3
from botocore.exceptions import ClientError

from lab.internet import route53, s3, ssm
from lab.internet.call import Caller, Permission
from lab.internet.conditions import PolicyError
from lab.internet.policy import PRINCIPAL_TAG, Request, Verdict, decide, decide_for_key, evaluate
from lab.network.names import aws_address

_SESSION_ARN = re.compile(r"arn:aws:sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/.+")
"""What GetCallerIdentity says of temporary credentials of a role (STS API reference)."""
_BUCKET = re.compile(r"arn:aws:s3:::([^/]+)(?:/.*)?", re.DOTALL)
_KEYS = (*route53.KEYS, *s3.KEYS, *ssm.KEYS)
"""Condition keys that some service knows: absent from a call to another, not unknown there."""
SOURCE_VPC = "aws:ec2instancesourcevpc"
"""Where the instance is whose role's credentials sign; absent of any others (IAM User Guide, "AWS
global condition context keys")."""
_KEY = re.compile(r"arn:aws:kms:[^:]+:\d{12}:key/(.+)")


class Judge:
    """Judges requests by the policies in the account behind `emulator` (an URL)."""

    def __init__(self, emulator: str, region: str) -> None:
        self._emulator = emulator
        self._making_clients = threading.Lock()  # boto3's sessions are not for several threads
        # Any credentials do: the emulator behind the endpoint asks for none of its own.
        self._session = boto3.Session(
            aws_access_key_id="lab", aws_secret_access_key="lab", region_name=region
        )
        self._iam: Any = self._session.client("iam", endpoint_url=emulator)
        self._s3: Any = self._session.client("s3", endpoint_url=emulator)
        self._kms: Any = self._session.client("kms", endpoint_url=emulator)
        self._ec2: Any = self._session.client("ec2", endpoint_url=emulator)
        self._vpcs: dict[str, str] = {}
        self._s3_service = f"com.amazonaws.{region}.s3"

    def caller(self, access_key_id: str) -> Caller | None:
        """The role whose temporary credentials those are; None if STS handed them to no role.

        Raises:
            botocore.exceptions.ClientError: the emulator refused.
        """
        with self._making_clients:
            sts: Any = self._session.client(
                "sts",
                endpoint_url=self._emulator,
                aws_access_key_id=access_key_id,
                aws_secret_access_key="lab",
            )
        session_arn = sts.get_caller_identity()["Arn"]
        match = _SESSION_ARN.fullmatch(session_arn)
        if match is None:
            return None
        role = self._iam.get_role(RoleName=match["role"])["Role"]
        return Caller(
            account=match["account"],
            role=match["role"],
            role_arn=role["Arn"],
            session_arn=session_arn,
            tags={tag["Key"]: tag["Value"] for tag in role.get("Tags", [])},
        )

    def verdict(
        self, caller: Caller, permission: Permission, context: Mapping[str, Sequence[str]]
    ) -> Verdict:
        """What IAM says, and the policy of a bucket or key; `context` is what else is known.

        Raises:
            PolicyError: a policy holds something that the evaluator does not know.
        """
        request = self._request(caller, permission, context)
        identity, boundary = self._role_policies(caller.role), self._boundary(caller.role)
        if key := _KEY.fullmatch(permission.resource):
            own = self._key_policy(key[1])
            return decide_for_key(request, identity=identity, key=own, boundary=boundary)
        bucket = _BUCKET.fullmatch(permission.resource)
        resource = self._bucket_policy(bucket[1]) if bucket else None
        return decide(request, identity=identity, resource=resource, boundary=boundary)

    def endpoint_verdict(
        self,
        address: str,
        caller: Caller,
        permission: Permission,
        context: Mapping[str, Sequence[str]],
    ) -> Verdict:
        """What the policy of the gateway endpoint says by which a call has come from `address`.

        It grants nothing, but what it does not allow does not pass ("Control access to VPC
        endpoints using endpoint policies", AWS PrivateLink). What came by the Internet met none.

        Raises:
            PolicyError: as for `verdict`; or the VPC has several endpoints for S3.
        """
        vpcs = [vpc["VpcId"] for vpc in self._ec2.describe_vpcs()["Vpcs"]]
        vpc = next((vpc for vpc in vpcs if str(aws_address(vpc)) == address), None)
        if vpc is None:
            return "allow"
        policy = self._endpoint_policy(vpc)
        if policy is None:
            return "implicit deny"
        return evaluate(policy, self._request(caller, permission, context), of_resource=True)

    def _endpoint_policy(self, vpc: str) -> Mapping[str, Any] | None:
        """Of the VPC's gateway endpoint for S3; None if that has just gone."""
        only = [
            {"Name": "vpc-id", "Values": [vpc]},
            {"Name": "service-name", "Values": [self._s3_service]},
        ]
        found = [
            endpoint["PolicyDocument"]
            for endpoint in self._ec2.describe_vpc_endpoints(Filters=only)["VpcEndpoints"]
            if endpoint["State"] == "available"
        ]
        if len(found) > 1:
            raise PolicyError(f"{vpc} has {len(found)} endpoints for S3: which of them is not told")
        return json.loads(found[0]) if found else None

    def _request(
        self, caller: Caller, permission: Permission, context: Mapping[str, Sequence[str]]
    ) -> Request:
        return Request(
            role_arn=caller.role_arn,
            session_arn=caller.session_arn,
            account=caller.account,
            action=permission.action,
            resource=permission.resource,
            context={
                **dict.fromkeys(_KEYS, ()),
                **self._about(caller),
                **context,
                **permission.context,
            },
        )

    def _about(self, caller: Caller) -> Mapping[str, Sequence[str]]:
        """The condition keys that tell of the caller itself."""
        tags = {f"{PRINCIPAL_TAG}{key.lower()}": [value] for key, value in caller.tags.items()}
        # EC2 names the session by the instance (GetCallerIdentity's answer on one).
        vpc = self._vpc(caller.session_arn.rpartition("/")[2])
        return {**tags, SOURCE_VPC: [vpc] if vpc else []}

    def _vpc(self, session: str) -> str | None:
        """The VPC of the instance whose session it is, if that is an instance's; never changes."""
        if session not in self._vpcs:
            only = [{"Name": "instance-id", "Values": [session]}]
            found = self._ec2.describe_instances(Filters=only)["Reservations"]
            if not found:
                return None
            self._vpcs[session] = found[0]["Instances"][0]["VpcId"]
        return self._vpcs[session]

    def _boundary(self, role: str) -> Mapping[str, Any] | None:
        bound = self._iam.get_role(RoleName=role)["Role"].get("PermissionsBoundary")
        return _document(self._managed(bound["PermissionsBoundaryArn"])) if bound else None

    def _role_policies(self, role: str) -> list[Mapping[str, Any]]:
        policies = [
            self._iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            for page in self._iam.get_paginator("list_role_policies").paginate(RoleName=role)
            for name in page["PolicyNames"]
        ]
        attached = self._iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
        for page in attached:
            policies += [self._managed(policy["PolicyArn"]) for policy in page["AttachedPolicies"]]
        return [_document(policy) for policy in policies]

    def _managed(self, arn: str) -> Any:
        version = self._iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found = self._iam.get_policy_version(PolicyArn=arn, VersionId=version)
        return found["PolicyVersion"]["Document"]

    def _key_policy(self, key: str) -> Mapping[str, Any]:
        return json.loads(self._kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"])

    def _bucket_policy(self, bucket: str) -> Mapping[str, Any] | None:
        try:
            return json.loads(self._s3.get_bucket_policy(Bucket=bucket)["Policy"])
        except ClientError as error:
            # An absent bucket is for the emulator to answer.
            if error.response["Error"]["Code"] in ("NoSuchBucketPolicy", "NoSuchBucket"):
                return None
            raise


def _document(policy: Any) -> Mapping[str, Any]:
    """IAM's API gives policies as URL-encoded JSON (RFC 3986); boto3 decodes most of them."""
    return json.loads(unquote(policy)) if isinstance(policy, str) else policy
