"""What a call to Systems Manager's Parameter Store asks for, in IAM's terms.

Actions and resources follow "Actions, resources, and condition keys for AWS Systems Manager"
(Service Authorization Reference), decryption "AWS Systems Manager Parameter Store" (KMS Developer
Guide): who reads a SecureString under a key of the account's own also needs kms:Decrypt on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import boto3
from botocore.exceptions import ClientError

from lab.internet.call import Call, Caller, NotKnown, Permission, Refusal
from lab.internet.endpoints import ssm_names

_TARGET = "AmazonSSM."
"""The X-Amz-Target of the API's JSON protocol begins so."""
_NAMES_IN = {
    "GetParameter": "Name",
    "GetParameters": "Names",
    "GetParameterHistory": "Name",
    "GetParametersByPath": "Path",
    "PutParameter": "Name",
    "DeleteParameter": "Name",
    "DeleteParameters": "Names",
}
"""Where each action names its parameters; an action that is not here is not served."""
_OWN_KEY_ALIAS = "alias/aws/ssm"
"""The key that AWS keeps for Parameter Store: its policy lets everybody of the account use it
through Parameter Store ("AWS managed keys", KMS Developer Guide)."""
_SELECTOR = re.compile(r"(?<=[^:]):[^:]+$")
"""A version or label behind a name (SSM API reference, GetParameter)."""

KEYS = (
    "kms:viaservice",
    "kms:calleraccount",
    "kms:encryptioncontext:parameter_arn",
    "kms:encryptioncontextkeys",
)
"""Condition keys of KMS that reading a parameter carries, in lower case."""


class Ssm:
    """See `lab.internet.call.Service`; `emulator` is an URL."""

    def __init__(self, emulator: str, region: str) -> None:
        self._region = region
        session = boto3.Session(
            aws_access_key_id="lab", aws_secret_access_key="lab", region_name=region
        )
        self._ssm: Any = session.client("ssm", endpoint_url=emulator)
        self._kms: Any = session.client("kms", endpoint_url=emulator)

    def permissions(self, call: Call, caller: Caller) -> Sequence[Permission]:
        """The action on each parameter, and the use of each key that reading it takes.

        Raises:
            NotKnown: another action than those of parameters.
        """
        action, body = _parsed(call)
        given = body.get(_NAMES_IN[action], [])
        names = [given] if isinstance(given, str) else list(given)
        arns = {name: self._arn(name, caller.account) for name in names}
        permissions = [
            Permission(action=f"ssm:{action}", resource=arn) for arn in dict.fromkeys(arns.values())
        ]
        if action == "PutParameter" and body.get("Type") == "SecureString":
            raise NotKnown("SSM PutParameter of a SecureString: machines only read secrets here")
        if body.get("WithDecryption") is True:
            found = self._secure(action, names)
            permissions += [self._decrypt(name, key, caller) for name, key in found.items()]
        return permissions

    def absence(self, call: Call, caller: Caller) -> Permission | None:
        """Nothing is hidden: who may read a parameter is told that there is none."""

    def accepted(self, call: Call) -> None:
        """Nothing follows."""

    def refusal(self, refusal: Refusal) -> tuple[int, str, bytes]:
        """As the JSON protocol has it (SSM API reference, "Common errors")."""
        code = {
            "AccessDenied": "AccessDeniedException",
            "InvalidAccessKeyId": "UnrecognizedClientException",
        }.get(refusal.code, refusal.code)
        content = json.dumps({"__type": code, "message": refusal.message}).encode()
        return (
            max(400, refusal.status - refusal.status % 100),
            "application/x-amz-json-1.1",
            content,
        )

    def _arn(self, name: str, account: str) -> str:
        """A parameter's ARN has one slash before a name, also one that begins with a slash."""
        if name.startswith("arn:"):
            return _SELECTOR.sub("", name) if name.count(":") > 5 else name
        path = _SELECTOR.sub("", name).removeprefix("/")
        return f"arn:aws:ssm:{self._region}:{account}:parameter/{path}"

    def _secure(self, action: str, names: Sequence[str]) -> Mapping[str, str]:
        """The SecureString parameters that the call would decrypt, each with its key.

        What is not there is for the emulator to answer.
        """
        if action == "GetParametersByPath":
            filters = [{"Key": "Path", "Option": "Recursive", "Values": list(names)}]
        else:
            bare = [_SELECTOR.sub("", name).partition(":parameter")[2] or name for name in names]
            filters = [{"Key": "Name", "Option": "Equals", "Values": bare}]
        pages = self._ssm.get_paginator("describe_parameters").paginate(ParameterFilters=filters)
        return {
            item["Name"]: item["KeyId"]
            for page in pages
            for item in page["Parameters"]
            if item["Type"] == "SecureString" and item["KeyId"] != _OWN_KEY_ALIAS
        }

    def _decrypt(self, name: str, key: str, caller: Caller) -> Permission:
        parameter = self._arn(name, caller.account)
        return Permission(
            action="kms:Decrypt",
            resource=self._key_arn(key),
            context={
                "kms:viaservice": list(ssm_names(self._region)),
                "kms:calleraccount": [caller.account],
                "kms:encryptioncontext:parameter_arn": [parameter],
                "kms:encryptioncontextkeys": ["PARAMETER_ARN"],
            },
        )

    def _key_arn(self, key: str) -> str:
        try:
            return self._kms.describe_key(KeyId=key)["KeyMetadata"]["Arn"]
        except ClientError as error:
            raise Refusal(400, "InvalidKeyId", f"key {key}: {error}") from error


def _parsed(call: Call) -> tuple[str, Mapping[str, Any]]:
    target = {k.lower(): v for k, v in call.headers.items()}.get("x-amz-target", "")
    action = target.removeprefix(_TARGET)
    if not target.startswith(_TARGET) or action not in _NAMES_IN:
        raise NotKnown(f"SSM {target or call.target}: served are {', '.join(_NAMES_IN)}")
    try:
        body = json.loads(call.body or b"{}")
    except ValueError as error:
        raise Refusal(400, "SerializationException", f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise Refusal(400, "SerializationException", "the body is no JSON object")
    return action, body
