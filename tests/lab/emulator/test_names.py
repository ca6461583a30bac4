"""Names in the emulator: Route 53 record sets and reverse names, checked as AWS does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.emulator.steps import allocate, refused


def test_a_reverse_name_needs_its_a_record_and_holds_the_address(
    ec2: Any, client: Callable[[str], Any]
) -> None:
    address, route53 = allocate(ec2), client("route53")
    request = {"AllocationId": address["AllocationId"], "DomainName": "mx.ptr.test"}
    with refused("InvalidParameterValue"):
        ec2.modify_address_attribute(**request)
    zone = route53.create_hosted_zone(Name="ptr.test", CallerReference="1")["HostedZone"]["Id"]
    upsert(route53, zone, "mx.ptr.test", "A", address["PublicIp"])
    ec2.modify_address_attribute(**request)
    found = ec2.describe_addresses_attribute(
        AllocationIds=[address["AllocationId"]], Attribute="domain-name"
    )
    assert found["Addresses"][0]["PtrRecord"] == "mx.ptr.test."
    with refused("InvalidAddress.Locked"):
        ec2.release_address(AllocationId=address["AllocationId"])
    ec2.reset_address_attribute(AllocationId=address["AllocationId"], Attribute="domain-name")
    ec2.release_address(AllocationId=address["AllocationId"])


def upsert(
    route53: Any, zone: str, name: str, kind: str, value: str, action: str = "UPSERT"
) -> None:
    record = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}
    changes = [{"Action": action, "ResourceRecordSet": record}]
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("A", "198.51.100.300"),
        ("AAAA", "198.51.100.3"),
        ("MX", "mx.example.org."),
        ("MX", "70000 mx.example.org."),
        ("TXT", "v=spf1 -all"),
        ("TXT", '"' + "x" * 256 + '"'),
        ("CNAME", "a b"),
        ("CAA", "0 issue letsencrypt.org"),
    ],
)
def test_malformed_record_values_are_refused(
    client: Callable[[str], Any], kind: str, value: str
) -> None:
    route53 = client("route53")
    zone = route53.create_hosted_zone(Name="bad.test", CallerReference=kind + value[:9])
    with refused("InvalidChangeBatch"):
        upsert(route53, zone["HostedZone"]["Id"], "x.bad.test", kind, value)


def test_existing_record_sets_and_cnames_beside_others_are_refused(
    client: Callable[[str], Any],
) -> None:
    route53 = client("route53")
    zone = route53.create_hosted_zone(Name="two.test", CallerReference="two")["HostedZone"]["Id"]
    upsert(route53, zone, "A.two.test", "A", "192.0.2.1", "CREATE")
    with refused("InvalidChangeBatch"):
        upsert(route53, zone, "a.two.test", "A", "192.0.2.2", "CREATE")
    with refused("InvalidChangeBatch"):
        upsert(route53, zone, "a.two.test", "CNAME", "b.two.test")
    names = [
        r["Name"]
        for r in route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    ]
    assert "a.two.test." in names
    with refused("HostedZoneNotEmpty"):
        route53.delete_hosted_zone(Id=zone)
