"""Temporary credentials for the roles of instances: from STS, kept until near their end."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

DURATION = timedelta(hours=1)
"""AssumeRole's default; a role's own maximum is never below it (STS API Reference)."""
RENEW_BEFORE = timedelta(minutes=5)
"""New credentials are there at least five minutes before the old ones end (EC2 User Guide)."""
TIME = "%Y-%m-%dT%H:%M:%SZ"


class CredentialsError(RuntimeError):
    """STS gave no credentials for a role; the message names it and STS's reason."""


class RoleCredentials:
    """Credentials for the instances that have a role; safe to use from several threads."""

    def __init__(self, *, iam: Any, sts: Any) -> None:
        """boto3 clients whose own credentials may read IAM and assume the roles."""
        self._iam = iam
        self._sts = sts
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    def document(self, instance_id: str, role: str) -> str:
        """What `iam/security-credentials/<role>` holds; raises CredentialsError."""
        with self._lock:
            known = self._known.get((instance_id, role))
            if known is None or known["Expiration"] - datetime.now(UTC) < RENEW_BEFORE:
                known = self._known[instance_id, role] = self._assume(instance_id, role)
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": known["Updated"].strftime(TIME),
                "Type": "AWS-HMAC",
                "AccessKeyId": known["AccessKeyId"],
                "SecretAccessKey": known["SecretAccessKey"],
                "Token": known["SessionToken"],
                "Expiration": known["Expiration"].strftime(TIME),
            },
            indent=2,
        )

    def profile(self, role: str) -> str:
        """What `iam/info` holds: the role's instance profile; raises CredentialsError."""
        try:
            answer = self._iam.list_instance_profiles_for_role(RoleName=role)
        except (BotoCoreError, ClientError) as error:
            raise CredentialsError(f"IAM names no profile of role {role}: {error}") from error
        if not answer["InstanceProfiles"]:
            raise CredentialsError(f"IAM has no instance profile with role {role}")
        profile = answer["InstanceProfiles"][0]
        return json.dumps(
            {
                "Code": "Success",
                "LastUpdated": datetime.now(UTC).strftime(TIME),
                "InstanceProfileArn": profile["Arn"],
                "InstanceProfileId": profile["InstanceProfileId"],
            },
            indent=2,
        )

    def _assume(self, instance_id: str, role: str) -> dict[str, Any]:
        try:
            arn = self._iam.get_role(RoleName=role)["Role"]["Arn"]
            # EC2 names the session by the instance (IAM User Guide, "Using an IAM role to grant
            # permissions to applications running on Amazon EC2 instances").
            answer = self._sts.assume_role(
                RoleArn=arn,
                RoleSessionName=instance_id,
                DurationSeconds=int(DURATION.total_seconds()),
            )
        except (BotoCoreError, ClientError) as error:
            raise CredentialsError(f"STS does not let {role} be assumed: {error}") from error
        return {**answer["Credentials"], "Updated": datetime.now(UTC)}
