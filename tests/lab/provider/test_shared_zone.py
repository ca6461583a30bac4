"""The program's names in a zone that others use too, through the real engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.engine.deploy import EngineError

PROGRAM = """
from model.settings import Environment, read_environment
from stacks import names

values, problems = read_environment({
    "region": "ap-northeast-1",
    "zones": ["ap-northeast-1a"],
    "network": "10.1.0.0/16",
    "branches": "192.168.0.0/16",
    "domains": ["shared.test"],
    "relays": [{"host": "mx.shared.test"}],
    "hub": {"host": "ms.shared.test"},
    "delegated": True,
    "people": "people.yaml",
    "image": "ami-01b1eba85c1cd6a3d",
    "administrator_key": "ssh-ed25519 AAAA",
    "dns": DNS,
})
assert not problems, problems
settings = Environment(**values)
existing = names.existing_zones("dev", settings, provider)
address = aws.ec2.Eip("mx", domain="vpc", opts=options)
nat = aws.ec2.Eip("nat", domain="vpc", opts=options)
made = names.declare(
    "mail", "dev", settings, relays={"mx.shared.test": address}, nat=nat, existing=existing,
    published=(), account="123456789012", opts=options,
)
pulumi.export("address", address.public_ip)
pulumi.export("servers", made.servers)
"""


@pytest.fixture
def route53(client: Callable[[str], Any]) -> Any:
    return client("route53")


@pytest.fixture
def zone(route53: Any) -> str:
    made = route53.create_hosted_zone(Name="shared.test", CallerReference="shared")
    return made["HostedZone"]["Id"].rpartition("/")[2]


def change(route53: Any, zone: str, action: str, name: str, kind: str, *values: str) -> None:
    record = {
        "Name": name,
        "Type": kind,
        "TTL": 60,
        "ResourceRecords": [{"Value": value} for value in values],
    }
    route53.change_resource_record_sets(
        HostedZoneId=zone,
        ChangeBatch={"Changes": [{"Action": action, "ResourceRecordSet": record}]},
    )


def listed(route53: Any, zone: str) -> dict[str, list[str]]:
    sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return {
        f"{item['Name'].rstrip('.')} {item['Type']}": [
            value["Value"] for value in item["ResourceRecords"]
        ]
        for item in sets
        if item["Type"] not in ("NS", "SOA")
    }


def test_a_shared_zone_loses_nothing_and_gains_what_is_ours(
    project: Any, route53: Any, zone: str
) -> None:
    foreign = [
        ("shared.test", "MX", "10 old.test."),
        ("shared.test", "TXT", '"v=spf1 mx -all"', '"proof=1"'),
        ("www.shared.test", "A", "192.0.2.80"),
    ]
    for record in foreign:
        change(route53, zone, "CREATE", *record)
    before = listed(route53, zone)
    plain = {"hosted_zones": {"shared.test": zone}}
    project.program(PROGRAM.replace("DNS", repr(plain)))
    with pytest.raises(EngineError) as refused:
        project.engine.preview("dev")
    assert "shared.test MX is there and not ours: 10 old.test." in str(refused.value)
    assert '"proof=1"; take what must stay into environment.dns.texts' in str(refused.value)
    with pytest.raises(EngineError):
        project.engine.up("dev")
    assert listed(route53, zone) == before

    for record in foreign[:2]:
        change(route53, zone, "DELETE", *record)
    project.program(PROGRAM.replace("DNS", repr(plain | {"texts": {"shared.test": ["proof=1"]}})))
    made = project.engine.up("dev")
    there = listed(route53, zone)
    address = made.outputs["address"]
    assert made.outputs["servers"]["shared.test"][0].startswith("ns-")
    assert there["www.shared.test A"] == ["192.0.2.80"]
    assert there["shared.test MX"] == ["10 mx.shared.test."]
    assert sorted(there["shared.test TXT"]) == ['"proof=1"', f'"v=spf1 ip4:{address} -all"']
    assert set(there["_gatepost.shared.test TXT"]) == {
        '"stack dev"',
        *(
            f'"{key.partition(" ")[2]} {key.partition(" ")[0]}"'
            for key in there
            if not key.startswith(("www.", "_gatepost."))
        ),
    }
    assert project.engine.up("dev").changes == (), "the next one knows what is ours"

    change(route53, zone, "CREATE", "late._domainkey.shared.test", "TXT", '"v=DKIM1; p=AAAA"')
    with_key = plain | {"dkim": {"late": "v=DKIM1; p=BBBB"}, "texts": {"shared.test": ["proof=1"]}}
    project.program(PROGRAM.replace("DNS", repr(with_key)))
    with pytest.raises(EngineError, match=r"late\._domainkey\.shared\.test TXT is there and not"):
        project.engine.up("dev")
    change(route53, zone, "DELETE", "late._domainkey.shared.test", "TXT", '"v=DKIM1; p=AAAA"')
    project.engine.up("dev")
    assert '"TXT late._domainkey.shared.test"' in listed(route53, zone)["_gatepost.shared.test TXT"]

    project.engine.destroy("dev")
    assert listed(route53, zone) == {"www.shared.test A": ["192.0.2.80"]}
    change(route53, zone, "DELETE", *foreign[2])
    route53.delete_hosted_zone(Id=zone)
