"""What a relay may do to prove its names to a certificate authority, and to serve MTA-STS."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from model.fields import SettingsError

POLICY_LIMIT = 9_216
"""Characters: all inline policies of a role together have 10,240 without white space (IAM User
Guide, "IAM and AWS STS quotas"), and what a relay may read in the bucket takes some 600."""

ZONE_ID = "Z01234567890123456789"
"""As long as a hosted zone's id can be that Route 53 makes: stands for one at preview."""

_KEY = "route53:ChangeResourceRecordSets"
"""What the condition keys of that action begin with (Route 53 Developer Guide, "Using IAM policy
conditions for fine-grained access control to manage resource record sets")."""


def certificates_policy(
    names: Sequence[str], zones: Sequence[str], lock_zone: str, policy_file: str
) -> str:
    """A policy to write TXT records of `names` (no final dot) in the hosted zones `zones`, by id.

    `lock_zone` is the id of the zone that holds the relays' lock, which they must also read;
    `policy_file` is the ARN of the MTA-STS policy that they serve. A batch of changes is allowed
    only if all of it is. Raises SettingsError if IAM would not take so long a policy.
    """
    conditions = {
        f"{_KEY}NormalizedRecordNames": sorted({name.lower() for name in names}),
        f"{_KEY}RecordTypes": ["TXT"],
        f"{_KEY}Actions": ["CREATE", "DELETE", "UPSERT"],
    }
    statements: list[dict[str, Any]] = [
        {
            "Sid": "Find",
            "Effect": "Allow",
            "Action": "route53:ListHostedZones",
            "Resource": "*",
        },
        {
            "Sid": "Wait",
            "Effect": "Allow",
            "Action": "route53:GetChange",
            "Resource": "arn:aws:route53:::change/*",
        },
        {
            "Sid": "Lock",
            "Effect": "Allow",
            "Action": "route53:ListResourceRecordSets",
            "Resource": zone_arn(lock_zone),
        },
        {
            "Sid": "Serve",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": policy_file,
        },
        {
            "Sid": "Prove",
            "Effect": "Allow",
            "Action": "route53:ChangeResourceRecordSets",
            "Resource": sorted({zone_arn(zone) for zone in zones}),
            # ForAllValues holds of a request without the key as well, which Null rules out (IAM
            # User Guide, "Multivalued context keys").
            "Condition": _all_of(conditions),
        },
    ]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(text) > POLICY_LIMIT:
        raise SettingsError(
            [
                f"environment.domains: a relay's rights to prove {len(names)} names in Route 53 "
                f"must be at most {POLICY_LIMIT} characters, got {len(text)}: use fewer domains"
            ]
        )
    return text


def zone_arn(zone: str) -> str:
    """The ARN of a hosted zone, by its id."""
    return f"arn:aws:route53:::hostedzone/{zone}"


def _all_of(conditions: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {
        "ForAllValues:StringEquals": dict(conditions),
        "Null": dict.fromkeys(conditions, "false"),
    }
