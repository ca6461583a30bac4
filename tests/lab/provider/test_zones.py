"""Existing zones as the program finds them, and zones that Route 53 signs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.engine.deploy import EngineError
from lab.world.dns import read_zones

LOOKUP = """
invoke = pulumi.InvokeOptions(provider=provider)
zone = aws.route53.get_zone(zone_id="{zone}", opts=invoke)
pulumi.export("zone", [zone.name, zone.private_zone, len(zone.name_servers)])
found = aws.route53.get_records(zone_id="{zone}", opts=invoke).resource_record_sets
pulumi.export(
    "records",
    {{
        f"{{item.name}} {{item.type}}": (
            item.alias_target.dns_name
            if item.alias_target
            else [record.value for record in item.resource_records]
        )
        for item in found
        if item.type not in ("NS", "SOA")
    }},
)
"""
SIGNED = """
from components.dnssec import Signing

zones = {
    name: aws.route53.Zone(name, name=name, opts=options)
    for name in ("one.test", "two.test")
}
signing = Signing(
    "signing",
    zones=zones if SIGNED else {},
    account="123456789012",
    protect=False,
    opts=options,
)
pulumi.export("ds", signing.ds)
"""


@pytest.fixture
def route53(client: Callable[[str], Any]) -> Any:
    return client("route53")


def test_the_record_sets_of_an_existing_zone_are_found(project: Any, route53: Any) -> None:
    zone = route53.create_hosted_zone(Name="there.test", CallerReference="there")["HostedZone"]
    identifier = zone["Id"].rpartition("/")[2]
    alias = {"HostedZoneId": "Z2", "DNSName": "web.test.", "EvaluateTargetHealth": False}
    sets: list[dict[str, Any]] = [
        {"Name": "there.test", "Type": "A", "AliasTarget": alias},
        {
            "Name": "there.test",
            "Type": "TXT",
            "TTL": 60,
            "ResourceRecords": [{"Value": '"one" "two"'}, {"Value": '"three"'}],
        },
    ]
    changes = [{"Action": "CREATE", "ResourceRecordSet": record} for record in sets]
    route53.change_resource_record_sets(HostedZoneId=identifier, ChangeBatch={"Changes": changes})
    project.program(LOOKUP.format(zone=identifier))
    outputs = project.engine.up("dev").outputs
    assert outputs["zone"] == ["there.test", False, 4]
    assert outputs["records"] == {
        "there.test. A": "web.test.",
        "there.test. TXT": ['"one" "two"', '"three"'],
    }
    for change in changes:
        change["Action"] = "DELETE"
    route53.change_resource_record_sets(HostedZoneId=identifier, ChangeBatch={"Changes": changes})
    route53.delete_hosted_zone(Id=identifier)


def test_a_zone_that_is_not_there_is_an_error(project: Any) -> None:
    project.program(LOOKUP.format(zone="ZNONE"))
    with pytest.raises(EngineError, match="NoSuchHostedZone"):
        project.engine.up("dev")


@pytest.mark.parametrize("project", ["us-east-1"], indirect=True)
def test_zones_are_signed_and_the_signing_is_taken_back(project: Any, route53: Any) -> None:
    project.program(SIGNED.replace("SIGNED", "True"))
    created = project.engine.up("dev")
    zones = {zone.name: zone for zone in read_zones(route53)}
    assert zones["one.test."].signed
    assert zones["two.test."].signed
    for name, ds in created.outputs["ds"].items():
        (key,) = zones[f"{name}."].keys
        assert key.ds == ds
        assert key.kms_key.startswith("arn:aws:kms:us-east-1:")
    assert project.engine.up("dev").changes == ()
    assert project.engine.up("dev", refresh=True).changes == ()
    project.program(SIGNED.replace("SIGNED", "False"))
    project.engine.up("dev")
    assert [(zone.signed, zone.keys) for zone in read_zones(route53)] == [(False, ())] * 2
