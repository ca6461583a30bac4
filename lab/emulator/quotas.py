"""AWS's default quotas that a mail system can meet, in force and by Service Quotas' own API.

The values are the defaults of "Amazon VPC quotas", VPC User Guide; the codes are Service Quotas'.
They are per Region and adjustable: by RequestServiceQuotaIncrease, which is granted at once, or
from the start by `GATEPOST_EMULATOR_QUOTAS=vpcs=20,elastic_ips=10`, which may lower them too.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.ec2.exceptions import EC2ClientError
from moto.servicequotas.models import ServiceQuotasBackend
from moto.servicequotas.responses import ServiceQuotasResponse


@dataclass(frozen=True, kw_only=True)
class Quota:
    """`error` is the API's error code beyond the quota; None where the emulator does not count."""

    service: str = "vpc"
    code: str
    title: str
    default: int
    error: str | None = None


QUOTAS = {
    "attachments_per_transit_gateway": Quota(
        service="ec2",
        code="L-E0233F82",
        title="Attachments per transit gateway",
        default=5000,
        error="TransitGatewayAttachmentLimitExceeded",
    ),
    "customer_gateways": Quota(
        service="ec2",
        code="L-4FB7FF5D",
        title="Customer gateways per region",
        default=50,
        error="CustomerGatewayLimitExceeded",
    ),
    "elastic_ips": Quota(
        service="ec2",
        code="L-0263D0A3",
        title="EC2-VPC Elastic IPs",
        default=5,
        error="AddressLimitExceeded",
    ),
    "groups_per_interface": Quota(
        code="L-2AFB9258", title="Security groups per network interface", default=5
    ),
    "internet_gateways": Quota(
        code="L-A4707A72",
        title="Internet gateways per Region",
        default=5,
        error="InternetGatewayLimitExceeded",
    ),
    "nat_gateways_per_zone": Quota(
        code="L-FE5A380F",
        title="NAT gateways per Availability Zone",
        default=5,
        error="NatGatewayLimitExceeded",
    ),
    "peerings_per_vpc": Quota(
        code="L-7E9ECCDB",
        title="Active VPC peering connections per VPC",
        default=50,
        error="VpcPeeringConnectionLimitExceeded",
    ),
    "routes_per_table": Quota(code="L-93826ACB", title="Routes per route table", default=500),
    # The final entry, which denies, counts.
    "rules_per_acl_and_direction": Quota(
        code="L-2AEEBF1A",
        title="Rules per network ACL",
        default=20,
        error="NetworkAclEntryLimitExceeded",
    ),
    "rules_per_group_and_direction": Quota(
        code="L-0EA8095F",
        title="Inbound or outbound rules per security group",
        default=60,
        error="RulesPerSecurityGroupLimitExceeded",
    ),
    # A sum over instance types, which EC2 keeps by itself; told, but not counted here.
    "standard_vcpus": Quota(
        service="ec2",
        code="L-1216C47A",
        title="Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        default=5,
    ),
    "transit_gateways": Quota(
        service="ec2",
        code="L-A2478D36",
        title="Transit gateways per account",
        default=5,
        error="TransitGatewayLimitExceeded",
    ),
    "vpn_connections": Quota(
        service="ec2",
        code="L-3E6EC3A3",
        title="VPN connections per region",
        default=50,
        error="VpnConnectionLimitExceeded",
    ),
    "vpcs": Quota(code="L-F678F1CE", title="VPCs per Region", default=5, error="VpcLimitExceeded"),
}
DEFAULTS = {name: quota.default for name, quota in QUOTAS.items()}
IN_FORCE = DEFAULTS | {"standard_vcpus": 32}
"""Of an account whose owner has asked for as many vCPUs as three hosts with two each take."""
SERVICES = {
    "ec2": "Amazon Elastic Compute Cloud (Amazon EC2)",
    "vpc": "Amazon Virtual Private Cloud (Amazon VPC)",
}


