"""DNSSEC in the emulator: refused as Route 53 refuses it, signed by keys that KMS really has."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import dns.dnssec
import dns.rdata
import pytest
from dns.rdtypes.ANY.DNSKEY import DNSKEY

from components.dnssec import key_policy
from lab.emulator.dnssec import SERVICE
from tests.lab.emulator.steps import refused

ACCOUNT = "123456789012"


@pytest.fixture
def route53(client: Callable[[str], Any]) -> Any:
    return client("route53")


@pytest.fixture
def kms(client: Callable[[str], Any], endpoint: str) -> Any:
    # The key must be in us-east-1, wherever the rest is.
    import boto3

    return boto3.client(
        "kms",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="x",
        aws_secret_access_key="y",
    )


def make_zone(route53: Any, name: str, **more: Any) -> str:
    made = route53.create_hosted_zone(Name=name, CallerReference=name, **more)
    return made["HostedZone"]["Id"].rpartition("/")[2]


def make_key(kms: Any, **changes: Any) -> str:
    request = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "Policy": key_policy(ACCOUNT)}
    return kms.create_key(**request | changes)["KeyMetadata"]["Arn"]


def make_signer(route53: Any, zone: str, arn: str, name: str = "first", **more: Any) -> Any:
    request = {"CallerReference": name, "Name": name, "Status": "ACTIVE"}
    return route53.create_key_signing_key(
        HostedZoneId=zone, KeyManagementServiceArn=arn, **request | more
    )["KeySigningKey"]


def test_the_ds_record_is_that_of_the_key_in_kms(route53: Any, kms: Any) -> None:
    zone, arn = make_zone(route53, "signed.test"), make_key(kms)
    made = make_signer(route53, zone, arn)
    assert route53.get_dnssec(HostedZoneId=zone)["Status"]["ServeSignature"] == "NOT_SIGNING"
    route53.enable_hosted_zone_dnssec(HostedZoneId=zone)
    told = route53.get_dnssec(HostedZoneId=zone)
    assert told["Status"]["ServeSignature"] == "SIGNING"
    (key,) = told["KeySigningKeys"]
    assert (key["Name"], key["KmsArn"], key["Status"]) == ("first", arn, "ACTIVE")
    assert key["DSRecord"] == made["DSRecord"]
    dnskey = dns.rdata.from_text("IN", "DNSKEY", key["DNSKEYRecord"])
    assert isinstance(dnskey, DNSKEY)
    ds = dns.rdata.from_text("IN", "DS", key["DSRecord"])
    assert dns.dnssec.make_ds("signed.test.", dnskey, "SHA256") == ds
    assert (key["Flag"], key["KeyTag"]) == (257, dns.dnssec.key_id(dnskey))
    public = kms.get_public_key(KeyId=arn)["PublicKey"]
    assert public.endswith(dnskey.key)


def test_a_key_that_route_53_cannot_sign_with_is_refused(
    route53: Any, kms: Any, client: Callable[[str], Any]
) -> None:
    zone = make_zone(route53, "keys.test")
    policy = json.loads(key_policy(ACCOUNT))
    without_grant = {**policy, "Statement": policy["Statement"][:2]}
    assert SERVICE not in json.dumps({**policy, "Statement": policy["Statement"][:1]})
    disabled = make_key(kms)
    kms.disable_key(KeyId=disabled.rpartition("/")[2])
    for arn in (
        make_key(kms, KeySpec="RSA_2048"),
        make_key(kms, KeySpec="SYMMETRIC_DEFAULT", KeyUsage="ENCRYPT_DECRYPT"),
        make_key(kms, Policy=json.dumps(without_grant)),
        disabled,
        make_key(client("kms")),
        "arn:aws:kms:us-east-1:123456789012:key/none",
    ):
        with refused("InvalidKMSArn"):
            make_signer(route53, zone, arn)


def test_names_and_numbers_of_keys_are_checked(route53: Any, kms: Any) -> None:
    zone, arn = make_zone(route53, "many.test"), make_key(kms)
    with refused("InvalidKeySigningKeyName"):
        make_signer(route53, zone, arn, "a-b")
    make_signer(route53, zone, arn)
    with refused("KeySigningKeyAlreadyExists"):
        make_signer(route53, zone, make_key(kms))
    with refused("InvalidArgument"):
        make_signer(route53, zone, arn, "second")
    make_signer(route53, zone, make_key(kms), "second")
    with refused("TooManyKeySigningKeys"):
        make_signer(route53, zone, make_key(kms), "third")
    private = make_zone(
        route53,
        "private.test",
        HostedZoneConfig={"PrivateZone": True},
        VPC={"VPCId": "vpc-1", "VPCRegion": "us-east-1"},
    )
    with refused("InvalidArgument"):
        make_signer(route53, private, arn)


def test_signing_is_ended_in_order(route53: Any, kms: Any) -> None:
    zone = make_zone(route53, "order.test")
    with refused("KeySigningKeyWithActiveStatusNotFound"):
        route53.enable_hosted_zone_dnssec(HostedZoneId=zone)
    with refused("DNSSECNotFound"):
        route53.disable_hosted_zone_dnssec(HostedZoneId=zone)
    key = {"HostedZoneId": zone, "Name": "first"}
    with refused("NoSuchKeySigningKey"):
        route53.deactivate_key_signing_key(**key)
    make_signer(route53, zone, make_key(kms))
    route53.enable_hosted_zone_dnssec(HostedZoneId=zone)
    with refused("KeySigningKeyInUse"):
        route53.deactivate_key_signing_key(**key)
    with refused("InvalidKeySigningKeyStatus"):
        route53.delete_key_signing_key(**key)
    with refused("HostedZoneNotEmpty"):
        route53.delete_hosted_zone(Id=zone)
    route53.disable_hosted_zone_dnssec(HostedZoneId=zone)
    route53.deactivate_key_signing_key(**key)
    route53.activate_key_signing_key(**key)
    route53.deactivate_key_signing_key(**key)
    route53.delete_key_signing_key(**key)
    assert route53.get_dnssec(HostedZoneId=zone)["KeySigningKeys"] == []
    route53.delete_hosted_zone(Id=zone)
