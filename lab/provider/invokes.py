"""Functions (data sources). Registry: aws.{getCallerIdentity,getRegion}, aws.ssm.getParameter, …"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.provider import images, lookups
from lab.provider.aws import Aws, ProviderError
from lab.provider.function import Function, filters
from lab.provider.values import Values


def _caller_identity(aws: Aws, _arguments: Values) -> Values:
    identity = aws.client("sts").get_caller_identity()
    return {
        "accountId": identity["Account"],
        "arn": identity["Arn"],
        "id": identity["Account"],
        "userId": identity["UserId"],
    }


def _region(aws: Aws, arguments: Values) -> Values:
    name = arguments.get("name") or arguments.get("region") or aws.region
    return {
        "description": name,
        "endpoint": f"ec2.{name}.amazonaws.com",
        "id": name,
        "name": name,
        "region": name,
    }


def _parameter(aws: Aws, arguments: Values) -> Values:
    decrypt = arguments.get("withDecryption", True)
    name = arguments["name"]
    try:
        found = aws.ssm.get_parameter(Name=name, WithDecryption=decrypt)["Parameter"]
    except aws.ssm.exceptions.ParameterNotFound as error:
        # In the provider's words, which name no code (internal/service/ssm/
        # parameter_data_source.go of terraform-provider-aws).
        raise ProviderError(f"reading SSM Parameter ({name}): couldn't find resource") from error
    insecure = found["Value"] if found["Type"] != "SecureString" else None
    return {
        "arn": found["ARN"],
        "id": found["Name"],
        "insecureValue": insecure,
        "name": found["Name"],
        "region": aws.region,
        "type": found["Type"],
        "value": found["Value"],
        "version": found["Version"],
        "withDecryption": decrypt,
    }


def _find_prefix_list(aws: Aws, identifier: str | None, arguments: Values) -> dict[str, Any]:
    request: dict[str, Any] = {"PrefixListIds": [identifier]} if identifier else {}
    wanted = filters(arguments)
    if "name" in arguments:
        wanted.append({"Name": "prefix-list-name", "Values": [arguments["name"]]})
    found = aws.ec2.describe_managed_prefix_lists(Filters=wanted, **request)["PrefixLists"]
    if len(found) != 1:
        raise ProviderError(f"{len(found)} prefix lists match {arguments}, need one")
    prefix_list = found[0]
    entries = aws.ec2.get_managed_prefix_list_entries(PrefixListId=prefix_list["PrefixListId"])
    return {**prefix_list, "Entries": entries["Entries"]}


def _prefix_list(aws: Aws, arguments: Values) -> Values:
    found = _find_prefix_list(aws, arguments.get("prefixListId"), arguments)
    return {
        "cidrBlocks": [entry["Cidr"] for entry in found["Entries"]],
        "id": found["PrefixListId"],
        "name": found["PrefixListName"],
        "prefixListId": found["PrefixListId"],
        "region": aws.region,
    }


def _managed_prefix_list(aws: Aws, arguments: Values) -> Values:
    found = _find_prefix_list(aws, arguments.get("id"), arguments)
    entries = [
        {"cidr": entry["Cidr"], "description": entry.get("Description", "")}
        for entry in found["Entries"]
    ]
    return {
        "addressFamily": found["AddressFamily"],
        "arn": found["PrefixListArn"],
        "entries": entries,
        "id": found["PrefixListId"],
        "maxEntries": found.get("MaxEntries", len(entries)),
        "name": found["PrefixListName"],
        "ownerId": found["OwnerId"],
        "region": aws.region,
        "tags": {},
        "version": found.get("Version", 1),
    }


FUNCTIONS: Mapping[str, Function] = {
    **images.FUNCTIONS,
    **lookups.FUNCTIONS,
    "aws:index/getCallerIdentity:getCallerIdentity": Function(
        arguments=("id",), call=_caller_identity
    ),
    "aws:index/getRegion:getRegion": Function(
        arguments=("endpoint", "id", "name", "region"), call=_region, anywhere=True
    ),
    "aws:ssm/getParameter:getParameter": Function(
        arguments=("name", "region", "withDecryption"),
        required=("name",),
        call=_parameter,
        secret=("value",),
    ),
    "aws:ec2/getPrefixList:getPrefixList": Function(
        arguments=("filters", "name", "prefixListId", "region"), call=_prefix_list
    ),
    "aws:ec2/getManagedPrefixList:getManagedPrefixList": Function(
        arguments=("filters", "id", "name", "region"), call=_managed_prefix_list
    ),
}
