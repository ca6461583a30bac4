"""Inputs that the provider refuses while the engine still plans, and diffs of the table."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pulumi.provider.experimental import provider as protocol

from lab.provider import resource, values
from lab.provider.aws import ProviderError
from lab.provider.plugin import AwsProvider
from lab.provider.registry import RESOURCES
from lab.provider.values import UNKNOWN

URN = "urn:pulumi:dev::gatepost::gatepost:Hub$%s::name"
RULE = {"securityGroupId": "sg-1", "ipProtocol": "tcp", "fromPort": 25, "toPort": 25}
INSTANCE = {"ami": "ami-1", "instanceType": "t4g.nano", "subnetId": "subnet-1"}
BAD_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Maybe"}]})


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> AwsProvider:
    """A configured provider; no test here lets it reach its endpoint."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    made = AwsProvider("7.0.0")
    tags = json.dumps({"tags": {"project": "gatepost"}})
    arguments = values.wrapped({"region": "ap-northeast-1", "defaultTags": tags})
    asyncio.run(made.configure(protocol.ConfigureRequest({}, arguments, True, True)))
    return made


def check(provider: AwsProvider, token: str, **inputs: Any) -> protocol.CheckResponse:
    request = protocol.CheckRequest(URN % token, {}, values.wrapped(inputs), b"\x01\x02\x03\x04")
    return asyncio.run(provider.check(request))


def diff(provider: AwsProvider, token: str, old: Any, new: Any) -> protocol.DiffResponse:
    request = protocol.DiffRequest(
        URN % token, "id", values.wrapped(old), values.wrapped(new), ignore_changes=[]
    )
    return asyncio.run(provider.diff(request))


VPC = "aws:ec2/vpc:Vpc"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
MACHINE = "aws:ec2/instance:Instance"
ACL = "aws:ec2/networkAcl:NetworkAcl"
ACL_RULE = "aws:ec2/networkAclRule:NetworkAclRule"
ENTRY = {
    "networkAclId": "acl-1",
    "ruleNumber": 100,
    "protocol": "tcp",
    "ruleAction": "allow",
    "cidrBlock": "10.0.0.0/8",
    "fromPort": 25,
    "toPort": 25,
}
NO_PORTS = {"fromPort": None, "toPort": None}
VOLUME = "aws:ebs/volume:Volume"
KEY_ARN = "arn:aws:kms:ap-northeast-1:123456789012:key/k"
DISK = {"availabilityZone": "ap-northeast-1a", "size": 1, "encrypted": True}


