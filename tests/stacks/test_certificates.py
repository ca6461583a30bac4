"""Certificates of the relays: the rights, files and volume that an environment gives them."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
import yaml
from recording import Recorder, run

from model.fields import SettingsError
from stacks import environment

RELAY = "gatepost-dev-dmz-ms"


def build(settings: dict[str, Any]) -> Recorder:
    return run(lambda: environment.build("dev", settings))[0]


def written(recorder: Recorder, name: str) -> dict[str, str]:
    """The files of a host's user data, by path."""
    packed = recorder.one("ec2/instance:Instance", name).inputs["userDataBase64"]
    document = yaml.safe_load(gzip.decompress(base64.b64decode(packed)))
    return {file["path"]: file["content"] for file in document["write_files"]}


def test_a_relay_is_told_its_names_and_the_zone_of_its_lock(dev: dict[str, Any]) -> None:
    files = written(build(dev), RELAY)
    assert json.loads(files["/etc/gatepost/certificates.json"]) == {
        "host": "dmz-ms.example.jp",
        "zone": "gatepost-dev-example.jp-id",
        "lock": "_acme-challenge.lock.example.jp",
        "lineages": {
            "host": ["dmz-ms.example.jp"],
            "policy": ["dmz-ms.example.jp", "mta-sts.example.jp", "mta-sts.example.co.jp"],
        },
    }
    assert "server_name mta-sts.example.jp mta-sts.example.co.jp;" in files["/etc/nginx/nginx.conf"]
    assert "/etc/gatepost/certificates.json" not in written(build(dev), "gatepost-dev-ms")


def test_it_may_write_the_records_of_its_own_names_in_its_zones(dev: dict[str, Any]) -> None:
    recorder = build(dev | {"alias_domains": {"example.org": "example.jp"}})
    grant = recorder.one("iam/rolePolicy:RolePolicy", f"{RELAY}-certificates")
    statements = {s["Sid"]: s for s in json.loads(grant.inputs["policy"])["Statement"]}
    zone = "arn:aws:route53:::hostedzone/gatepost-dev-{}-id"
    assert statements["Lock"]["Resource"] == zone.format("example.jp")
    assert statements["Prove"]["Resource"] == [
        zone.format(domain) for domain in ("example.co.jp", "example.jp", "example.org")
    ]
    [names] = [
        value
        for key, value in statements["Prove"]["Condition"]["ForAllValues:StringEquals"].items()
        if key.endswith("Names")
    ]
    assert names == [
        "_acme-challenge.dmz-ms.example.jp",
        "_acme-challenge.lock.example.jp",
        "_acme-challenge.mta-sts.example.co.jp",
        "_acme-challenge.mta-sts.example.jp",
        "_acme-challenge.mta-sts.example.org",
    ]
    assert not [
        resource.name
        for resource in recorder.of("iam/rolePolicy:RolePolicy")
        if "route53" in resource.inputs["policy"] and resource is not grant
    ]


def test_before_delegation_nothing_can_be_proved(dev: dict[str, Any]) -> None:
    recorder = build(dev | {"delegated": False})
    assert f"{RELAY}-certificates" not in {
        resource.name for resource in recorder.of("iam/rolePolicy:RolePolicy")
    }
    files = written(recorder, RELAY)
    assert not {path for path in files if "certificates.json" in path or "nginx" in path}
    # Delegation replaces the relay, not the volume.
    assert recorder.one("ebs/volume:Volume", f"{RELAY}-certificates")


def test_another_relay_or_mode_changes_the_policy_and_no_user_data(dev: dict[str, Any]) -> None:
    before = build(dev)
    after = build(dev | {"dns": {"mta_sts": "enforce"}})
    kind, name = "s3/bucketObjectv2:BucketObjectv2", "gatepost-dev-people-policy"
    stored = before.one(kind, name).inputs
    assert stored["key"] == "policy/mta-sts.txt"
    assert "mode: testing\r\nmx: dmz-ms.example.jp\r\n" in stored["content"]
    assert "mode: enforce\r\n" in after.one(kind, name).inputs["content"]
    assert written(before, RELAY) == written(after, RELAY)


def test_rights_that_no_role_can_have_are_refused_at_preview(dev: dict[str, Any]) -> None:
    more = [f"a-rather-long-domain-{number}.example" for number in range(90)]
    settings = dev | {"alias_domains": dict.fromkeys(more, "example.jp")}
    with pytest.raises(SettingsError, match=r"must be at most 9216 characters, got \d+"):
        run(lambda: environment.build("dev", settings), preview=True)


def test_the_dns_tells_of_a_policy_once_that_is_in_the_bucket(dev: dict[str, Any]) -> None:
    records = {
        record.inputs["name"]: record.dependencies
        for record in build(dev).of("route53/record:Record")
        if record.inputs["type"] == "TXT"
    }
    told = {name for name, after in records.items() if "gatepost-dev-people-policy" in after}
    assert told == {"_mta-sts.example.jp", "_mta-sts.example.co.jp"}
