"""The branch stack under the recording mock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recording import Recorder, run
from terms import TERMS, TERMS_JSON

from model.fields import SettingsError
from model.principal import branch_policy
from stacks import branch


def build(raw: dict[str, Any], terms: str = "") -> tuple[Recorder, dict[str, Any]]:
    answer = {"value": terms or TERMS_JSON}
    return run(
        lambda: branch.build("dev-osaka", raw),
        stack_name="dev-osaka",
        answers={"aws:ssm/getParameter:getParameter": answer},
    )


def test_the_branch_touches_of_the_environment_one_route_and_its_own_objects(
    osaka: dict[str, Any],
) -> None:
    recorder, _ = build(osaka)
    theirs = {
        resource.name
        for resource in recorder.resources.values()
        if {"vpc-dev", "rtb-private", "directory-bucket"} & set(map(str, resource.inputs.values()))
    }
    assert theirs == {
        "gatepost-dev-osaka",  # the peering
        "gatepost-dev-osaka-back",
        "gatepost-dev-osaka-people-addresses",
        "gatepost-dev-osaka-people-people",
        "gatepost-dev-osaka-software-branch",
    }
    back = recorder.one("ec2/route:Route", "gatepost-dev-osaka-back")
    assert back.inputs["destinationCidrBlock"] == "192.168.10.0/24"


def test_its_server_reads_its_own_part_and_the_hub_s_key(
    osaka: dict[str, Any],
) -> None:
    recorder, _ = build(osaka)
    policy = recorder.one(
        "iam/rolePolicy:RolePolicy", "gatepost-dev-osaka-server-directory"
    ).inputs["policy"]
    stored = recorder.one("s3/bucketObjectv2:BucketObjectv2", "gatepost-dev-osaka-software-branch")
    granted = {s["Action"]: s["Resource"] for s in json.loads(policy)["Statement"]}
    bucket = "arn:aws:s3:::directory-bucket"
    assert granted == {
        "s3:GetObject": [
            f"{bucket}/people/branches/osaka.json",
            f"{bucket}/keys/environment/ms.json",
            f"{bucket}/{stored.inputs['key']}",
        ],
        "s3:PutObject": f"{bucket}/keys/branches/osaka/ms2.json",
    }
    assert stored.inputs["key"].startswith("software/branches/osaka/branch-")


def test_what_its_principal_s_policy_names_is_what_it_makes(osaka: dict[str, Any]) -> None:
    recorder, _ = build(osaka)
    policy = branch_policy(TERMS, "osaka")
    named = {arn for each in policy["Statement"] for arn in each["Resource"]}
    iam = f"arn:aws:iam::{TERMS.account}"
    [role] = recorder.of("iam/role:Role")
    [profile] = recorder.of("iam/instanceProfile:InstanceProfile")
    [alias] = recorder.of("kms/alias:Alias")
    assert {arn for arn in named if arn.startswith(iam)} == {
        f"{iam}:role/{role.inputs['name']}",
        f"{iam}:instance-profile/{profile.inputs['name']}",
    }
    assert [arn.rpartition(":")[2] for arn in named if ":alias/" in arn] == [alias.inputs["name"]]


def test_the_public_address_has_no_way_in(osaka: dict[str, Any]) -> None:
    recorder, outputs = build(osaka)
    server = recorder.one("ec2/instance:Instance", "gatepost-dev-osaka-server")
    assert server.inputs["associatePublicIpAddress"] is True
    ingress = recorder.of("vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    peers = {
        rule.inputs.get("cidrIpv4") or rule.inputs["referencedSecurityGroupId"] for rule in ingress
    }
    assert peers == {"10.1.11.5/32", "gatepost-dev-osaka-shell-id"}
    assert outputs["hosts"][0]["host"] == "ms2.example.jp"


def test_people_of_a_foreign_domain_and_a_foreign_network_are_refused_together(
    osaka: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.yaml").write_text("users: [x@example.net]\n")
    monkeypatch.setattr("stacks.settings.HERE", tmp_path)
    with pytest.raises(SettingsError) as caught:
        build(osaka | {"people": "p.yaml", "network": "172.16.0.0/24"})
    assert "branch.network: must be within 192.168.0.0/16" in str(caught.value)
    assert "p.yaml.users: must be in a mail domain (example.jp, example.co.jp)" in str(caught.value)


def test_a_contract_of_another_version_is_refused(osaka: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="must be a contract of version 2"):
        build(osaka, '{"version": 99}')
