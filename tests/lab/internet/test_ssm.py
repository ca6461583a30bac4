"""Parameter Store as a machine meets it: the account's policies, and a key of its own."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.lab.internet.small_internet import ACCOUNT, REGION, SmallInternet, policy

PARAMETERS = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
SECRET = "/gatepost/hub/smarthost"
READ = {
    "Effect": "Allow",
    "Action": ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"],
    "Resource": f"{PARAMETERS}/gatepost/hub/*",
}

PREAMBLE = """
import boto3, json
from botocore.exceptions import ClientError
ssm = boto3.client("ssm")
def attempt(call, **arguments):
    try:
        return call(**arguments)
    except ClientError as error:
        return {"error": error.response["Error"]["Code"], "message": str(error)}
def value(name, **arguments):
    got = attempt(ssm.get_parameter, Name=name, **arguments)
    return got.get("error") or got["Parameter"]["Value"]
"""


def decrypting(key: str, name: str = SECRET) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": "kms:Decrypt",
        "Resource": key,
        "Condition": {
            "StringEquals": {
                "kms:ViaService": f"ssm.{REGION}.amazonaws.com",
                "kms:EncryptionContext:PARAMETER_ARN": f"{PARAMETERS}{name}",
            }
        },
    }


USING = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}


@pytest.fixture(scope="module")
def key(internet: SmallInternet) -> str:
    """A key with KMS's default policy: the account's own policies decide."""
    return internet.client("kms").create_key()["KeyMetadata"]["Arn"]


@pytest.fixture(scope="module")
def credentials(internet: SmallInternet, key: str) -> dict[str, str]:
    """Of the role `hub`, which may read what is below /gatepost/hub."""
    iam, sts, ssm = (internet.client(name) for name in ("iam", "sts", "ssm"))
    anybody = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="hub", AssumeRolePolicyDocument=policy(anybody))
    iam.put_role_policy(RoleName="hub", PolicyName="read", PolicyDocument=policy(READ))
    ssm.put_parameter(Name="/gatepost/hub/plain", Type="String", Value="plain")
    ssm.put_parameter(Name="/gatepost/relay/plain", Type="String", Value="other")
    ssm.put_parameter(Name="/gatepost/hub/default-key", Type="SecureString", Value="default")
    ssm.put_parameter(Name=SECRET, Type="SecureString", Value="secret", KeyId=key)
    given = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/hub", RoleSessionName="i-0a")
    return {
        "AWS_ACCESS_KEY_ID": given["Credentials"]["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["Credentials"]["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["Credentials"]["SessionToken"],
    }


@contextmanager
def allowed(internet: SmallInternet, *statements: dict[str, Any]) -> Generator[None]:
    iam = internet.client("iam")
    document = policy(*statements)
    iam.put_role_policy(RoleName="hub", PolicyName="more", PolicyDocument=document)
    try:
        yield
    finally:
        iam.delete_role_policy(RoleName="hub", PolicyName="more")


def result(internet: SmallInternet, expression: str, credentials: dict[str, str]) -> Any:
    done = internet.python(f"{PREAMBLE}\nprint(json.dumps({expression}))", **credentials)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_role_reads_its_own_parameters_only(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    names = ["/gatepost/hub/plain", "/gatepost/relay/plain", "/gatepost/hub/none", "plain"]
    found = result(internet, f"[value(name) for name in {names}]", credentials)
    assert found == [
        "plain",
        "AccessDeniedException",
        "ParameterNotFound",
        "AccessDeniedException",
    ]
    everything = "attempt(ssm.get_parameters_by_path, Path='/gatepost', Recursive=True)"
    assert result(internet, everything, credentials)["error"] == "AccessDeniedException"
    both = f"attempt(ssm.get_parameters, Names={names[:2]})"
    assert result(internet, both, credentials)["error"] == "AccessDeniedException"


def test_a_name_may_be_an_arn_or_have_a_version(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    own, other = f"{PARAMETERS}/gatepost/hub/plain", f"{PARAMETERS}/gatepost/relay/plain"
    names = [own, other, "/gatepost/hub/plain:1", "/gatepost/relay/plain:1"]
    found = result(internet, f"[value(name) for name in {names}]", credentials)
    assert found == ["plain", "AccessDeniedException"] * 2


def test_the_refusal_says_who_what_and_why(
    internet: SmallInternet, credentials: dict[str, str]
) -> None:
    refusal = "attempt(ssm.put_parameter, Name='/gatepost/hub/x', Type='String', Value='x')"
    assert result(internet, refusal, credentials)["message"] == (
        "An error occurred (AccessDeniedException) when calling the PutParameter operation: User:"
        f" arn:aws:sts::{ACCOUNT}:assumed-role/hub/i-0a is not authorized to perform:"
        f' ssm:PutParameter on resource: "{PARAMETERS}/gatepost/hub/x" because no identity-based'
        " policy allows the ssm:PutParameter action"
    )


def test_a_key_of_ones_own_takes_a_permission_of_its_own(
    internet: SmallInternet, credentials: dict[str, str], key: str
) -> None:
    read = f"value({SECRET!r}, WithDecryption=True)"
    default = "value('/gatepost/hub/default-key', WithDecryption=True)"
    assert result(internet, default, credentials) == "default"
    assert result(internet, read, credentials) == "AccessDeniedException"
    with allowed(internet, decrypting(key)):
        assert result(internet, read, credentials) == "secret"
    with allowed(internet, decrypting(key, "/gatepost/hub/other")):
        assert result(internet, read, credentials) == "AccessDeniedException"
    with allowed(internet, decrypting(key.replace("key/", "key/0"))):
        assert result(internet, read, credentials) == "AccessDeniedException"
    path = "attempt(ssm.get_parameters_by_path, Path='/gatepost/hub/', WithDecryption=True)"
    assert result(internet, path, credentials)["error"] == "AccessDeniedException"


def test_a_boundary_limits_the_use_of_a_key(
    internet: SmallInternet, credentials: dict[str, str], key: str
) -> None:
    iam = internet.client("iam")
    read = f"value({SECRET!r}, WithDecryption=True)"
    reading = {"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}
    for statements, said in (([reading], "AccessDeniedException"), ([reading, USING], "secret")):
        made = iam.create_policy(PolicyName="boundary", PolicyDocument=policy(*statements))
        arn = made["Policy"]["Arn"]
        iam.put_role_permissions_boundary(RoleName="hub", PermissionsBoundary=arn)
        try:
            with allowed(internet, decrypting(key)):
                assert result(internet, read, credentials) == said
        finally:
            iam.delete_role_permissions_boundary(RoleName="hub")
            iam.delete_policy(PolicyArn=arn)


def test_a_key_policy_that_does_not_name_the_account_leaves_it_nothing(
    internet: SmallInternet, credentials: dict[str, str], key: str
) -> None:
    kms = internet.client("kms")
    former = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    read = f"value({SECRET!r}, WithDecryption=True)"
    role = f"arn:aws:iam::{ACCOUNT}:role/hub"
    statement = {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "*"}
    try:
        own = policy({**statement, "Principal": {"AWS": f"{role}-other"}})
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=own)
        with allowed(internet, decrypting(key)):
            assert result(internet, read, credentials) == "AccessDeniedException"
        own = policy({**statement, "Principal": {"AWS": role}})
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=own)
        assert result(internet, read, credentials) == "secret"
    finally:
        kms.put_key_policy(KeyId=key, PolicyName="default", Policy=former)
