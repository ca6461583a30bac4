"""Reads hosted zones from Route 53, and the reverse names of Elastic IPs from EC2."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from lab.world.api import pages
from lab.world.errors import WorldError
from lab.world.model import Record, SigningKey, Zone


def read_zones(route53: Any) -> tuple[Zone, ...]:
    """All hosted zones with their record sets.

    Raises:
        WorldError: a record set is an alias or has a routing policy.
    """
    zones = (_zone(route53, found) for found in pages(route53, "list_hosted_zones", "HostedZones"))
    return tuple(sorted(zones, key=attrgetter("id")))


def read_zone(route53: Any, identifier: str) -> Zone:
    """One hosted zone with its record sets.

    Raises:
        WorldError: as `read_zones`.
    """
    return _zone(route53, route53.get_hosted_zone(Id=identifier)["HostedZone"])


def _zone(route53: Any, found: Mapping[str, Any]) -> Zone:
    private = found["Config"]["PrivateZone"]
    vpcs = route53.get_hosted_zone(Id=found["Id"])["VPCs"] if private else ()
    records = (
        _record(found["Name"], record)
        for record in pages(
            route53, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=found["Id"]
        )
    )
    identifier = found["Id"].rpartition("/")[2]
    # Route 53 signs public zones only and refuses the question for the others.
    dnssec = {} if private else route53.get_dnssec(HostedZoneId=identifier)
    return Zone(
        id=identifier,
        name=absolute(found["Name"]),
        private=private,
        vpcs=tuple(sorted(vpc["VPCId"] for vpc in vpcs)),
        records=tuple(sorted(records, key=attrgetter("name", "type"))),
        signed=dnssec.get("Status", {}).get("ServeSignature") == "SIGNING",
        keys=_signing_keys(dnssec),
    )


def _signing_keys(dnssec: Mapping[str, Any]) -> tuple[SigningKey, ...]:
    keys = (
        SigningKey(
            name=key["Name"],
            kms_key=key["KmsArn"],
            tag=key["KeyTag"],
            dnskey=key["DNSKEYRecord"],
            ds=key["DSRecord"],
        )
        for key in dnssec.get("KeySigningKeys", ())
        if key["Status"] == "ACTIVE"
    )
    return tuple(sorted(keys, key=attrgetter("name")))


def _record(zone: str, record: Mapping[str, Any]) -> Record:
    for key in ("AliasTarget", "SetIdentifier"):
        if record.get(key):
            raise WorldError(
                f"zone {zone}, record set {record['Name']} {record['Type']}: the lab knows simple "
                f"record sets with values, this one has {key} {record[key]!r}"
            )
    return Record(
        name=absolute(record["Name"]),
        type=record["Type"],
        ttl=record["TTL"],
        values=tuple(value["Value"] for value in record["ResourceRecords"]),
    )


def absolute(name: str) -> str:
    r"""The name in lower case, with its final dot and with `*` for Route 53's `\052`.

    Route 53 answers the asterisk of a wildcard as its octal code (Route 53 Developer Guide, "DNS
    domain name format").
    """
    plain = name.replace(r"\052", "*").lower()
    return plain if plain.endswith(".") else f"{plain}."


def read_pointers(ec2: Any) -> tuple[tuple[str, str], ...]:
    """(address, name) of each Elastic IP with a reverse name, the name with its final dot."""
    found = pages(ec2, "describe_addresses_attribute", "Addresses", Attribute="domain-name")
    return tuple(
        sorted(
            (item["PublicIp"], absolute(item["PtrRecord"]))
            for item in found
            if item.get("PtrRecord")
        )
    )
