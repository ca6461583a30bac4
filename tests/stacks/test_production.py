"""A full environment: several relays and zones, data volumes, the DMZ's ACL, quotas."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from recording import Recorder, run
from terms import TERMS_JSON

from model import acl
from model.fields import SettingsError
from model.settings import read_environment
from stacks import branch, environment

ROOT = Path(__file__).parents[2]
QUOTA = "aws:servicequotas/getServiceQuota:getServiceQuota"


@pytest.fixture
def prod() -> dict[str, Any]:
    text = (ROOT / "stacks" / "Pulumi.prod.yaml").read_text()
    return yaml.safe_load(text)["config"]["gatepost:environment"]


def build(raw: dict[str, Any], **answers: Any) -> Recorder:
    return run(lambda: environment.build("prod", raw), stack_name="prod", answers=answers)[0]


def text_of(recorder: Recorder, name: str) -> str:
    packed = recorder.one("ec2/instance:Instance", name).inputs["userDataBase64"]
    return gzip.decompress(base64.b64decode(packed)).decode()


def test_each_zone_has_its_subnets_and_its_own_way_out(prod: dict[str, Any]) -> None:
    recorder = build(prod)
    cidrs = {s.name: s.inputs["cidrBlock"] for s in recorder.of("ec2/subnet:Subnet")}
    assert cidrs == {
        "gatepost-prod-dmz-a": "10.2.1.0/24",
        "gatepost-prod-dmz-b": "10.2.2.0/24",
        "gatepost-prod-private-a": "10.2.11.0/24",
        "gatepost-prod-private-b": "10.2.12.0/24",
        "gatepost-prod-edge-a": "10.2.21.0/24",
        "gatepost-prod-edge-b": "10.2.22.0/24",
    }
    ways = {
        name: recorder.one("ec2/route:Route", f"gatepost-prod-private-{name}-internet").inputs
        for name in "ab"
    }
    assert ways["a"]["natGatewayId"] == "gatepost-prod-nat-a-id"
    assert ways["b"]["natGatewayId"] == "gatepost-prod-nat-b-id"


def test_one_nat_serves_all_zones_if_so_set(prod: dict[str, Any]) -> None:
    recorder = build(prod | {"nat": "one"})
    assert [n.name for n in recorder.of("ec2/natGateway:NatGateway")] == ["gatepost-prod-nat-a"]
    way = recorder.one("ec2/route:Route", "gatepost-prod-private-b-internet")
    assert way.inputs["natGatewayId"] == "gatepost-prod-nat-a-id"


def test_a_zone_and_a_relay_more_change_nothing_that_is_there(prod: dict[str, Any]) -> None:
    zones = [*prod["zones"], "us-east-1c"]
    relays = [*prod["relays"], {"host": "mx3.example.jp", "zone": "us-east-1c"}]
    before, after = build(prod), build(prod | {"zones": zones})
    # The S3 endpoint gets route tables and the ACL a subnet: changed in place by AWS.
    grown = {"gatepost-prod-s3"}
    for key, resource in before.resources.items():
        if resource.name not in grown:
            assert after.resources[key].inputs == resource.inputs, key
    wider = build(prod | {"zones": zones, "relays": relays})
    for key, resource in after.resources.items():
        if "instance:Instance" in key[0]:
            assert wider.resources[key].inputs == resource.inputs, key
    told = wider.one("s3/bucketObjectv2:BucketObjectv2", "gatepost-prod-people-people")
    assert [relay["host"] for relay in json.loads(told.inputs["content"])["relays"]] == [
        "mx1.example.jp",
        "mx2.example.jp",
        "mx3.example.jp",
    ]


def test_the_acl_s_rules_are_the_model_s_and_it_has_them_before_it_has_a_subnet(
    prod: dict[str, Any],
) -> None:
    recorder = build(prod)
    rules = recorder.of("ec2/networkAclRule:NetworkAclRule")
    values, _ = read_environment(prod)
    wanted = acl.dmz_acl("relay", values["network"], values["branches"])
    assert {
        (r.inputs["egress"], r.inputs["ruleNumber"], r.inputs["ruleAction"]) for r in rules
    } == {(rule.egress, rule.number, "allow" if rule.allow else "deny") for rule in wanted}
    assert all(rule.delete_before_replace for rule in rules)
    joined = recorder.of("ec2/networkAclAssociation:NetworkAclAssociation")
    assert {a.inputs["subnetId"] for a in joined} == {
        "gatepost-prod-dmz-a-id",
        "gatepost-prod-dmz-b-id",
    }
    for association in joined:
        assert {rule.name for rule in rules} <= association.dependencies


def test_all_that_stays_has_encrypted_volumes_of_its_own(prod: dict[str, Any]) -> None:
    recorder = build(prod)
    volumes = {v.name: v for v in recorder.of("ebs/volume:Volume")}
    assert {name: v.inputs["size"] for name, v in volumes.items()} == {
        "gatepost-prod-mx1-queue": 16,
        "gatepost-prod-mx2-queue": 16,
        "gatepost-prod-mx1-certificates": 1,
        "gatepost-prod-mx2-certificates": 1,
        "gatepost-prod-ms-queue": 16,
        "gatepost-prod-ms-mail": 100,
    }
    assert volumes["gatepost-prod-mx2-queue"].inputs["availabilityZone"] == "us-east-1b"
    for volume in volumes.values():
        assert volume.inputs["encrypted"] is True
        assert volume.inputs["kmsKeyId"] == "arn:gatepost-prod-disks-id"
        assert f"VOLUME={volume.name}-id" in text_of(recorder, volume.name.rpartition("-")[0])
    for attachment in recorder.of("ec2/volumeAttachment:VolumeAttachment"):
        assert attachment.inputs["stopInstanceBeforeDetaching"] is True
        assert attachment.delete_before_replace
        assert attachment.inputs["volumeId"] == f"{attachment.name}-id"


def test_what_holds_data_or_a_name_is_protected(prod: dict[str, Any]) -> None:
    kinds = {
        "aws:ec2/eip:Eip",
        "aws:route53/zone:Zone",
        "aws:kms/key:Key",
        "aws:s3/bucket:Bucket",
        "aws:ebs/volume:Volume",
    }
    for recorder, wanted in ((build(prod), True), (build(prod | {"protect": False}), False)):
        found = [r for r in recorder.resources.values() if r.type in kinds]
        assert len({r.type for r in found}) == len(kinds)
        assert {r.protect for r in found} == {wanted}
        assert not any(r.protect for r in recorder.resources.values() if r.type not in kinds)


@pytest.mark.parametrize(
    ("change", "value", "sentence"),
    [
        ({}, 3, "quota EC2-VPC Elastic IPs: must be at least 4 (this stack needs 4, others use 0)"),
        ({}, 0, "quota VPCs per Region: must be at least 1"),
        ({}, 0, "--service-code vpc --quota-code L-A4707A72"),
        ({}, 3, "quota rules per security group and direction: must be at least"),
        ({}, 9, "quota rules per network ACL and direction: must be at least 10"),
        ({}, 0, "quota NAT gateways per availability zone: must be at least 1"),
        (
            {},
            5,
            "quota vCPUs of running On-Demand Standard instances: must be at least 6 (this stack "
            "needs 6, what others use is not known), the account has 5; raise it: ",
        ),
    ],
)
def test_a_quota_that_does_not_suffice_is_named_before_anything_is_made(
    prod: dict[str, Any], change: dict[str, Any], value: int, sentence: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        build(prod | change, **{QUOTA: {"value": value}})
    assert sentence in str(caught.value), str(caught.value)


def test_user_data_that_is_too_large_is_refused_at_preview_with_its_size(
    prod: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("userdata.render.LIMIT", 1000)
    with pytest.raises(SettingsError, match=r"user data: must be at most 1000 bytes .* got \d{4}"):
        run(lambda: environment.build("prod", prod), preview=True)


def test_what_others_use_counts_and_what_is_ours_does_not(prod: dict[str, Any]) -> None:
    def addresses(asked: dict[str, Any]) -> dict[str, Any]:
        ours = ["a", "b"]
        return {"allocationIds": ours if asked.get("tags") else [*ours, "c", "d"]}

    answers = {QUOTA: {"value": 5}, "aws:ec2/getEips:getEips": addresses}
    with pytest.raises(SettingsError, match=r"at least 6 \(this stack needs 4, others use 2\)"):
        build(prod, **answers)


def test_others_nat_gateways_count_zone_by_zone(prod: dict[str, Any]) -> None:
    """Five in a zone; a zone's are found by its subnets, and our own do not count."""

    def subnets(asked: dict[str, Any]) -> dict[str, Any]:
        return {"ids": [f"{asked['filters'][0]['values'][0]}-{n}" for n in range(250)]}

    def nats(asked: dict[str, Any]) -> dict[str, Any]:
        wanted = {item["name"]: item["values"] for item in asked["filters"]}
        assert wanted["state"] == ["available", "pending"]
        assert len(wanted["subnet-id"]) <= 200
        there = ["us-east-1a-0", "us-east-1b-1", "us-east-1b-2", "us-east-1b-249"]
        ours = ["us-east-1b-1"]
        return {
            "ids": [
                f"nat-{s}"
                for s in wanted["subnet-id"]
                if s in (ours if asked.get("tags") else there)
            ]
        }

    answers = {
        QUOTA: {"value": 2},
        "aws:ec2/getSubnets:getSubnets": subnets,
        "aws:ec2/getNatGateways:getNatGateways": nats,
    }
    with pytest.raises(SettingsError) as caught:
        build(prod, **answers)
    assert (
        "quota NAT gateways per availability zone: must be at least 3 (this stack needs 1, others "
        "use 2), the account has 2"
    ) in str(caught.value)


