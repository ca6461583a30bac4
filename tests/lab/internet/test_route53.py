"""Route 53 as a relay meets it: what its role lets it change, and that changes are served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from lab.internet.call import Call, Caller, NotKnown, Refusal
from lab.internet.plan import NAMES
from lab.internet.route53 import ACTIONS, NAMESPACE, RECORD_NAMES, RECORD_TYPES, Route53, normalized
from lab.world.dns import read_zone
from tests.lab.internet.small_internet import ACCOUNT, SmallInternet, example_world, policy

CALLER = Caller(account=ACCOUNT, role="relay", role_arn="arn", session_arn="arn")
OWN = "_acme-challenge.mx1.acme.test"
SHARED = "_acme-challenge.mta-sts.acme.test"


def call(method: str, target: str, body: str = "", *, region: str = "us-east-1") -> Call:
    scope = f"AKIA/20260101/{region}/route53/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
    return Call(
        method=method,
        host="route53.amazonaws.com",
        target=target,
        headers={"Authorization": authorization},
        body=body.encode(),
    )


def changes(*parts: tuple[str, str, str]) -> str:
    inner = "".join(
        f"<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type>"
        "</ResourceRecordSet></Change>"
        for action, name, kind in parts
    )
    return (
        f'<ChangeResourceRecordSetsRequest xmlns="{NAMESPACE}"><ChangeBatch><Changes>{inner}'
        "</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    )


@pytest.mark.parametrize(
    ("method", "target", "action", "resource"),
    [
        ("GET", "/2013-04-01/hostedzone", "ListHostedZones", "*"),
        ("GET", "/2013-04-01/hostedzonesbyname?dnsname=x", "ListHostedZonesByName", "*"),
        ("GET", "/2013-04-01/hostedzone/Z1", "GetHostedZone", "hostedzone/Z1"),
        ("GET", "/2013-04-01/hostedzone/Z1/rrset", "ListResourceRecordSets", "hostedzone/Z1"),
        ("GET", "/2013-04-01/change/C1", "GetChange", "change/C1"),
    ],
)
def test_calls_that_read(method: str, target: str, action: str, resource: str) -> None:
    (asked,) = Route53(pytest.fail).permissions(call(method, target), CALLER)
    arn = resource if resource == "*" else f"arn:aws:route53:::{resource}"
    assert (asked.action, asked.resource) == (f"route53:{action}", arn)
    assert asked.context == {"aws:requestedregion": ["us-east-1"]}


def test_a_change_carries_its_condition_keys() -> None:
    body = changes(
        ("UPSERT", "_Acme-Challenge.MX1.example.jp.", "TXT"),
        ("DELETE", "*.example.jp", "A"),
        ("CREATE", "\\052.example.jp.", "A"),
    )
    service = Route53(pytest.fail)
    (asked,) = service.permissions(call("POST", "/2013-04-01/hostedzone/Z1/rrset/", body), CALLER)
    assert asked.action == "route53:ChangeResourceRecordSets"
    assert asked.resource == "arn:aws:route53:::hostedzone/Z1"
    assert asked.context[RECORD_NAMES] == ["\\052.example.jp", "_acme-challenge.mx1.example.jp"]
    assert asked.context[RECORD_TYPES] == ["A", "TXT"]
    assert asked.context[ACTIONS] == ["CREATE", "DELETE", "UPSERT"]


def test_names_are_normalized() -> None:
    assert normalized("A-b_c.Example.JP.") == "a-b_c.example.jp"
    assert normalized("*.example.jp") == normalized("\\052.example.jp.") == "\\052.example.jp"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/2013-04-01/hostedzone"),
        ("DELETE", "/2013-04-01/hostedzone/Z1"),
        ("GET", "/2013-04-01/hostedzone/Z1/dnssec"),
    ],
)
def test_other_calls_are_not_guessed_at(method: str, target: str) -> None:
    with pytest.raises(NotKnown, match="served are"):
        Route53(pytest.fail).permissions(call(method, target), CALLER)


def test_another_regions_signature_is_refused() -> None:
    asked = call("GET", "/2013-04-01/hostedzone", region="ap-northeast-1")
    with pytest.raises(Refusal, match="scoped to a valid region, not 'ap-northeast-1'"):
        Route53(pytest.fail).permissions(asked, CALLER)


@pytest.mark.parametrize("body", ["<", changes(("UPSERT", "", "TXT"))])
def test_a_body_that_means_nothing_is_refused(body: str) -> None:
    asked = call("POST", "/2013-04-01/hostedzone/Z1/rrset", body)
    with pytest.raises(Refusal) as caught:
        Route53(pytest.fail).permissions(asked, CALLER)
    assert caught.value.code == "InvalidInput"


def test_only_an_accepted_change_is_told() -> None:
    told: list[str] = []
    service = Route53(told.append)
    service.accepted(call("GET", "/2013-04-01/hostedzone/Z1/rrset"))
    service.accepted(call("POST", "/2013-04-01/hostedzone/Z1/rrset/"))
    assert told == ["Z1"]


ATTEMPT = """
import boto3, json, sys
from botocore.exceptions import ClientError
route53 = boto3.client("route53")
zone, *changes = json.loads(sys.stdin.read())
def record(name, kind, value):
    return {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}
