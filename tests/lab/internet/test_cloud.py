"""S3 and STS as a machine meets them: DNS, TLS, and the account's policies."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from lab.internet.plan import CLOUD
from lab.network.names import aws_address
from tests.lab.internet.small_internet import ACCOUNT, REGION, VPC, SmallInternet, policy

BUCKET = "gatepost-config"
READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/relay/*"}
LIST = {
    "Effect": "Allow",
    "Action": "s3:ListBucket",
    "Resource": f"arn:aws:s3:::{BUCKET}",
    "Condition": {"StringLike": {"s3:prefix": "relay/*"}},
}
TLS_ONLY = {
    "Effect": "Deny",
    "Principal": "*",
    "Action": "s3:*",
    "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
    "Condition": {"Bool": {"aws:SecureTransport": "false"}},
}

PREAMBLE = """
import boto3, json
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
def attempt(call, **arguments):
    try:
        return call(**arguments)
    except ClientError as error:
        said = error.response["Error"]
        return {"error": said["Code"], "message": said["Message"]}
s3 = boto3.client("s3")
"""


@pytest.fixture(scope="module")
def credentials(internet: SmallInternet) -> dict[str, str]:
    """Temporary credentials of the role `relay`, which may read and list `relay/`."""
    iam, sts, s3 = (internet.client(name) for name in ("iam", "sts", "s3"))
    anybody = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="relay", AssumeRolePolicyDocument=policy(anybody))
    iam.put_role_policy(RoleName="relay", PolicyName="read", PolicyDocument=policy(READ, LIST))
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(TLS_ONLY))
    for key in ("relay/main.cf", "hub/main.cf"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    role = f"arn:aws:iam::{ACCOUNT}:role/relay"
    given = sts.assume_role(RoleArn=role, RoleSessionName="i-0a")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def result(
    internet: SmallInternet, script: str, credentials: dict[str, str], **more: str
) -> object:
    """What a Python script on a machine prints as JSON."""
    done = internet.python(PREAMBLE + script, **credentials, **more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def get(key: str, *, client: str = "s3") -> str:
    return f"""
got = attempt({client}.get_object, Bucket={BUCKET!r}, Key={key!r})
print(json.dumps(got.get("error") or got["Body"].read().decode()))
"""


@contextmanager
def bucket_policy(internet: SmallInternet, *statements: dict[str, Any]) -> Generator[None]:
    s3 = internet.client("s3")
    s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(*statements))
    try:
        yield
    finally:
        s3.put_bucket_policy(Bucket=BUCKET, Policy=policy(TLS_ONLY))


def test_a_role_reads_what_it_may(internet: SmallInternet, credentials: dict[str, str]) -> None:
    assert result(internet, get("relay/main.cf"), credentials) == "relay/main.cf"
    assert result(internet, get("hub/main.cf"), credentials) == "AccessDenied"


def test_path_style_works_too(internet: SmallInternet, credentials: dict[str, str]) -> None:
    client = 'path = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))\n'
    script = client + get("relay/main.cf", client="path")
    assert result(internet, script, credentials) == "relay/main.cf"


def test_an_etag_spares_the_transfer(internet: SmallInternet, credentials: dict[str, str]) -> None:
    script = f"""
place = dict(Bucket={BUCKET!r}, Key="relay/main.cf")
etag = s3.get_object(**place)["ETag"]
print(json.dumps([attempt(s3.get_object, IfNoneMatch=etag, **place)["error"],
                  s3.get_object(IfNoneMatch='"other"', **place)["Body"].read().decode()]))
"""
    assert result(internet, script, credentials) == ["304", "relay/main.cf"]


def test_listing_is_bound_to_the_prefix(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    script = f"""
def keys(**more):
    got = attempt(s3.list_objects_v2, Bucket={BUCKET!r}, **more)
    return got.get("error") or [item["Key"] for item in got["Contents"]]
print(json.dumps([keys(Prefix="relay/"), keys(Prefix="hub/"), keys()]))
"""
    assert result(internet, script, credentials) == [
        ["relay/main.cf"],
        "AccessDenied",
        "AccessDenied",
    ]


def test_what_is_not_there_is_denied_to_who_may_not_list(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    assert result(internet, get("relay/absent"), credentials) == "AccessDenied"
    iam = internet.client("iam")
    everything = {**LIST, "Condition": {}}
    iam.put_role_policy(RoleName="relay", PolicyName="list", PolicyDocument=policy(everything))
    try:
        assert result(internet, get("relay/absent"), credentials) == "NoSuchKey"
    finally:
        iam.delete_role_policy(RoleName="relay", PolicyName="list")


def test_the_refusal_says_who_what_and_why(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    script = f"""
print(json.dumps(attempt(s3.put_object, Bucket={BUCKET!r}, Key="relay/x", Body=b"x")))
"""
    refusal = result(internet, script, credentials)
    assert refusal == {
        "error": "AccessDenied",
        "message": f"User: arn:aws:sts::{ACCOUNT}:assumed-role/relay/i-0a is not authorized to"
        f' perform: s3:PutObject on resource: "arn:aws:s3:::{BUCKET}/relay/x" because no'
        " identity-based policy allows the s3:PutObject action",
    }


def test_uploads_pass_whole(internet: SmallInternet, credentials: dict[str, str]) -> None:
    iam = internet.client("iam")
    write = {**READ, "Action": "s3:PutObject"}
    iam.put_role_policy(RoleName="relay", PolicyName="write", PolicyDocument=policy(write))
    script = f"""