@pytest.mark.parametrize(
    ("token", "inputs", "words"),
    [
        (VPC, {"cidrBlock": "10.0.0.0/16", "ipamPool": "x"}, "support the property ipamPool"),
        (VPC, {}, "missing required property cidrBlock"),
        (VPC, {"cidrBlock": "10.0.0.1/16"}, "has host bits set"),
        (VPC, {"cidrBlock": "10.0.0.0/8"}, "between /16 and /28"),
        (VPC, {"cidrBlock": "10.0.0.0/16", "region": "eu-west-1"}, "one Region, ap-northeast-1"),
        (VPC, {"cidrBlock": "10.0.0.0/16", "tags": {"aws:x": "y"}}, "not aws:"),
        ("aws:ec2/routeTable:RouteTable", {"vpcId": "v", "routes": []}, "inline routes"),
        (GROUP, {"egress": []}, "SecurityGroupEgressRule"),
        (GROUP, {"description": "mail → hub"}, "characters that EC2 refuses: →"),
        (GROUP, {"description": "x" * 256}, "may have 255 characters, has 256"),
        (GROUP, {"name": "sg-mine"}, "must not begin with sg-"),
        (INGRESS, {**RULE, "toPort": None, "cidrIpv4": "10.0.0.0/8"}, "both fromPort and toPort"),
        (INGRESS, {**RULE, "toPort": 24, "cidrIpv4": "10.0.0.0/8"}, "25 is greater than toPort 24"),
        (INGRESS, {**RULE, "ipProtocol": "-1", "cidrIpv4": "10.0.0.0/8"}, "leave fromPort"),
        (INGRESS, RULE, "got none"),
        (INGRESS, {**RULE, "cidrIpv4": "10.0.0.0/8", "prefixListId": "pl-1"}, "exactly one of"),
        (INGRESS, {**RULE, "cidrIpv4": "10.0.0.1/8"}, "has host bits set"),
        (INGRESS, {**RULE, "fromPort": 70000, "cidrIpv4": "10.0.0.0/8"}, "got 70000"),
        (ACL, {"vpcId": "v", "ingress": []}, "one aws.ec2.NetworkAclRule for each rule"),
        (ACL, {"vpcId": "v", "subnetIds": ["s"]}, "aws.ec2.NetworkAclAssociation"),
        (ACL_RULE, {**ENTRY, "ruleNumber": 32767}, "between 1 and 32766, got 32767"),
        (ACL_RULE, {**ENTRY, "ruleAction": "permit"}, "must be one of ('allow', 'deny')"),
        (ACL_RULE, {**ENTRY, "protocol": "smtp"}, "'smtp' is neither a protocol number"),
        (ACL_RULE, {**ENTRY, "toPort": None}, "protocol tcp needs fromPort and toPort"),
        (ACL_RULE, {**ENTRY, "toPort": 24}, "fromPort 25 is greater than toPort 24"),
        (ACL_RULE, {**ENTRY, "protocol": "-1"}, "fromPort and toPort are for tcp and udp only"),
        (ACL_RULE, {**ENTRY, "icmpType": 3}, "icmpType are for icmp only"),
        (ACL_RULE, {**ENTRY, **NO_PORTS, "protocol": "icmp"}, "needs icmpType and icmpCode"),
        (ACL_RULE, {**ENTRY, "cidrBlock": None}, "exactly one of cidrBlock, ipv6CidrBlock"),
        (ACL_RULE, {**ENTRY, "cidrBlock": "10.0.0.1/8"}, "has host bits set"),
        (MACHINE, {**INSTANCE, "rootBlockDevice": {"x": 1}}, "rootBlockDevice.x"),
        (MACHINE, {**INSTANCE, "metadataOptions": {"httpTokens": "no"}}, "httpTokens: must be one"),
        (
            MACHINE,
            {**INSTANCE, "metadataOptions": {"httpEndpoint": "disabled"}},
            'httpEndpoint: the lab knows "enabled" only, got "disabled"',
        ),
        (
            MACHINE,
            {**INSTANCE, "primaryNetworkInterface": {"deleteOnTermination": True}},
            "the lab keeps an interface of its own",
        ),
        (MACHINE, {**INSTANCE, "rootBlockDevice": {"iops": 3000}}, "no speed of its own"),
        (MACHINE, {**INSTANCE, "rootBlockDevice": {"throughput": 125}}, "no speed of its own"),
        (
            MACHINE,
            {**INSTANCE, "rootBlockDevice": {"deleteOnTermination": False}},
            "root volumes go with a machine",
        ),
        (
            "aws:ec2/vpc:Vpc",
            {"cidrBlock": "10.0.0.0/16", "enableDnsSupport": False},
            "enableDnsSupport: the lab knows true only, got false",
        ),
        (MACHINE, {**INSTANCE, "userData": "x" * 16385}, "16384 bytes, got 16385"),
        (MACHINE, {**INSTANCE, "userDataBase64": "%"}, "is not base64"),
        (MACHINE, {**INSTANCE, "volumeTags": {}}, "use rootBlockDevice.tags"),
        (VOLUME, {**DISK, "kmsKeyId": "alias/disks"}, "'alias/disks' is not an ARN"),
        (VOLUME, {**DISK, "encrypted": False, "kmsKeyId": KEY_ARN}, "needs encrypted"),
        ("aws:kms/key:Key", {"deletionWindowInDays": 6}, "between 7 and 30, got 6"),
        ("aws:kms/alias:Alias", {"name": "disks", "targetKeyId": "k"}, "must begin with alias/"),
        ("aws:iam/role:Role", {"assumeRolePolicy": "{"}, "is not JSON"),
        (
            "aws:iam/rolePolicy:RolePolicy",
            {"role": "r", "policy": BAD_POLICY},
            "Effect must be Allow or Deny, got 'Maybe'",
        ),
        ("aws:s3/bucket:Bucket", {"bucket": "Mail_Store"}, "is not a bucket name"),
        (
            "aws:ec2/route:Route",
            {"routeTableId": "rtb-1", "destinationCidrBlock": "0.0.0.0/0"},
            "exactly one of gatewayId",
        ),
        (
            "aws:ssm/parameter:Parameter",
            {"type": "String", "value": "x" * 4097},
            "holds 4096 bytes, value has 4097",
        ),
    ],
)
def test_wrong_inputs_are_named(
    provider: AwsProvider, token: str, inputs: dict[str, Any], words: str
) -> None:
    failures = check(provider, token, **inputs).failures or []
    assert any(words in failure.reason for failure in failures), [f.reason for f in failures]


