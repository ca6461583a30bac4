"""Systems Manager parameters. Registry page: aws/ssm/parameter."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, tag_list, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS
from lab.provider.values import Values

SETTINGS = {
    "allowedPattern": "AllowedPattern",
    "dataType": "DataType",
    "description": "Description",
    "keyId": "KeyId",
    "name": "Name",
    "tier": "Tier",
    "type": "Type",
}
STANDARD_LIMIT = 4096
"""Bytes of a value in the standard tier ("Managing parameter tiers", Systems Manager guide)."""


def _request(new: Values) -> dict[str, Any]:
    request = {p: new[name] for name, p in SETTINGS.items() if name in new}
    return {**request, "Value": new.get("value", new.get("insecureValue"))}


def _create(aws: Aws, new: Values) -> str:
    # API reference, PutParameter: tags and Overwrite exclude each other.
    aws.ssm.put_parameter(**_request(new), Overwrite=False, Tags=tag_list(new.get("tags")))
    return new["name"]


def _read(aws: Aws, identifier: str, state: Values) -> Values | None:
    found = aws.ssm.get_parameter(Name=identifier, WithDecryption=True)["Parameter"]
    only = [{"Key": "Name", "Option": "Equals", "Values": [identifier]}]
    described = aws.ssm.describe_parameters(ParameterFilters=only)["Parameters"][0]
    tags = aws.ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=identifier)
    value = {"value": found["Value"]}
    if "insecureValue" in state:
        value["insecureValue"] = found["Value"]
    return {
        **value,
        "allowedPattern": described.get("AllowedPattern"),
        "arn": found["ARN"],
        "dataType": found.get("DataType"),
        "description": described.get("Description"),
        "keyId": described.get("KeyId"),
        "tags": tag_map(tags.get("TagList")),
        "tier": described.get("Tier"),
        "type": found["Type"],
        "version": found["Version"],
    }


def _update(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if changed - {"tags"}:
        aws.ssm.put_parameter(**_request(new), Overwrite=True)
    before, after = old.get("tags") or {}, new.get("tags") or {}
    where = {"ResourceType": "Parameter", "ResourceId": identifier}
    if gone := [key for key in before if key not in after]:
        aws.ssm.remove_tags_from_resource(TagKeys=gone, **where)
    if after:
        aws.ssm.add_tags_to_resource(Tags=tag_list(after), **where)


def _rules(new: Values) -> Iterable[str]:
    given = [name for name in ("value", "insecureValue") if name in new]
    if len(given) != 1:
        yield f"exactly one of value and insecureValue is needed, got {len(given)}"
        return
    if new.get("type") == "SecureString" and given == ["insecureValue"]:
        yield "a SecureString takes value, not insecureValue"
    size = len(str(new[given[0]]).encode())
    if new.get("tier", "Standard") == "Standard" and size > STANDARD_LIMIT:
        yield f"a standard parameter holds {STANDARD_LIMIT} bytes, {given[0]} has {size}"


def _json_or_text(value: Any) -> Any:
    """The real provider compares values that are JSON as JSON."""
    try:
        return json.dumps(json.loads(value), sort_keys=True)
    except ValueError:
        return value


PARAMETER = Resource(
    token="aws:ssm/parameter:Parameter",
    named="name",
    inputs={
        "allowedPattern": Property(),
        "dataType": Property(computed=True),
        "description": Property(),
        "insecureValue": Property(computed=True),
        "keyId": Property(computed=True),
        "name": Property(computed=True, replaces=True),
        "tags": TAGS,
        "tier": Property(computed=True),
        "type": Property(
            required=True, check=checks.one_of("String", "StringList", "SecureString")
        ),
        "value": Property(computed=True, secret=True),
    },
    outputs=("arn", "version"),
    create=_create,
    read=_read,
    update=_update,
    delete=lambda aws, identifier, _state: aws.ssm.delete_parameter(Name=identifier),
    check=_rules,
)

TYPES = (PARAMETER,)