place = dict(Bucket={BUCKET!r}, Key="relay/large")
body = bytes(range(256)) * 4096
s3.put_object(Body=body, **place)
print(json.dumps(s3.get_object(**place)["Body"].read() == body))
"""
    try:
        assert result(internet, script, credentials) is True
    finally:
        iam.delete_role_policy(RoleName="relay", PolicyName="write")
        internet.client("s3").delete_object(Bucket=BUCKET, Key="relay/large")


def test_without_tls_the_policy_denies(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    client = f'plain = boto3.client("s3", endpoint_url="http://s3.{REGION}.amazonaws.com")\n'
    script = client + get("relay/main.cf", client="plain")
    assert result(internet, script, credentials) == "AccessDenied"
    with bucket_policy(
        internet,
        {**TLS_ONLY, "Condition": {"Null": {"s3:prefix": "true"}}, "Action": "s3:ListBucket"},
    ):
        assert result(internet, script, credentials) == "relay/main.cf"


def test_a_bucket_policy_alone_can_allow(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    allow = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/relay"},
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/hub/*",
    }
    with bucket_policy(internet, allow):
        assert result(internet, get("hub/main.cf"), credentials) == "hub/main.cf"


def test_a_policy_that_is_not_understood_allows_nothing(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    strange = {**TLS_ONLY, "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2020-01-01"}}}
    with bucket_policy(internet, strange):
        assert result(internet, get("relay/main.cf"), credentials) == "NotImplemented"


def test_strangers_are_refused(internet: SmallInternet, credentials: dict[str, str]) -> None:
    unsigned = 's3 = boto3.client("s3", config=Config(signature_version=UNSIGNED))\n'
    assert result(internet, unsigned + get("relay/main.cf"), credentials) == "AccessDenied"
    stranger = {**credentials, "AWS_ACCESS_KEY_ID": "ASIAQQQQQQQQQQQQQQQQ"}
    assert result(internet, get("relay/main.cf"), stranger) == "InvalidAccessKeyId"


def test_sts_tells_a_machine_who_it_is(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    script = 'print(json.dumps(boto3.client("sts").get_caller_identity()["Arn"]))'
    arn = result(internet, script, credentials)
    assert arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/relay/i-0a"


def test_the_certificate_is_needed(internet: SmallInternet, credentials: dict[str, str]) -> None:
    distrusting = {**credentials, "AWS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}
    done = internet.python(PREAMBLE + get("relay/main.cf"), **distrusting)
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr


@pytest.fixture
def endpoint(internet: SmallInternet) -> Generator[str]:
    """A gateway endpoint for S3, by which what is in the namespace of VPC comes; its id."""
    ec2 = internet.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=f"com.amazonaws.{REGION}.s3", VpcEndpointType="Gateway"
    )["VpcEndpoint"]["VpcEndpointId"]
    address, route = str(aws_address(vpc)), f"{CLOUD.address}/32 dev eth0"
    ways = [f"addr add {address}/32 dev eth0", f"route add {route} src {address}"]
    for way in ways:
        assert internet.run(["ip", "-n", VPC.id, *way.split()]).returncode == 0
    try:
        yield made
    finally:
        for way in reversed(ways):
            internet.run(["ip", "-n", VPC.id, *way.replace(" add ", " del ").split()])
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
        ec2.delete_vpc(VpcId=vpc)


def test_what_comes_by_an_endpoint_must_be_allowed_by_its_policy_too(
    internet: SmallInternet, credentials: dict[str, str], endpoint: str
) -> None:
    ec2 = internet.client("ec2")
    everyone = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject"}
    ours = {**everyone, "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    others = {**everyone, "Resource": "arn:aws:s3:::another/*"}
    script = f"""
got = attempt(s3.get_object, Bucket={BUCKET!r}, Key="relay/main.cf")
print(json.dumps(got.get("message") or got["Body"].read().decode()))
"""

    def said(netns: str, *statements: dict[str, Any]) -> object:
        if statements:
            ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=policy(*statements))
        return result(internet, script, credentials, netns=netns)

    # EC2's own policy of an endpoint that is given none lets everything through.
    assert said(VPC.id) == "relay/main.cf"
    assert said(VPC.id, ours) == "relay/main.cf"
    refused = str(said(VPC.id, others))
    assert refused.endswith("because no VPC endpoint policy allows the s3:GetObject action")
    refused = str(said(VPC.id, ours, {**ours, "Effect": "Deny"}))
    assert refused.endswith("with an explicit deny in a VPC endpoint policy")
    assert said("internet") == "relay/main.cf"
    # It grants nothing.
    hub = script.replace("relay/main.cf", "hub/main.cf")
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=policy(ours))
    refused = str(result(internet, hub, credentials, netns=VPC.id))
    assert refused.endswith("because no identity-based policy allows the s3:GetObject action")


def test_of_two_endpoints_none_is_guessed(
    internet: SmallInternet, credentials: dict[str, str], endpoint: str
) -> None:
    ec2 = internet.client("ec2")
    [first] = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint])["VpcEndpoints"]
    second = ec2.create_vpc_endpoint(
        VpcId=first["VpcId"], ServiceName=first["ServiceName"], VpcEndpointType="Gateway"
    )["VpcEndpoint"]["VpcEndpointId"]
    try:
        said = result(internet, get("relay/main.cf"), credentials, netns=VPC.id)
        assert said == "NotImplemented"
    finally:
        ec2.delete_vpc_endpoints(VpcEndpointIds=[second])
