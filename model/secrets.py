"""Where secrets are: parameters of Systems Manager, under a path for each stack and role.

The program makes the key that encrypts them and says who may read them; an administrator stores
them (`gatepost secret put`), so that they are in no file, no state and no user data.
"""

from __future__ import annotations

import json
import re

from model.flows import HUB
from model.outbound import SMARTHOST
from model.settings import Environment

LOGIN = re.compile(r"[!-9;-~]+:[!-~]([ -~]*[!-~])?")
"""user:password in printable ASCII, without a space at its ends; `:` ends the user (postconf(5),
smtp_sasl_password_maps). The machine looks again."""


def path(stack: str, role: str) -> str:
    """The path of all secrets of a role; the role reads nothing else."""
    return f"/gatepost/{stack}/{role}"


def parameter(stack: str, role: str, name: str) -> str:
    """The name of a secret's parameter."""
    return f"{path(stack, role)}/{name}"


def key_name(stack: str) -> str:
    """The name of the key of all secrets of a stack, whose alias it is as well."""
    return f"gatepost-{stack}-secrets"


def secrets(settings: Environment) -> dict[str, str]:
    """Which secrets the settings name, each with the role that reads it.

    A smarthost's may be stored before the mode is changed, so that no mail has to wait for it.
    """
    return {settings.smarthost.secret: HUB} if settings.smarthost else {}


def login(stack: str, settings: Environment) -> str:
    """The parameter of the smarthost's login, if the hub needs it; else empty."""
    if settings.outbound != SMARTHOST or not settings.smarthost:
        return ""
    return parameter(stack, HUB, settings.smarthost.secret)


def reader_policy(stack: str, role: str, *, region: str, account: str, key: str) -> str:
    """A policy that lets a role read its secrets by Systems Manager, and use `key` for that alone.

    `key` is an ARN. Parameter Store names a parameter's ARN in the encryption context (KMS
    Developer Guide, "How AWS Systems Manager Parameter Store uses AWS KMS").
    """
    arn = f"arn:aws:ssm:{region}:{account}:parameter{path(stack, role)}/*"
    statements = [
        {"Sid": "Read", "Effect": "Allow", "Action": "ssm:GetParameter", "Resource": arn},
        {
            "Sid": "Decrypt",
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": key,
            "Condition": {
                "StringEquals": {"kms:ViaService": f"ssm.{region}.amazonaws.com"},
                "StringLike": {"kms:EncryptionContext:PARAMETER_ARN": arn},
            },
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})
