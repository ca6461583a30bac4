"""The environment stack under the recording mock."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from recording import Recorder, run

from model.fields import SettingsError
from model.flows import environment_firewall
from model.settings import read_environment
from stacks import environment


@pytest.fixture
def built(dev: dict[str, Any]) -> tuple[Recorder, dict[str, Any]]:
    return run(lambda: environment.build("dev", dev))


def user_data(recorder: Recorder, name: str) -> dict[str, Any]:
    packed = recorder.one("ec2/instance:Instance", name).inputs["userDataBase64"]
    text = gzip.decompress(base64.b64decode(packed)).decode()
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def written(document: dict[str, Any], path: str) -> str:
    return next(f["content"] for f in document["write_files"] if f["path"] == path)


def test_every_flow_has_one_rule_on_each_side_that_is_ours(
    built: tuple[Recorder, dict[str, Any]], dev: dict[str, Any]
) -> None:
    values, _ = read_environment(dev)
    firewall = environment_firewall("relay", values["branches"])
    ours = set(firewall.hosts)
    ingress = built[0].of("vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    egress = built[0].of("vpc/securityGroupEgressRule:SecurityGroupEgressRule")
    assert len(ingress) == sum(flow.destination in ours for flow in firewall.flows)
    assert len(egress) == sum(flow.source in ours for flow in firewall.flows)
    for rule in ingress + egress:
        assert rule.inputs["description"]
        assert rule.inputs["fromPort"] == rule.inputs["toPort"]
        assert ("cidrIpv4" in rule.inputs) != ("referencedSecurityGroupId" in rule.inputs)


def test_only_mail_and_policies_of_the_relay_are_open_to_the_world(
    built: tuple[Recorder, dict[str, Any]],
) -> None:
    world = [
        (rule.inputs["securityGroupId"], rule.inputs["fromPort"])
        for rule in built[0].of("vpc/securityGroupIngressRule:SecurityGroupIngressRule")
        if rule.inputs.get("cidrIpv4") == "0.0.0.0/0"
    ]
    assert world == [("gatepost-dev-relay-id", 25), ("gatepost-dev-relay-id", 443)]


def test_nothing_is_inline_and_the_default_group_is_empty(
    built: tuple[Recorder, dict[str, Any]],
) -> None:
    recorder = built[0]
    groups = recorder.of("ec2/securityGroup:SecurityGroup")
    tables = recorder.of("ec2/routeTable:RouteTable")
    default = recorder.of("ec2/defaultSecurityGroup:DefaultSecurityGroup")
    assert (len(groups), len(tables), len(default)) == (3, 3, 1)
    for resource in groups + tables + default:
        assert not {"ingress", "egress", "routes"} & set(resource.inputs)


def test_the_relay_has_its_elastic_ip_before_it_boots(
    built: tuple[Recorder, dict[str, Any]],
) -> None:
    recorder = built[0]
    association = recorder.one("ec2/eipAssociation:EipAssociation", "gatepost-dev-dmz-ms")
    assert "instanceId" not in association.inputs
    interface = recorder.one("ec2/networkInterface:NetworkInterface", "gatepost-dev-dmz-ms")
    assert interface.inputs["privateIps"] == ["10.1.1.4"]
    relay = recorder.one("ec2/instance:Instance", "gatepost-dev-dmz-ms")
    assert relay.inputs["primaryNetworkInterface"]["networkInterfaceId"] == "gatepost-dev-dmz-ms-id"
    postfix = written(user_data(recorder, "gatepost-dev-dmz-ms"), "/etc/postfix/main.cf")
    assert f"proxy_interfaces = {built[1]['hosts'][0]['public_ip']}\n" in postfix


@pytest.mark.parametrize("name", ["gatepost-dev-dmz-ms", "gatepost-dev-ms"])
def test_every_host_is_safe_and_waits_for_what_its_boot_needs(
    built: tuple[Recorder, dict[str, Any]], name: str
) -> None:
    recorder = built[0]
    host = recorder.one("ec2/instance:Instance", name)
    assert host.inputs["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
        "instanceMetadataTags": "disabled",
    }
    assert host.inputs["rootBlockDevice"]["encrypted"] is True
    assert host.inputs["ami"] == "ami-01b1eba85c1cd6a3d"
    assert host.inputs["userDataReplaceOnChange"] is True
    assert host.inputs.get("associatePublicIpAddress") is None
    assert host.delete_before_replace
    routes = {route.name for route in recorder.of("ec2/route:Route")} - {
        "gatepost-dev-edge-a-internet"
    }
    rules = {r.name for r in recorder.of("vpc/securityGroupEgressRule:SecurityGroupEgressRule")}
    objects = {o.name for o in recorder.of("s3/bucketObjectv2:BucketObjectv2")}
    assert routes | rules | objects <= host.dependencies


def test_a_role_reads_its_part_of_the_directory_and_nothing_else(
    built: tuple[Recorder, dict[str, Any]],
) -> None:
    bucket = "arn:aws:s3:::gatepost-dev-directory-123456789012-us-east-1"
    for name, role, own, lists, reads in (
        ("gatepost-dev-dmz-ms", "relay", "dmz-ms", ["addresses/"], ["keys/environment/ms.json"]),
        ("gatepost-dev-ms", "hub", "ms", ["people/", "addresses/", "keys/"], []),
    ):
        grant = built[0].one("iam/rolePolicy:RolePolicy", f"{name}-directory")
        policy = json.loads(grant.inputs["policy"])
        granted = {s["Action"]: s["Resource"] for s in policy["Statement"]}
        stored = built[0].one("s3/bucketObjectv2:BucketObjectv2", f"gatepost-dev-software-{role}")
        assert granted == {
            "s3:GetObject": [
                *(f"{bucket}/{key}" for key in reads),
                *(f"{bucket}/{prefix}*" for prefix in lists),
                f"{bucket}/{stored.inputs['key']}",
            ],
            "s3:ListBucket": bucket,
            "s3:PutObject": f"{bucket}/keys/environment/{own}.json",
        }
        listing = next(s for s in policy["Statement"] if s["Action"] == "s3:ListBucket")
        assert listing["Condition"] == {"StringEquals": {"s3:prefix": lists}}


def test_the_bucket_is_private_versioned_encrypted_and_tls_only(
    built: tuple[Recorder, dict[str, Any]],
) -> None:
    name = "gatepost-dev-directory"
    one = built[0].one
    block = one("s3/bucketPublicAccessBlock:BucketPublicAccessBlock", name).inputs
    assert [value for key, value in block.items() if key != "bucket"] == [True] * 4
    versioning = one("s3/bucketVersioning:BucketVersioning", name).inputs
    assert versioning["versioningConfiguration"] == {"status": "Enabled"}
    statement = json.loads(one("s3/bucketPolicy:BucketPolicy", name).inputs["policy"])["Statement"]
    assert statement[0]["Effect"] == "Deny"
    assert statement[0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_what_the_bucket_held_before_goes_after_a_while_and_what_it_holds_never(
    built: tuple[Recorder, dict[str, Any]],
) -> None:
    kind = "s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    found = built[0].one(kind, "gatepost-dev-directory")
    [rule] = found.inputs["rules"]
    assert (rule["status"], rule["filter"]) == ("Enabled", {})
    assert rule["noncurrentVersionExpiration"] == {"noncurrentDays": 90}
    assert rule["expiration"] == {"expiredObjectDeleteMarker": True}
    assert "gatepost-dev-directory" in found.dependencies, "versioning comes first"


def test_the_environment_names_no_branch_and_no_one_there(
    built: tuple[Recorder, dict[str, Any]],
) -> None:
    # Packed content is left out: in base64 three letters come together by chance.
    everything = repr(
        [
            (r.name, {key: value for key, value in r.inputs.items() if "Base64" not in key})
            for r in built[0].resources.values()
        ]
    )
    documents = [user_data(built[0], f"gatepost-dev-{host}") for host in ("dmz-ms", "ms")]
    for name in ("osaka", "ms2", "192.168.10.", "jiro@example.jp", "saburo"):
        assert name not in everything + repr(documents)


def test_no_person_is_in_user_data(built: tuple[Recorder, dict[str, Any]]) -> None:
    for host in ("dmz-ms", "ms"):
        assert "taro" not in repr(user_data(built[0], f"gatepost-dev-{host}"))


def test_every_resource_is_of_the_one_provider(built: tuple[Recorder, dict[str, Any]]) -> None:
    for resource in built[0].resources.values():
        if resource.type.startswith("aws:"):
            assert resource.provider.endswith("::aws::aws-id"), resource.name


def test_reverse_names_wait_for_delegation(dev: dict[str, Any]) -> None:
    later, _ = run(lambda: environment.build("dev", dev | {"delegated": False}))
    assert later.of("ec2/eipDomainName:EipDomainName") == []
    now, _ = run(lambda: environment.build("dev", dev | {"outbound": "direct"}))
    reverse = {
        r.inputs["domainName"]: r.dependencies for r in now.of("ec2/eipDomainName:EipDomainName")
    }
    assert set(reverse) == {"dmz-ms.example.jp", "out.example.jp"}
    assert "gatepost-dev-out.example.jp-A" in reverse["out.example.jp"]


def test_direct_mode_changes_the_hub_s_way_out(dev: dict[str, Any]) -> None:
    recorder, outputs = run(lambda: environment.build("dev", dev | {"outbound": "direct"}))
    hub = written(user_data(recorder, "gatepost-dev-ms"), "/etc/postfix/main.cf")
    relay = written(user_data(recorder, "gatepost-dev-dmz-ms"), "/etc/postfix/main.cf")
    assert "\nrelayhost = \n" in hub
    assert "smtp_helo_name = out.example.jp\n" in hub
    assert "\nmynetworks = 127.0.0.0/8\n" in relay
    record = recorder.one("route53/record:Record", "gatepost-dev-out.example.jp-A")
    assert record.inputs["records"] == [outputs["nat"]]


SMARTHOST = {
    "outbound": "smarthost",
    "smarthost": {"host": "email-smtp.us-east-1.amazonaws.com"},
    "dns": {"spf_includes": ["amazonses.com"]},
}


def test_the_login_of_the_smarthost_is_read_by_the_hub_alone(dev: dict[str, Any]) -> None:
    recorder, outputs = run(lambda: environment.build("dev", dev | SMARTHOST))
    assert outputs["smarthost_port"] == 587
    [policy] = [p for p in recorder.of("iam/rolePolicy:RolePolicy") if p.name.endswith("-secrets")]
    assert policy.inputs["role"] == "gatepost-dev-ms"
    read, decrypt = json.loads(policy.inputs["policy"])["Statement"]
    secret = "arn:aws:ssm:us-east-1:123456789012:parameter/gatepost/dev/hub/*"
    assert (read["Action"], read["Resource"]) == ("ssm:GetParameter", secret)
    assert (decrypt["Action"], decrypt["Resource"]) == (
        "kms:Decrypt",
        "arn:gatepost-dev-secrets-id",
    )
    assert decrypt["Condition"] == {
        "StringEquals": {"kms:ViaService": "ssm.us-east-1.amazonaws.com"},
        "StringLike": {"kms:EncryptionContext:PARAMETER_ARN": secret},
    }


def test_the_secret_itself_is_no_resource_and_in_no_user_data(dev: dict[str, Any]) -> None:
    recorder, _ = run(lambda: environment.build("dev", dev | SMARTHOST))
    names = [p.inputs["name"] for p in recorder.of("ssm/parameter:Parameter")]
    assert names == ["/gatepost/dev/contract"]
    hub = user_data(recorder, "gatepost-dev-ms")
    assert json.loads(written(hub, "/etc/gatepost/secrets.json")) == {
        "region": "us-east-1",
        "parameter": "/gatepost/dev/hub/smarthost",
        "nexthop": "[email-smtp.us-east-1.amazonaws.com]:587",
    }
    assert "libsasl2-modules" in hub["packages"]
    relay = user_data(recorder, "gatepost-dev-dmz-ms")
    assert not any("smarthost" in file["path"] for file in relay["write_files"])
    assert "/etc/gatepost/secrets.json" not in {file["path"] for file in relay["write_files"]}


def test_the_key_of_the_secrets_is_there_before_the_mode(dev: dict[str, Any]) -> None:
    recorder, _ = run(lambda: environment.build("dev", dev))
    alias = recorder.one("kms/alias:Alias", "gatepost-dev-secrets")
    assert alias.inputs["name"] == "alias/gatepost-dev-secrets"
    policies = {p.inputs["name"] for p in recorder.of("iam/rolePolicy:RolePolicy")}
    assert "secrets" not in policies


def test_the_preview_shows_the_same_resources(dev: dict[str, Any]) -> None:
    built, _ = run(lambda: environment.build("dev", dev))
    preview, _ = run(lambda: environment.build("dev", dev), preview=True)
    assert set(preview.resources) == set(built.resources)


def test_wrong_settings_and_people_are_told_at_once_before_any_resource(
    dev: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "people.yaml").write_text(
        "users: [a@example.jp, a@example.jp]\naliases: {x@example.net: [a@example.jp]}\n"
    )
    monkeypatch.setattr("stacks.settings.HERE", tmp_path)
    wrong = dev | {"people": "people.yaml", "zones": ["mars-1"], "colour": "red"}
    with pytest.raises(SettingsError) as caught:
        environment.build("dev", wrong)
    text = str(caught.value)
    for part in (
        "environment.colour",
        "environment.zones",
        "a@example.jp 2 times",
        "x@example.net",
    ):
        assert part in text
    with pytest.raises(SettingsError, match=r"people: must be a YAML file.*none\.yaml"):
        environment.build("dev", dev | {"people": "none.yaml"})


def test_nobody_is_lost_as_a_key_stands_twice(
    dev: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacks.settings.HERE", tmp_path)
    (tmp_path / "people.yaml").write_text(
        "users: [a@example.jp]\n"
        "aliases: {info@example.jp: [a@example.jp], info@example.jp: [b@example.jp]}\n"
        "users:\n- {address: b@example.jp, hold: true, hold: false}\n"
    )
    with pytest.raises(SettingsError) as caught:
        environment.build("dev", dev | {"people": "people.yaml"})
    assert [text for text in caught.value.problems if "again" in text] == [
        "people.yaml: line 3: must have each key once, got 'users' again",
        "people.yaml: line 2: must have each key once, got 'info@example.jp' again",
        "people.yaml: line 4: must have each key once, got 'hold' again",
    ]
    assert any("must hold postmaster@example.jp" in text for text in caught.value.problems)


@pytest.mark.parametrize(
    ("stack", "sentence"),
    [
        ("Dev", "stack: must be 1 to 20 of a-z, 0-9 and -, beginning with a letter, got 'Dev'"),
        ("seventeen-letters", "stack: must be at most 16 characters in ap-northeast-1, got 17"),
    ],
)
def test_a_stack_s_name_must_fit_into_the_names_of_its_resources(
    dev: dict[str, Any], stack: str, sentence: str
) -> None:
    raw = dev | {"region": "ap-northeast-1", "zones": ["ap-northeast-1a"]}
    with pytest.raises(SettingsError) as caught:
        environment.build(stack, raw)
    assert caught.value.problems[0].startswith(sentence)


def test_a_legacy_server_is_the_hub_s_to_know(dev: dict[str, Any]) -> None:
    legacy = [{"name": "old", "address": "172.16.0.25"}]
    recorder, outputs = run(lambda: environment.build("dev", dev | {"legacy": legacy}))
    assert outputs["legacy"] == {"old": "172.16.0.25"}
    for host, known in (("ms", True), ("dmz-ms", False)):
        assert ("172.16.0.25" in repr(user_data(recorder, f"gatepost-dev-{host}"))) is known
    rules = {
        resource.name
        for resource in recorder.of("vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    }
    assert "gatepost-dev-legacy-old-hub-25-in" in rules