batch = [{"Action": action, "ResourceRecordSet": record(*what)} for action, *what in changes]
try:
    done = route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": batch})
    print(json.dumps(route53.get_change(Id=done["ChangeInfo"]["Id"])["ChangeInfo"]["Status"]))
except ClientError as error:
    print(json.dumps(error.response["Error"]))
"""


@dataclass(frozen=True, kw_only=True)
class Relay:
    """A role that may change TXT records at names of its own, and the zone those are in."""

    internet: SmallInternet
    zone: str
    credentials: dict[str, str]

    def change(self, *parts: tuple[str, str, str, str]) -> Any:
        """What became of a batch of (action, name, type, value): INSYNC or AWS's error."""
        script = ATTEMPT.replace("sys.stdin.read()", repr(json.dumps([self.zone, *parts])))
        done = self.internet.python(script, **self.credentials)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def dig(self, name: str, kind: str = "TXT") -> str:
        """The Internet's answer, without any cache."""
        return self.internet.at("names", "dig", "+short", f"@{NAMES.address}", name, kind).stdout


@pytest.fixture(scope="module")
def relay(internet: SmallInternet) -> Iterator[Relay]:
    route53, iam, sts = (internet.client(name) for name in ("route53", "iam", "sts"))
    made = route53.create_hosted_zone(Name="acme.test", CallerReference="acme")
    zone = made["HostedZone"]["Id"].rpartition("/")[2]
    anybody = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="acme", AssumeRolePolicyDocument=policy(anybody))
    keys = "route53:ChangeResourceRecordSets"
    change = {
        "Effect": "Allow",
        "Action": "route53:ChangeResourceRecordSets",
        "Resource": f"arn:aws:route53:::hostedzone/{zone}",
        "Condition": {
            "ForAllValues:StringEquals": {
                f"{keys}NormalizedRecordNames": [OWN, SHARED],
                f"{keys}RecordTypes": ["TXT"],
            },
            "Null": {f"{keys}NormalizedRecordNames": "false", f"{keys}RecordTypes": "false"},
        },
    }
    read = {
        "Effect": "Allow",
        "Action": "route53:GetChange",
        "Resource": "arn:aws:route53:::change/*",
    }
    listing = {"Effect": "Allow", "Action": "route53:ListHostedZones", "Resource": "*"}
    document = policy(change, read, listing)
    iam.put_role_policy(RoleName="acme", PolicyName="acme", PolicyDocument=document)
    given = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/acme", RoleSessionName="i-0a")[
        "Credentials"
    ]
    world = example_world()
    internet.apply(replace(world, zones=(*world.zones, read_zone(route53, zone))))
    try:
        yield Relay(
            internet=internet,
            zone=zone,
            credentials={
                "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
                "AWS_SESSION_TOKEN": given["SessionToken"],
            },
        )
    finally:
        internet.apply(world)
        iam.delete_role_policy(RoleName="acme", PolicyName="acme")
        iam.delete_role(RoleName="acme")


def test_an_accepted_change_is_served_at_once(relay: Relay) -> None:
    assert relay.dig(OWN) == ""
    assert relay.change(("UPSERT", OWN, "TXT", '"one"')) == "INSYNC"
    assert relay.dig(OWN) == '"one"\n'
    assert relay.change(("DELETE", OWN, "TXT", '"one"')) == "INSYNC"
    assert relay.dig(OWN) == ""


@pytest.mark.parametrize(
    "part",
    [
        ("UPSERT", "acme.test", "MX", "10 mx.evil.test."),
        ("UPSERT", "mx1.acme.test", "A", "192.0.2.66"),
        ("UPSERT", OWN, "CNAME", "mx.evil.test."),
        ("UPSERT", "_acme-challenge.mx2.acme.test", "TXT", '"evil"'),
        ("UPSERT", "acme.test", "TXT", '"v=spf1 +all"'),
    ],
)
def test_whatever_else_is_denied(relay: Relay, part: tuple[str, str, str, str]) -> None:
    for batch in ([part], [("UPSERT", OWN, "TXT", '"x"'), part]):
        refusal = relay.change(*batch)
        assert refusal["Code"] == "AccessDenied"
        assert (
            "is not authorized to perform: route53:ChangeResourceRecordSets" in refusal["Message"]
        )
    assert relay.dig(OWN) == ""
    assert "evil" not in relay.dig(part[1], part[2])


def test_route_53s_own_refusal_comes_through(relay: Relay) -> None:
    assert relay.change(("CREATE", SHARED, "TXT", '"a"')) == "INSYNC"
    refusal = relay.change(("CREATE", SHARED, "TXT", '"b"'))
    assert refusal["Code"] == "InvalidChangeBatch"
    assert "already exists" in refusal["Message"]
    assert (
        relay.change(("DELETE", SHARED, "TXT", '"a"'), ("CREATE", SHARED, "TXT", '"b"')) == "INSYNC"
    )
    assert relay.dig(SHARED) == '"b"\n'


def test_a_world_read_before_the_change_does_not_undo_it(relay: Relay) -> None:
    world = example_world()
    route53 = relay.internet.client("route53")
    older = replace(world, zones=(*world.zones, read_zone(route53, relay.zone)))
    assert relay.change(("UPSERT", OWN, "TXT", '"newer"')) == "INSYNC"
    relay.internet.apply(replace(older, pointers=()))
    assert relay.dig(OWN) == '"newer"\n'
    assert relay.change(("DELETE", OWN, "TXT", '"newer"')) == "INSYNC"