def test_unknown_values_are_not_judged(provider: AwsProvider) -> None:
    inputs = {"cidrBlock": UNKNOWN, "tags": {"Name": UNKNOWN}}
    assert not check(provider, VPC, **inputs).failures
    unknown_rule = {**RULE, "securityGroupId": UNKNOWN, "referencedSecurityGroupId": UNKNOWN}
    assert not check(provider, INGRESS, **unknown_rule).failures


def test_unknown_types_and_functions_are_errors(provider: AwsProvider) -> None:
    with pytest.raises(ProviderError, match="aws:sqs/queue:Queue"):
        check(provider, "aws:sqs/queue:Queue")
    token = "aws:index/getPartition:getPartition"
    with pytest.raises(ProviderError, match=token):
        asyncio.run(provider.invoke(protocol.InvokeRequest(token, {})))


EIPS = "aws:ec2/getEips:getEips"
QUOTA = "aws:servicequotas/getServiceQuota:getServiceQuota"


@pytest.mark.parametrize(
    ("token", "arguments", "words"),
    [
        (EIPS, {"publicIp": "x"}, "the argument publicIp is not supported"),
        (EIPS, {"region": "eu-west-1"}, "the lab has one Region, ap-northeast-1, got eu-west-1"),
        (QUOTA, {"serviceCode": "vpc"}, "the argument quotaCode is missing"),
        (QUOTA, {"serviceCode": "vpc", "quotaName": "x"}, "quotaName is not supported"),
    ],
)
def test_wrong_arguments_of_functions_are_named(
    provider: AwsProvider, token: str, arguments: dict[str, str], words: str
) -> None:
    with pytest.raises(ProviderError, match=words):
        asyncio.run(provider.invoke(protocol.InvokeRequest(token, values.wrapped(arguments))))


def test_unknown_configuration_is_an_error(provider: AwsProvider) -> None:
    inputs = values.wrapped({"region": "ap-northeast-1", "insecure": "true"})
    request = protocol.CheckRequest("urn", {}, inputs, b"")
    failures = asyncio.run(provider.check_config(request)).failures or []
    assert [failure.property for failure in failures] == ["insecure"]


def test_default_tags_yield_to_the_resources_own(provider: AwsProvider) -> None:
    tags = {"Name": "v", "project": "other"}
    checked = check(provider, VPC, cidrBlock="10.0.0.0/16", tags=tags).inputs or {}
    assert values.plain(checked)["tags"] == {"Name": "v", "project": "other"}
    checked = check(provider, VPC, cidrBlock="10.0.0.0/16").inputs or {}
    assert values.plain(checked)["tags"] == {"project": "gatepost"}


def test_generated_names_stay(provider: AwsProvider) -> None:
    first = check(provider, GROUP, vpcId="vpc-1").inputs or {}
    name = values.plain(first)["name"]
    assert name == "name-0102030"
    request = protocol.CheckRequest(
        URN % GROUP, first, values.wrapped({"vpcId": "vpc-1"}), b"\xff\xff\xff\xff"
    )
    again = asyncio.run(provider.check(request)).inputs or {}
    assert values.plain(again)["name"] == name


