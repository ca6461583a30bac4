"""Who may do what with S3: the account's own policies, read through its API at each request."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import boto3
from botocore.exceptions import ClientError

from lab.internet.policy import Request, Verdict, decide
from lab.internet.s3 import Operation

_SESSION_ARN = re.compile(r"arn:aws:sts::(?P<account>\d{12}):assumed-role/(?P<role>[^/]+)/.+")
"""What GetCallerIdentity says of temporary credentials of a role (STS API reference)."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """An assumed role, as its access key id tells."""

    account: str
    role: str
    role_arn: str
    session_arn: str


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
        )

    def verdict(
        self, caller: Caller, operation: Operation, context: Mapping[str, Sequence[str]]
    ) -> Verdict:
        """What IAM and the bucket's policy say; `context` is what is known beside the operation.

        Raises:
            PolicyError: a policy holds something that the evaluator does not know.
        """
        request = Request(
            role_arn=caller.role_arn,
            session_arn=caller.session_arn,
            account=caller.account,
            action=operation.action,
            resource=operation.resource,
            context={**context, **operation.parameters},
        )
        return decide(
            request,
            identity=self._role_policies(caller.role),
            resource=self._bucket_policy(operation.bucket),
            boundary=self._boundary(caller.role),
        )

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

    def _bucket_policy(self, bucket: str | None) -> Mapping[str, Any] | None:
        if bucket is None:
            return None
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