def test_an_image_that_does_not_run_on_its_type_is_refused_with_the_keys(
    prod: dict[str, Any],
) -> None:
    """EC2 would refuse it only once the old host is gone."""
    relays = [prod["relays"][0] | {"instance_type": "t3.small"}, prod["relays"][1]]
    with pytest.raises(SettingsError) as caught:
        build(prod | {"relays": relays, "hub": {"host": "ms.example.jp", "image": "ami-0badc0de"}})
    assert caught.value.problems == [
        "environment.relays[0].instance_type: must be an instance type of us-east-1 with the "
        "architecture arm64, as environment.image ami-01b1eba85c1cd6a3d has, got t3.small"
    ]
    with pytest.raises(SettingsError) as caught:
        build(prod, **{"aws:ec2/getAmi:getAmi": {"architecture": "x86_64"}})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "environment.instance_type",
        "environment.hub.instance_type",
    ]


def test_a_zone_that_lacks_a_hosts_type_is_refused_with_those_that_have_it(
    prod: dict[str, Any], osaka: dict[str, Any]
) -> None:
    def offerings(asked: dict[str, Any]) -> dict[str, Any]:
        found = [
            (name, f"us-east-1{zone}")
            for name in asked["filters"][0]["values"]
            for zone in ("cd" if name == "t4g.small" else "ab")
        ]
        return {"instanceTypes": [t for t, _ in found], "locations": [z for _, z in found]}

    answers = {"aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": offerings}
    relays = [prod["relays"][0] | {"instance_type": "t4g.small"}, prod["relays"][1]]
    hub = {"host": "ms.example.jp", "instance_type": "t4g.small"}
    with pytest.raises(SettingsError) as caught:
        build(prod | {"relays": relays, "hub": hub, "instance_type": "t4g.medium"}, **answers)
    assert caught.value.problems == [
        f"environment.{key}: must be a zone that has environment.{host}.instance_type t4g.small "
        "(us-east-1c, us-east-1d), got us-east-1a"
        for key, host in (("relays[0].zone", "relays[0]"), ("zones[0]", "hub"))
    ]
    answers["aws:ssm/getParameter:getParameter"] = {"value": TERMS_JSON}
    with pytest.raises(SettingsError, match=r"branch\.zone: must be a zone that has branch\.inst"):
        run(lambda: branch.build("dev-osaka", osaka), stack_name="dev-osaka", answers=answers)


