"""DNSSEC: the key by which Route 53 signs a stack's zones, and their signing."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pulumi_aws as aws
from pulumi import ComponentResource, Output, ResourceOptions

from components.keys import DELETION_DAYS
from components.tags import named

SERVICE = "dnssec-route53.amazonaws.com"


def key_policy(account: str) -> str:
    """Who may use the key: the account by IAM, Route 53 to sign the account's own zones.

    Route 53 Developer Guide, "KMS key permissions required for DNSSEC signing".
    """
    own_zones = {
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": "arn:aws:route53:::hostedzone/*"},
    }
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                },
                {
                    "Effect": "Allow",
                    "Principal": {"Service": SERVICE},
                    "Action": ["kms:DescribeKey", "kms:GetPublicKey", "kms:Sign"],
                    "Resource": "*",
                    "Condition": own_zones,
                },
                {
                    "Effect": "Allow",
                    "Principal": {"Service": SERVICE},
                    "Action": "kms:CreateGrant",
                    "Resource": "*",
                    "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
                },
            ],
        }
    )


class Signing(ComponentResource):
    """Signed zones; `ds` has the record of each that the registrar is to publish."""

    def __init__(
        self,
        name: str,
        *,
        zones: Mapping[str, aws.route53.Zone],
        account: str,
        protect: bool,
        opts: ResourceOptions,
    ) -> None:
        super().__init__("gatepost:dnssec:Signing", name, None, opts)
        key = aws.kms.Key(
            name,
            description=f"{name}: key-signing key",
            customer_master_key_spec="ECC_NIST_P256",
            key_usage="SIGN_VERIFY",
            policy=key_policy(account),
            deletion_window_in_days=DELETION_DAYS,
            tags=named(name),
            opts=ResourceOptions(parent=self, protect=protect),
        )
        self.ds: dict[str, Output[str]] = {}
        for domain, zone in zones.items():
            signer = aws.route53.KeySigningKey(
                f"{name}-{domain}",
                hosted_zone_id=zone.zone_id,
                key_management_service_arn=key.arn,
                name="gatepost",
                opts=ResourceOptions(parent=self),
            )
            aws.route53.HostedZoneDnsSec(
                f"{name}-{domain}",
                hosted_zone_id=zone.zone_id,
                opts=ResourceOptions(parent=self, depends_on=[signer]),
            )
            self.ds[domain] = signer.ds_record
        self.register_outputs({})
