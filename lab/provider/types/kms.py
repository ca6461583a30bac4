"""KMS keys and their aliases. Registry pages: aws/kms/key, aws/kms/alias."""

from __future__ import annotations

from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS
from lab.provider.values import Values

POLICY_NAME = "default"
"""The only name that a key policy can have (API reference, GetKeyPolicy)."""
WINDOW = (7, 30)
"""Days that a deleted key may wait for its end (API reference, ScheduleKeyDeletion)."""
RESERVED = "alias/aws/"
"""Aliases of AWS's own keys begin so (API reference, CreateAlias)."""


def _tag_list(tags: Values) -> list[dict[str, str]]:
    return [{"TagKey": key, "TagValue": value} for key, value in tags.items()]


def _create_key(aws: Aws, new: Values) -> str:
    request: dict[str, Any] = {
        "KeySpec": new["customerMasterKeySpec"],
        "KeyUsage": new["keyUsage"],
        "Tags": _tag_list(new.get("tags") or {}),
    }
    for name, parameter in (("description", "Description"), ("policy", "Policy")):
        if name in new:
            request[parameter] = new[name]
    return aws.kms.create_key(**request)["KeyMetadata"]["KeyId"]


def _settle_key(aws: Aws, identifier: str, new: Values) -> None:
    if new["enableKeyRotation"]:
        _set_rotation(aws, identifier, new)
    if not new["isEnabled"]:
        aws.kms.disable_key(KeyId=identifier)


def _set_rotation(aws: Aws, identifier: str, new: Values) -> None:
    kms = aws.kms
    change = kms.enable_key_rotation if new["enableKeyRotation"] else kms.disable_key_rotation
    change(KeyId=identifier)


def _read_key(aws: Aws, identifier: str, _state: Values) -> Values | None:
    key = aws.kms.describe_key(KeyId=identifier)["KeyMetadata"]
    if key["KeyState"] == "PendingDeletion":
        return None
    tags = aws.kms.list_resource_tags(KeyId=identifier)["Tags"]
    policy = aws.kms.get_key_policy(KeyId=identifier, PolicyName=POLICY_NAME)
    rotation = aws.kms.get_key_rotation_status(KeyId=identifier)
    return {
        "arn": key["Arn"],
        "customerMasterKeySpec": key["KeySpec"],
        "description": key["Description"],
        "enableKeyRotation": rotation["KeyRotationEnabled"],
        "isEnabled": key["Enabled"],
        "keyId": key["KeyId"],
        "keyUsage": key["KeyUsage"],
        "policy": policy["Policy"],
        "tags": {tag["TagKey"]: tag["TagValue"] for tag in tags},
    }


def _update_key(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if "isEnabled" in changed and new["isEnabled"]:
        # First of all: a disabled key's rotation cannot be changed.
        aws.kms.enable_key(KeyId=identifier)
    if "description" in changed:
        description = new.get("description", "")
        aws.kms.update_key_description(KeyId=identifier, Description=description)
    if "policy" in changed:
        aws.kms.put_key_policy(KeyId=identifier, PolicyName=POLICY_NAME, Policy=new["policy"])
    if "enableKeyRotation" in changed:
        _set_rotation(aws, identifier, new)
    if "isEnabled" in changed and not new["isEnabled"]:
        aws.kms.disable_key(KeyId=identifier)
    _retag(aws, identifier, old.get("tags") or {}, new.get("tags") or {})


def _retag(aws: Aws, identifier: str, before: Values, after: Values) -> None:
    if gone := [name for name in before if name not in after]:
        aws.kms.untag_resource(KeyId=identifier, TagKeys=gone)
    if after:
        aws.kms.tag_resource(KeyId=identifier, Tags=_tag_list(after))


def _delete_key(aws: Aws, identifier: str, state: Values) -> None:
    # API reference, ScheduleKeyDeletion: without a window the longest applies.
    window = state.get("deletionWindowInDays", WINDOW[1])
    aws.kms.schedule_key_deletion(KeyId=identifier, PendingWindowInDays=window)


KEY = Resource(
    token="aws:kms/key:Key",
    inputs={
        "customerMasterKeySpec": Property(default="SYMMETRIC_DEFAULT", replaces=True),
        "deletionWindowInDays": Property(check=checks.between(*WINDOW)),
        "description": Property(computed=True),
        "enableKeyRotation": Property(default=False),
        "isEnabled": Property(default=True),
        "keyUsage": Property(default="ENCRYPT_DECRYPT", replaces=True),
        "policy": Property(computed=True, check=checks.policy, normal=checks.same_json),
        "tags": TAGS,
    },
    outputs=("arn", "keyId"),
    create=_create_key,
    settle=_settle_key,
    read=_read_key,
    update=_update_key,
    delete=_delete_key,
)


def _alias_name(value: Any) -> str | None:
    """ "Aliases", KMS Developer Guide."""
    if not value.startswith("alias/") or value.startswith(RESERVED):
        return f"{value!r} must begin with alias/, and not with {RESERVED}"
    return None


def _create_alias(aws: Aws, new: Values) -> str:
    aws.kms.create_alias(AliasName=new["name"], TargetKeyId=new["targetKeyId"])
    return new["name"]


def _read_alias(aws: Aws, identifier: str, _state: Values) -> Values | None:
    for page in aws.kms.get_paginator("list_aliases").paginate():
        for alias in page["Aliases"]:
            if alias["AliasName"] == identifier:
                return {
                    "arn": alias["AliasArn"],
                    "name": identifier,
                    "targetKeyArn": aws.arn("kms", f"key/{alias['TargetKeyId']}"),
                    "targetKeyId": alias["TargetKeyId"],
                }
    return None


def _update_alias(aws: Aws, identifier: str, _old: Values, new: Values, _changed: set[str]) -> None:
    aws.kms.update_alias(AliasName=identifier, TargetKeyId=new["targetKeyId"])


ALIAS = Resource(
    token="aws:kms/alias:Alias",
    inputs={
        "name": Property(required=True, replaces=True, check=_alias_name),
        # The key's id or its ARN: both name the same key.
        "targetKeyId": Property(required=True, normal=lambda value: value.rpartition("/")[2]),
    },
    outputs=("arn", "targetKeyArn"),
    create=_create_alias,
    read=_read_alias,
    update=_update_alias,
    delete=lambda aws, identifier, _state: aws.kms.delete_alias(AliasName=identifier),
)

TYPES = (KEY, ALIAS)
