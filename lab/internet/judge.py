"""Who may do what: the account's own policies, as they are at that moment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lab.internet import route53, s3, ssm
from lab.internet.account import Reading
from lab.internet.call import Caller, Permission
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
    """Judges one call by what is read of the account.

    Every method raises botocore.exceptions.ClientError if the emulator refuses to tell.
    """

    def __init__(self, account: Reading) -> None:
        self._account = account

    def caller(self, access_key_id: str) -> Caller | None:
        """The role whose temporary credentials those are; None if STS handed them to no role."""
        session_arn = self._account.session_arn(access_key_id)
        match = _SESSION_ARN.fullmatch(session_arn)
        if match is None:
            return None
        role = self._account.role(match["role"])
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
        identity = self._account.role_policies(caller.role)
        boundary = self._account.boundary(caller.role)
        if key := _KEY.fullmatch(permission.resource):
            own = self._account.key_policy(key[1])
            return decide_for_key(request, identity=identity, key=own, boundary=boundary)
        bucket = _BUCKET.fullmatch(permission.resource)
        resource = self._account.bucket_policy(bucket[1]) if bucket else None
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
        vpcs = self._account.vpcs()
        vpc = next((vpc for vpc in vpcs if str(aws_address(vpc)) == address), None)
        if vpc is None:
            return "allow"
        policy = self._account.endpoint_policy(vpc)
        if policy is None:
            # It has just gone.
            return "implicit deny"
        return evaluate(policy, self._request(caller, permission, context), of_resource=True)

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
        vpc = self._account.instance_vpc(caller.session_arn.rpartition("/")[2])
        return {**tags, SOURCE_VPC: [vpc] if vpc else []}
