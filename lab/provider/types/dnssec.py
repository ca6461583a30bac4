"""Signed zones. Registry pages: aws/route53/{keysigningkey,hostedzonednssec}."""

from __future__ import annotations

import uuid
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws
from lab.provider.resource import Property, Resource
from lab.provider.values import Values

SIGNING, NOT_SIGNING = "SIGNING", "NOT_SIGNING"
ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"

OUTPUTS = {
    "digestAlgorithmMnemonic": "DigestAlgorithmMnemonic",
    "digestAlgorithmType": "DigestAlgorithmType",
    "digestValue": "DigestValue",
    "dnskeyRecord": "DNSKEYRecord",
    "dsRecord": "DSRecord",
    "flag": "Flag",
    "keyTag": "KeyTag",
    "publicKey": "PublicKey",
    "signingAlgorithmMnemonic": "SigningAlgorithmMnemonic",
    "signingAlgorithmType": "SigningAlgorithmType",
}
"""A key's outputs and their names in the API."""


def _create_key(aws: Aws, new: Values) -> str:
    aws.route53.create_key_signing_key(
        CallerReference=str(uuid.uuid4()),
        HostedZoneId=new["hostedZoneId"],
        KeyManagementServiceArn=new["keyManagementServiceArn"],
        Name=new["name"],
        Status=new["status"],
    )
    return f"{new['hostedZoneId']},{new['name']}"


def _read_key(aws: Aws, identifier: str, _state: Values) -> Values | None:
    zone, _, name = identifier.partition(",")
    for key in aws.route53.get_dnssec(HostedZoneId=zone)["KeySigningKeys"]:
        if key["Name"] == name:
            return {
                "hostedZoneId": zone,
                "keyManagementServiceArn": key["KmsArn"],
                "name": name,
                "status": key["Status"],
                **{output: key[field] for output, field in OUTPUTS.items()},
            }
    return None


def _update_key(aws: Aws, identifier: str, _old: Values, new: Values, _changed: set[str]) -> None:
    zone, _, name = identifier.partition(",")
    _set_status(aws, zone, name, new["status"])


def _set_status(aws: Aws, zone: str, name: str, status: str) -> None:
    route53 = aws.route53
    change = (
        route53.activate_key_signing_key if status == ACTIVE else route53.deactivate_key_signing_key
    )
    change(HostedZoneId=zone, Name=name)


def _delete_key(aws: Aws, identifier: str, state: Values) -> None:
    zone, _, name = identifier.partition(",")
    if state["status"] == ACTIVE:
        _set_status(aws, zone, name, INACTIVE)
    aws.route53.delete_key_signing_key(HostedZoneId=zone, Name=name)


KEY = Resource(
    token="aws:route53/keySigningKey:KeySigningKey",
    inputs={
        "hostedZoneId": Property(required=True, replaces=True),
        "keyManagementServiceArn": Property(required=True, replaces=True, check=checks.arn),
        "name": Property(required=True, replaces=True),
        "status": Property(default=ACTIVE, check=checks.one_of(ACTIVE, INACTIVE)),
    },
    outputs=tuple(OUTPUTS),
    create=_create_key,
    read=_read_key,
    update=_update_key,
    delete=_delete_key,
    named="name",
)


def _sign(aws: Aws, zone: str, status: str) -> None:
    route53 = aws.route53
    change = (
        route53.enable_hosted_zone_dnssec
        if status == SIGNING
        else route53.disable_hosted_zone_dnssec
    )
    change(HostedZoneId=zone)


def _create_signing(aws: Aws, new: Values) -> str:
    zone = new["hostedZoneId"]
    if _status(aws, zone) != new["signingStatus"]:
        _sign(aws, zone, new["signingStatus"])
    return zone


def _status(aws: Aws, zone: str) -> Any:
    return aws.route53.get_dnssec(HostedZoneId=zone)["Status"]["ServeSignature"]


def _read_signing(aws: Aws, identifier: str, _state: Values) -> Values | None:
    return {"hostedZoneId": identifier, "signingStatus": _status(aws, identifier)}


def _update_signing(aws: Aws, zone: str, _old: Values, new: Values, _changed: set[str]) -> None:
    _sign(aws, zone, new["signingStatus"])


def _delete_signing(aws: Aws, identifier: str, _state: Values) -> None:
    if _status(aws, identifier) == SIGNING:
        _sign(aws, identifier, NOT_SIGNING)


ZONE_SIGNING = Resource(
    token="aws:route53/hostedZoneDnsSec:HostedZoneDnsSec",
    inputs={
        "hostedZoneId": Property(required=True, replaces=True),
        "signingStatus": Property(default=SIGNING, check=checks.one_of(SIGNING, NOT_SIGNING)),
    },
    create=_create_signing,
    read=_read_signing,
    update=_update_signing,
    delete=_delete_signing,
)

TYPES = (KEY, ZONE_SIGNING)
