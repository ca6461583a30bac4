"""Names in the emulator: Route 53 record sets and reverse names, checked as AWS does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated import Emulator

from lab.faults import SOUND, Faults
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
        ("TLSA", "3 1 1 xyz"),
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


@pytest.fixture
def zone(client: Callable[[str], Any], request: pytest.FixtureRequest) -> str:
    """A hosted zone `lock.test` of the test's own."""
    made = client("route53").create_hosted_zone(
        Name="lock.test", CallerReference=request.node.name[:128]
    )
    return made["HostedZone"]["Id"]


def change(action: str, value: str, *, ttl: int = 60, name: str = "lock.test") -> dict[str, Any]:
    record = {
        "Name": name,
        "Type": "TXT",
        "TTL": ttl,
        "ResourceRecords": [{"Value": f'"{one}"'} for one in value.split(",")],
    }
    return {"Action": action, "ResourceRecordSet": record}


def batch(route53: Any, zone: str, *changes: dict[str, Any]) -> None:
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": list(changes)})


def held(route53: Any, zone: str) -> dict[str, list[str]]:
    found = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {
        record["Name"]: sorted(value["Value"].strip('"') for value in record["ResourceRecords"])
        for record in found
        if record["Type"] == "TXT"
    }


def test_what_exists_cannot_be_created(client: Callable[[str], Any], zone: str) -> None:
    route53 = client("route53")
    batch(route53, zone, change("CREATE", "a"))
    with pytest.raises(ClientError, match="already exists"):
        batch(route53, zone, change("CREATE", "a"))
    batch(route53, zone, change("DELETE", "a"))
    batch(route53, zone, change("CREATE", "a"))
    assert held(route53, zone) == {"lock.test.": ["a"]}


@pytest.mark.parametrize(
    ("deleted", "said"),
    [
        (change("DELETE", "b"), "do not match the current values"),
        (change("DELETE", "a,b"), "do not match the current values"),
        (change("DELETE", "a", ttl=61), "do not match the current values"),
        (change("DELETE", "a", name="other.lock.test"), "not found"),
    ],
)
def test_only_what_is_there_can_be_deleted(
    client: Callable[[str], Any], zone: str, deleted: dict[str, Any], said: str
) -> None:
    route53 = client("route53")
    batch(route53, zone, change("CREATE", "a"))
    with pytest.raises(ClientError, match=said):
        batch(route53, zone, deleted)
    assert held(route53, zone) == {"lock.test.": ["a"]}


def test_what_was_there_once_cannot_be_deleted_again(
    client: Callable[[str], Any], zone: str
) -> None:
    route53 = client("route53")
    batch(route53, zone, change("CREATE", "a,b"))
    batch(route53, zone, change("UPSERT", "c"))
    with pytest.raises(ClientError, match="do not match"):
        batch(route53, zone, change("DELETE", "a,b"))
    batch(route53, zone, change("UPSERT", "a,b"))
    batch(route53, zone, change("DELETE", "b,a"))  # values have no order
    with pytest.raises(ClientError, match="not found"):
        batch(route53, zone, change("DELETE", "a,b"))


def test_a_batch_replaces_in_one_step_or_changes_nothing(
    client: Callable[[str], Any], zone: str
) -> None:
    route53 = client("route53")
    batch(route53, zone, change("CREATE", "old"))
    with pytest.raises(ClientError, match="already exists"):
        batch(route53, zone, change("CREATE", "x", name="x.lock.test"), change("CREATE", "new"))
    with pytest.raises(ClientError, match="not permitted in zone"):
        batch(route53, zone, change("DELETE", "old"), change("CREATE", "x", name="notlock.test"))
    assert held(route53, zone) == {"lock.test.": ["old"]}
    batch(route53, zone, change("DELETE", "old"), change("CREATE", "new"))
    assert held(route53, zone) == {"lock.test.": ["new"]}


def test_of_many_who_create_at_once_one_succeeds(client: Callable[[str], Any], zone: str) -> None:
    clients = [client("route53") for _ in range(8)]

    def takes(number: int) -> bool:
        try:
            batch(clients[number], zone, change("CREATE", str(number)))
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor() as pool:
        assert sum(pool.map(takes, range(len(clients)))) == 1


def test_a_reverse_name_must_resolve_from_the_internet(
    ec2: Any, client: Callable[[str], Any]
) -> None:
    address, route53 = allocate(ec2), client("route53")
    request = {"AllocationId": address["AllocationId"], "DomainName": "mx.below.above.test"}
    zones = {
        name: route53.create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]["Id"]
        for name in ("above.test", "below.above.test")
    }
    upsert(route53, zones["below.above.test"], "mx.below.above.test", "A", address["PublicIp"])
    # Nothing leads to the lower zone: the Internet asks the upper one, which has no such name.
    with refused("InvalidParameterValue"):
        ec2.modify_address_attribute(**request)
    upsert(route53, zones["above.test"], "below.above.test", "NS", "ns-2048.awsdns-64.com.")
    ec2.modify_address_attribute(**request)
    ec2.reset_address_attribute(AllocationId=address["AllocationId"], Attribute="domain-name")
    ec2.release_address(AllocationId=address["AllocationId"])


def test_while_the_registrar_delegates_nothing_no_reverse_name_is_taken(
    ec2: Any, client: Callable[[str], Any], emulator: Emulator
) -> None:
    address, route53 = allocate(ec2), client("route53")
    request = {"AllocationId": address["AllocationId"], "DomainName": "mx.new.test"}
    zone = route53.create_hosted_zone(Name="new.test", CallerReference="new")["HostedZone"]["Id"]
    upsert(route53, zone, "mx.new.test", "A", address["PublicIp"])
    emulator.fault(Faults(undelegated=True))
    try:
        with pytest.raises(ClientError, match=r"from the Internet .*no A record"):
            ec2.modify_address_attribute(**request)
    finally:
        emulator.fault(SOUND)
    ec2.modify_address_attribute(**request)
    ec2.reset_address_attribute(AllocationId=address["AllocationId"], Attribute="domain-name")
    ec2.release_address(AllocationId=address["AllocationId"])
