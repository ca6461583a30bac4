"""AWS's default quotas that a mail system can meet ("Amazon VPC quotas", VPC User Guide).

They are per Region and adjustable: `GATEPOST_EMULATOR_QUOTAS=vpcs=20,elastic_ips=10` raises them
as a quota increase does in an account.
"""

from __future__ import annotations

import os

from moto.ec2.exceptions import EC2ClientError

DEFAULTS = {
    "elastic_ips": 5,
    "internet_gateways": 5,
    "nat_gateways_per_zone": 5,
    "peerings_per_vpc": 50,
    "rules_per_group_and_direction": 60,
    "vpcs": 5,
}
ERRORS = {
    "elastic_ips": "AddressLimitExceeded",
    "internet_gateways": "InternetGatewayLimitExceeded",
    "nat_gateways_per_zone": "NatGatewayLimitExceeded",
    "peerings_per_vpc": "VpcPeeringConnectionLimitExceeded",
    "rules_per_group_and_direction": "RulesPerSecurityGroupLimitExceeded",
    "vpcs": "VpcLimitExceeded",
}


def limit(name: str) -> int:
    """The quota in force. Raises ValueError for an unknown name in the environment."""
    quotas = dict(DEFAULTS)
    for setting in filter(None, os.environ.get("GATEPOST_EMULATOR_QUOTAS", "").split(",")):
        key, _, value = setting.partition("=")
        if key not in DEFAULTS:
            raise ValueError(f"unknown quota {key!r}, expected one of {', '.join(DEFAULTS)}")
        quotas[key] = int(value)
    return quotas[name]


def check(name: str, used: int, wanted: int = 1) -> None:
    """Raise AWS's error when `wanted` more would exceed the quota."""
    if used + wanted > limit(name):
        raise EC2ClientError(
            ERRORS[name],
            f"{used} of the quota of {limit(name)} {name.replace('_', ' ')} are in use; "
            "raise the quota or delete some.",
        )