@pytest.mark.parametrize(
    ("old", "new", "replaced", "changed"),
    [
        ({}, {}, [], []),
        ({"privateIp": "10.0.0.4"}, {}, [], []),
        ({"privateIp": "10.0.0.4"}, {"privateIp": "10.0.0.5"}, ["privateIp"], ["privateIp"]),
        ({"userData": "a"}, {"userData": "b"}, [], ["userData"]),
        (
            {"userData": "a", "userDataReplaceOnChange": True},
            {"userData": "b", "userDataReplaceOnChange": True},
            ["userData"],
            ["userData"],
        ),
        ({"vpcSecurityGroupIds": ["a", "b"]}, {"vpcSecurityGroupIds": ["b", "a"]}, [], []),
        ({"sourceDestCheck": False}, {}, [], ["sourceDestCheck"]),
        (
            {"rootBlockDevice": {"encrypted": True, "volumeSize": 8}},
            {"rootBlockDevice": {"volumeSize": 9}},
            [],
            ["rootBlockDevice"],
        ),
        (
            {"rootBlockDevice": {"encrypted": True}},
            {"rootBlockDevice": {"encrypted": False}},
            ["rootBlockDevice"],
            ["rootBlockDevice"],
        ),
        ({"ami": "ami-1"}, {"ami": UNKNOWN}, ["ami"], ["ami"]),
    ],
)
def test_diffs_of_an_instance(
    provider: AwsProvider, old: Any, new: Any, replaced: list[str], changed: list[str]
) -> None:
    state = {"sourceDestCheck": True, **INSTANCE, **old}
    found = diff(provider, MACHINE, state, {**INSTANCE, **new})
    assert (found.replaces, found.diffs) == (replaced, changed)
    assert found.changes is bool(changed)


@pytest.mark.parametrize("name", ["transitGatewayId", "tunnel1IkeVersions", "tunnel2IkeVersions"])
def test_what_the_lab_cannot_change_of_a_vpn_is_no_quiet_update(name: str) -> None:
    update = RESOURCES["aws:ec2/vpnConnection:VpnConnection"].update
    assert update is not None
    no_account: Any = None
    with pytest.raises(ProviderError, match=f"vpn-1: the lab cannot change {name} of a VPN"):
        update(no_account, "vpn-1", {name: "old"}, {name: "new"}, {name})


def test_a_policy_is_compared_as_json(provider: AwsProvider) -> None:
    old = {"bucket": "b", "policy": '{"Statement": [], "Version": "2012-10-17"}'}
    new = {"bucket": "b", "policy": '{"Version":"2012-10-17","Statement":[]}'}
    found = diff(provider, "aws:s3/bucketPolicy:BucketPolicy", old, new)
    assert found.changes is False


def test_the_table_is_sound() -> None:
    """Every type that has changeable inputs can be updated, and names its outputs apart."""
    for token, known in RESOURCES.items():
        changeable = [n for n, p in known.inputs.items() if not (p.replaces or p.refused)]
        quiet = {n for n in changeable if known.inputs[n].computed and n == "timeouts"}
        if set(changeable) - quiet:
            assert known.update is not None, f"{token} cannot update {changeable}"
        assert not set(known.outputs) & set(known.inputs), token
        assert known.named is None or known.named in known.inputs, token


def test_values_survive_the_protocol() -> None:
    given = {"text": "a", "number": 3, "flag": False, "list": [1, {"x": "y"}], "none": None}
    wrapped = values.wrapped(given, {"text"})
    assert values.secret_keys(wrapped) == {"text"}
    assert values.plain(wrapped) == {k: v for k, v in given.items() if v is not None}
    assert values.has_unknown({"a": [{"b": UNKNOWN}]})


def test_what_did_not_change_keeps_its_order() -> None:
    inputs = {"ids": resource.Property(unordered=True)}
    assert resource.settled(inputs, {"ids": ["b", "a"]}, {"ids": ["a", "b"]}) == {"ids": ["b", "a"]}
    assert resource.settled(inputs, {"ids": ["b"]}, {"ids": None}) == {}