_granted: dict[str, int] = {}
"""Quotas that were increased on request; an emulator serves one account and Region."""


def limit(name: str) -> int:
    """The quota in force. Raises ValueError for an unknown name in the environment."""
    if name in _granted:
        return _granted[name]
    quotas = dict(IN_FORCE)
    for setting in filter(None, os.environ.get("GATEPOST_EMULATOR_QUOTAS", "").split(",")):
        key, _, value = setting.partition("=")
        if key not in DEFAULTS:
            raise ValueError(f"unknown quota {key!r}, expected one of {', '.join(DEFAULTS)}")
        quotas[key] = int(value)
    return quotas[name]


def check(name: str, used: int, wanted: int = 1) -> None:
    """Raise AWS's error when `wanted` more would exceed the quota."""
    error = QUOTAS[name].error
    if error is None:
        raise ValueError(f"{name}: no error code is known for this quota")
    if used + wanted > limit(name):
        raise EC2ClientError(
            error,
            f"{used} of the quota of {limit(name)} {name.replace('_', ' ')} are in use; "
            "raise the quota or delete some.",
        )


def get_service_quota(moto: Any, self: Any, service_code: str, quota_code: str) -> dict[str, Any]:
    """moto knows defaults of VPC only, an older one of routes among them, and no increases."""
    name = _named(service_code, quota_code)
    if name is None:
        return moto(self, service_code, quota_code)
    return _described(self, name, limit(name))


def get_default_quota(_moto: Any, self: Any) -> str:
    """GetAWSDefaultServiceQuota, which moto lacks."""
    request = json.loads(self.body)
    service, code = request["ServiceCode"], request["QuotaCode"]
    name = _named(service, code)
    if name is None:
        return json.dumps({"Quota": self.backend.get_service_quota(service, code)})
    return json.dumps({"Quota": _described(self.backend, name, DEFAULTS[name])})


def request_increase(_moto: Any, self: Any) -> str:
    """RequestServiceQuotaIncrease, which moto lacks; AWS too grants a small one without a case."""
    request = json.loads(self.body)
    service, code = request["ServiceCode"], request["QuotaCode"]
    name = _named(service, code)
    if name is None:
        raise JsonRESTError("NoSuchResourceException", f"{service} has no adjustable quota {code}")
    wanted = int(request["DesiredValue"])
    if wanted <= limit(name):
        raise JsonRESTError(
            "IllegalArgumentException",
            f"desired value {wanted}: must be more than the current quota of {limit(name)}",
        )
    _granted[name] = wanted
    requested = {
        "DesiredValue": float(wanted),
        "Id": f"{code}-{wanted}",
        "QuotaCode": code,
        "QuotaName": QUOTAS[name].title,
        "ServiceCode": service,
        "ServiceName": SERVICES[service],
        "Status": "APPROVED",
    }
    return json.dumps({"RequestedQuota": requested})


def _named(service: str, code: str) -> str | None:
    found = (name for name, q in QUOTAS.items() if (q.service, q.code) == (service, code))
    return next(found, None)


def _described(backend: Any, name: str, value: int) -> dict[str, Any]:
    """The ServiceQuota object of the Service Quotas API."""
    quota = QUOTAS[name]
    owner = f"{backend.region_name}:{backend.account_id}"
    return {
        "Adjustable": True,
        "GlobalQuota": False,
        "QuotaArn": f"arn:aws:servicequotas:{owner}:{quota.service}/{quota.code}",
        "QuotaCode": quota.code,
        "QuotaName": quota.title,
        "ServiceCode": quota.service,
        "ServiceName": SERVICES[quota.service],
        "Unit": "None",
        "Value": float(value),
    }


CORRECTIONS = (
    (ServiceQuotasBackend, "get_service_quota", get_service_quota),
    (ServiceQuotasResponse, "get_aws_default_service_quota", get_default_quota),
    (ServiceQuotasResponse, "request_service_quota_increase", request_increase),
)