def test_an_image_that_the_region_lacks_is_refused(
    prod: dict[str, Any], osaka: dict[str, Any]
) -> None:
    nothing = ({}, [("", "Your query returned no results. Please change your search criteria")])
    for stack, program in (
        ("prod", lambda: environment.build("prod", prod)),
        ("dev-osaka", lambda: branch.build("dev-osaka", osaka)),
    ):
        answers = {
            "aws:ec2/getAmi:getAmi": nothing,
            "aws:ssm/getParameter:getParameter": {"value": TERMS_JSON},
        }
        with pytest.raises(
            SettingsError,
            match=r"image: must be an image that this account may launch in us-east-1, got ami",
        ):
            run(program, stack_name=stack, answers=answers)
    refused = ({}, [("", "UnauthorizedOperation")])
    with pytest.raises(Exception, match="UnauthorizedOperation"):
        build(prod, **{"aws:ec2/getAmi:getAmi": refused})


def test_the_cost_is_the_last_thing_that_is_said(
    prod: dict[str, Any], osaka: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    build(prod | {"delegated": False})
    assert "waiting for delegation" in caplog.text
    said = caplog.messages[-1].splitlines()
    assert "noted 2026-11" in said[0]
    assert "fixed cost a month" in said[-1]
    answers = {
        "aws:ssm/getParameter:getParameter": {"value": TERMS_JSON},
        QUOTA: ({}, [("", "no")]),
    }
    run(lambda: branch.build("dev-osaka", osaka), answers=answers)
    assert "Service Quotas did not answer" in caplog.text
    # A t4g.small, an address, the three disks and their key.
    assert caplog.messages[-1].endswith(f"{730 * (0.0168 + 0.005) + 36 * 0.08 + 1:.2f}")


def test_defaults_hold_where_service_quotas_does_not_answer(prod: dict[str, Any]) -> None:
    refused = ({}, [("quotaCode", "AccessDeniedException")])
    four = [{"host": f"mx{i}.example.jp"} for i in range(4)]
    with pytest.raises(SettingsError, match=r"Elastic IPs: must be at least 6 .* has 5;"):
        build(prod | {"relays": four}, **{QUOTA: refused})


def test_a_branch_counts_the_environment_s_peerings_and_routes(osaka: dict[str, Any]) -> None:
    answers = {
        QUOTA: {"value": 50},
        "aws:ssm/getParameter:getParameter": {"value": TERMS_JSON},
        "aws:ec2/getVpcPeeringConnections:getVpcPeeringConnections": lambda asked: {
            "ids": [] if asked.get("tags") else [f"pcx-{i}" for i in range(60)]
        },
        "aws:ec2/getRouteTable:getRouteTable": {
            "routes": [{"cidrBlock": f"192.168.{i}.0/24"} for i in range(60)]
        },
    }
    with pytest.raises(SettingsError) as caught:
        run(lambda: branch.build("dev-osaka", osaka), answers=answers)
    assert "quota active VPC peering connections per VPC: must be at least 61" in str(caught.value)
    assert "quota routes per route table: must be at least 60" in str(caught.value)


def test_a_branch_s_way_out_is_a_setting(osaka: dict[str, Any]) -> None:
    answers = {"aws:ssm/getParameter:getParameter": {"value": TERMS_JSON}}
    raw = osaka | {"way_out": "nat"}
    recorder, outputs = run(lambda: branch.build("dev-osaka", raw), answers=answers)
    server = recorder.one("ec2/instance:Instance", "gatepost-dev-osaka-server")
    assert "associatePublicIpAddress" not in server.inputs
    way = recorder.one("ec2/route:Route", "gatepost-dev-osaka-servers-internet")
    assert way.inputs["natGatewayId"] == "gatepost-dev-osaka-nat-id"
    assert outputs["hosts"][0]["public_ip"] == ""
