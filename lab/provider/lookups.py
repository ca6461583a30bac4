"""Functions that look for what there is, and what there may be.

Registry: aws.ec2.{getInstances,getEips,getVpcs}, aws.servicequotas.getServiceQuota.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.provider.aws import Aws
from lab.provider.function import Function, filters
from lab.provider.values import Values


def _tagged(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]


def _instances(aws: Aws, arguments: Values) -> Values:
    states = arguments.get("instanceStateNames") or ["running"]
    wanted = [
        {"Name": "instance-state-name", "Values": states},
        *_tagged(arguments.get("instanceTags", {})),
        *filters(arguments),
    ]
    pages = aws.ec2.get_paginator("describe_instances").paginate(Filters=wanted)
    found = [
        instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    return {
        "id": aws.region,
        "ids": [instance["InstanceId"] for instance in found],
        "instanceStateNames": arguments.get("instanceStateNames"),
        "instanceTags": arguments.get("instanceTags", {}),
        "ipv6Addresses": [],
        "privateIps": _present(found, "PrivateIpAddress"),
        "publicIps": _present(found, "PublicIpAddress"),
        "region": aws.region,
    }


def _present(items: list[dict[str, Any]], key: str) -> list[str]:
    return [item[key] for item in items if item.get(key)]


def _eips(aws: Aws, arguments: Values) -> Values:
    tags = arguments.get("tags", {})
    found = aws.ec2.describe_addresses(Filters=_tagged(tags) + filters(arguments))["Addresses"]
    return {
        "allocationIds": [address["AllocationId"] for address in found],
        "id": aws.region,
        "publicIps": [address["PublicIp"] for address in found],
        "region": aws.region,
        "tags": tags,
    }


def _vpcs(aws: Aws, arguments: Values) -> Values:
    tags = arguments.get("tags", {})
    wanted = _tagged(tags) + filters(arguments)
    pages = aws.ec2.get_paginator("describe_vpcs").paginate(Filters=wanted)
    return {
        "id": aws.region,
        "ids": [vpc["VpcId"] for page in pages for vpc in page["Vpcs"]],
        "region": aws.region,
        "tags": tags,
    }


def _service_quota(aws: Aws, arguments: Values) -> Values:
    asked = {"ServiceCode": arguments["serviceCode"], "QuotaCode": arguments["quotaCode"]}
    api = aws.client("service-quotas")
    quota = api.get_service_quota(**asked)["Quota"]
    default = api.get_aws_default_service_quota(**asked)["Quota"]
    return {
        "adjustable": quota["Adjustable"],
        "arn": quota["QuotaArn"],
        "defaultValue": default["Value"],
        "globalQuota": quota["GlobalQuota"],
        "id": quota["QuotaArn"],
        "quotaCode": quota["QuotaCode"],
        "quotaName": quota["QuotaName"],
        "region": aws.region,
        "serviceCode": quota["ServiceCode"],
        "serviceName": quota["ServiceName"],
        "usageMetrics": [],
        "value": quota["Value"],
    }


FUNCTIONS: Mapping[str, Function] = {
    "aws:ec2/getEips:getEips": Function(arguments=("filters", "region", "tags"), call=_eips),
    "aws:ec2/getInstances:getInstances": Function(
        arguments=("filters", "instanceStateNames", "instanceTags", "region"), call=_instances
    ),
    "aws:ec2/getVpcs:getVpcs": Function(arguments=("filters", "region", "tags"), call=_vpcs),
    "aws:servicequotas/getServiceQuota:getServiceQuota": Function(
        arguments=("quotaCode", "region", "serviceCode"),
        required=("quotaCode", "serviceCode"),
        call=_service_quota,
    ),
}
