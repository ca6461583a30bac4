"""Public names of the environment under the recording mock."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import grpc
import pytest
from recording import Recorder, run

from model import directory
from model.fields import SettingsError
from model.settings import Environment, read_environment
from stacks import environment, names
from stacks.settings import load_environment

ZONE = "aws:route53/getZone:getZone"
RECORDS = "aws:route53/getRecords:getRecords"
SHARED = {"hosted_zones": {"example.jp": "Z1"}}
FOUND = {"name": "example.jp", "privateZone": False, "nameServers": ["ns-9.test"]}


def there(*sets: dict[str, Any], zone: dict[str, Any] = FOUND) -> dict[str, Any]:
    return {ZONE: zone, RECORDS: {"resourceRecordSets": list(sets), "zoneId": "Z1"}}


def record_set(name: str, kind: str, *values: str) -> dict[str, Any]:
    return {
        "name": f"{name}.",
        "type": kind,
        "resourceRecords": [{"value": value} for value in values],
    }


def build(raw: dict[str, Any], answers: dict[str, Any] | None = None) -> Any:
    return run(lambda: environment.build("dev", raw), answers=answers)


def owner_list(recorder: Recorder) -> Any:
    return recorder.one("route53/record:Record", "gatepost-dev-_gatepost.example.jp-TXT")


def test_an_existing_zone_is_shared_and_our_list_is_written_first(dev: dict[str, Any]) -> None:
    recorder, outputs = build(
        dev | {"dns": SHARED}, there(record_set("example.jp", "A", "1.2.3.4"))
    )
    assert [z.inputs["name"] for z in recorder.of("route53/zone:Zone")] == ["example.co.jp"]
    assert outputs["name_servers"]["example.jp"] == ["ns-9.test"]
    listed = owner_list(recorder)
    assert listed.inputs["zoneId"] == "Z1"
    assert "stack dev" in listed.inputs["records"]
    records = recorder.of("route53/record:Record")
    shared = [r for r in records if r.inputs["zoneId"] == "Z1" and r is not listed]
    assert {f"{r.inputs['type']} {r.inputs['name']}" for r in shared} == set(
        listed.inputs["records"]
    ) - {"stack dev"}
    assert all(listed.name in record.dependencies for record in shared)
    assert not any(r.inputs.get("allowOverwrite") for r in records)


def test_what_others_have_there_is_refused_before_anything_is_made(dev: dict[str, Any]) -> None:
    sets = (
        record_set("example.jp", "MX", "10 old.example.jp."),
        record_set("_dmarc.example.jp", "TXT", '"v=DMARC1; p=none"'),
        {"name": "dmz-ms.example.jp.", "type": "A", "aliasTarget": {"dnsName": "lb.test."}},
    )
    recorder = None
    with pytest.raises(SettingsError) as caught:
        recorder, _ = build(dev | {"dns": SHARED}, there(*sets))
    assert recorder is None
    first, second, third = sorted(caught.value.problems)
    assert '_dmarc.example.jp TXT is there and not ours: "v=DMARC1; p=none"' in first
    assert "dmz-ms.example.jp A is there and not ours: an alias of lb.test." in second
    assert "example.jp MX is there and not ours: 10 old.example.jp." in third


def test_the_next_up_knows_what_is_ours(dev: dict[str, Any]) -> None:
    raw = dev | {"dns": SHARED}
    first, _ = build(raw, there())
    sets = [
        record_set(
            r.inputs["name"],
            r.inputs["type"],
            *(f'"{v}"' if r.inputs["type"] == "TXT" else v for v in r.inputs["records"]),
        )
        for r in first.of("route53/record:Record")
        if r.inputs["zoneId"] == "Z1"
    ]
    again, _ = build(raw, there(*sets))
    assert set(again.resources) == set(first.resources)


@pytest.mark.parametrize(
    ("zone", "sentence"),
    [
        (FOUND | {"name": "example.net"}, "must be a public zone of example.jp, got a zone exa"),
        (FOUND | {"privateZone": True}, "got a private zone example.jp"),
    ],
)
def test_another_zone_is_refused(dev: dict[str, Any], zone: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        build(dev | {"dns": SHARED}, there(zone=zone))


def test_a_zone_that_cannot_be_read_is_refused_with_the_reason(dev: dict[str, Any]) -> None:
    class Denied(grpc.RpcError):
        """What the engine answers for a call that AWS refuses."""

        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNKNOWN

        def details(self) -> str:
            return "AccessDenied"

    def denied(_: Any) -> None:
        raise Denied

    with pytest.raises(SettingsError, match=r"example\.jp: must be a zone of .*AccessDenied"):
        build(dev | {"dns": SHARED}, {ZONE: denied})


def test_before_delegation_nothing_is_made_that_needs_it(dev: dict[str, Any]) -> None:
    recorder, outputs = build(dev | {"delegated": False})
    assert recorder.of("ec2/eipDomainName:EipDomainName") == []
    made = {r.inputs["name"] for r in recorder.of("route53/record:Record")}
    assert {"example.jp", "dmz-ms.example.jp", "_dmarc.example.jp"} <= made
    assert not [name for name in made if "mta-sts" in name]
    assert outputs["name_servers"]["example.co.jp"] == ["ns-1.test", "ns-2.test"]


def test_one_sentence_says_what_waits_and_what_to_do(dev: dict[str, Any]) -> None:
    values, _ = read_environment(dev | {"delegated": False, "outbound": "direct"})
    waits = Environment(**values)
    said = names.waiting(waits)
    for part in ("dmz-ms.example.jp, out.example.jp", "MTA-STS", "certificates", "name_servers"):
        assert part in said
    assert "environment.delegated to true" in said
    assert names.waiting(replace(waits, delegated=True)) == ""
    by_smarthost = names.waiting(replace(waits, outbound="smarthost"))
    assert "the reverse names of dmz-ms.example.jp; certificates" in by_smarthost


@pytest.mark.parametrize(
    ("changes", "exit"),
    [
        ({}, "dmz-ms"),
        ({"outbound": "direct"}, "out"),
        ({"dns": {"also_leaves_by": ["direct"]}}, "out"),
    ],
)
def test_the_hub_sends_once_its_exit_has_its_names(
    dev: dict[str, Any], changes: dict[str, Any], exit: str
) -> None:
    recorder, outputs = build(dev | changes)
    assert f"{exit}.example.jp" in outputs["exits"]
    label = "nat" if exit == "out" else exit
    wanted = {f"gatepost-dev-{label}"} | {
        f"gatepost-dev-{name}"
        for name in (
            f"{exit}.example.jp-A",
            f"{exit}.example.jp-TXT",
            "example.jp-TXT",
            "example.co.jp-TXT",
        )
    }
    assert recorder.one("ec2/eipDomainName:EipDomainName", f"gatepost-dev-{label}")
    assert wanted <= recorder.one("ec2/instance:Instance", "gatepost-dev-ms").dependencies


def test_signed_zones_have_one_key_that_only_route_53_may_use(dev: dict[str, Any]) -> None:
    raw = dev | {"dns": {"dnssec": True}, "protect": True}
    recorder, outputs = build(raw)
    key = recorder.one("kms/key:Key", "gatepost-dev-dnssec")
    assert key.protect
    assert (key.inputs["customerMasterKeySpec"], key.inputs["keyUsage"]) == (
        "ECC_NIST_P256",
        "SIGN_VERIFY",
    )
    services = [
        statement
        for statement in json.loads(key.inputs["policy"])["Statement"]
        if "Service" in statement["Principal"]
    ]
    signs, grants = services
    assert signs["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}
    # Route 53's own example has no other condition here; the grant is for its KMS key's account.
    assert grants["Condition"] == {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    for signing in recorder.of("route53/hostedZoneDnsSec:HostedZoneDnsSec"):
        assert signing.dependencies >= {signing.name}
    signed = {s.inputs["hostedZoneId"] for s in recorder.of("route53/keySigningKey:KeySigningKey")}
    assert signed == {"gatepost-dev-example.jp-id", "gatepost-dev-example.co.jp-id"}
    assert set(outputs["ds"]) == {"example.jp", "example.co.jp"}
    assert build(dev)[0].of("route53/keySigningKey:KeySigningKey") == []


def test_an_existing_zone_is_not_signed(dev: dict[str, Any]) -> None:
    recorder, _ = build(dev | {"dns": SHARED | {"dnssec": True}}, there())
    signed = [s.name for s in recorder.of("route53/keySigningKey:KeySigningKey")]
    assert signed == ["gatepost-dev-dnssec-example.co.jp"]


def test_outputs_tell_every_record_and_every_exit(dev: dict[str, Any]) -> None:
    recorder, outputs = build(dev | {"outbound": "direct"})
    told = {(r["name"], r["type"]): r["values"] for r in outputs["records"]}
    made = {(r.inputs["name"], r.inputs["type"]): r for r in recorder.of("route53/record:Record")}
    assert set(told) == set(made)
    relay = outputs["hosts"][0]["public_ip"]
    assert told["dmz-ms.example.jp", "A"] == [relay]
    assert outputs["exits"] == {"dmz-ms.example.jp": relay, "out.example.jp": outputs["nat"]}


def test_a_long_text_is_written_as_several_strings(dev: dict[str, Any]) -> None:
    key = f"v=DKIM1; k=rsa; p={'A' * 390}"
    recorder, outputs = build(dev | {"dns": {"dkim": {"s1": key}}})
    [value] = recorder.one(
        "route53/record:Record", "gatepost-dev-s1._domainkey.example.jp-TXT"
    ).inputs["records"]
    assert value == f'{key[:255]}" "{key[255:]}'
    assert [key] in [r["values"] for r in outputs["records"]]


def test_an_alias_domain_takes_the_mail_of_its_mail_domain(dev: dict[str, Any]) -> None:
    raw = dev | {"alias_domains": {"example.com": "example.jp"}}
    settings, people = load_environment("dev", raw)
    assert people.aliases["taro@example.com"] == ("taro@example.jp",)
    assert people.aliases["info@example.com"] == people.aliases["info@example.jp"]
    assert people.aliases["postmaster@example.com"] == ("taro@example.jp",)
    assert "jiro@example.com" not in people.addresses
    assert set(people.open_aliases) == {"info@example.jp", "info@example.com"}
    recorder, outputs = build(raw)
    assert settings.every_domain == ("example.jp", "example.co.jp", "example.com")
    stored = recorder.one("s3/bucketObjectv2:BucketObjectv2", "gatepost-dev-people-addresses")
    assert stored.inputs["key"].startswith(directory.ADDRESSES)
    assert "hanako@example.com" in json.loads(stored.inputs["content"])["addresses"]
    terms = json.loads(
        recorder.one("ssm/parameter:Parameter", "gatepost-dev-contract").inputs["value"]["value"]
    )
    assert terms["alias_domains"] == {"example.com": "example.jp"}
    assert outputs["alias_domains"] == {"example.com": "example.jp"}
