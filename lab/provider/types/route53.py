"""Hosted zones and record sets. Registry pages: aws/route53/{zone,record}."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, tag_list, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS
from lab.provider.values import Values

QUOTED = ("TXT", "SPF")
"""Types whose values the real provider puts in quotes, so that the program writes none."""


def _create_zone(aws: Aws, new: Values) -> str:
    request: dict[str, Any] = {}
    if vpcs := new.get("vpcs"):
        request["VPC"] = _vpc(aws, vpcs[0])
    made = aws.route53.create_hosted_zone(
        Name=new["name"],
        CallerReference=str(uuid.uuid4()),
        HostedZoneConfig={"Comment": new["comment"], "PrivateZone": bool(vpcs)},
        **request,
    )
    return made["HostedZone"]["Id"].removeprefix("/hostedzone/")


def _vpc(aws: Aws, vpc: Values) -> dict[str, str]:
    return {"VPCId": vpc["vpcId"], "VPCRegion": vpc.get("vpcRegion", aws.region)}


def _settle_zone(aws: Aws, identifier: str, new: Values) -> None:
    for vpc in new.get("vpcs", [])[1:]:
        aws.route53.associate_vpc_with_hosted_zone(HostedZoneId=identifier, VPC=_vpc(aws, vpc))
    _retag_zone(aws, identifier, {}, new)


def _retag_zone(aws: Aws, identifier: str, old: Values, new: Values) -> None:
    before, after = old.get("tags") or {}, new.get("tags") or {}
    gone = [key for key in before if key not in after]
    change = {"AddTags": tag_list(after)} if after else {}
    change |= {"RemoveTagKeys": gone} if gone else {}
    if change:
        aws.route53.change_tags_for_resource(
            ResourceType="hostedzone", ResourceId=identifier, **change
        )


def _read_zone(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.route53.get_hosted_zone(Id=identifier)
    zone = found["HostedZone"]
    servers = sorted(found.get("DelegationSet", {}).get("NameServers", []))
    tags = aws.route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=identifier)
    vpcs = [{"vpcId": vpc["VPCId"], "vpcRegion": vpc["VPCRegion"]} for vpc in found.get("VPCs", [])]
    return {
        "arn": f"arn:aws:route53:::hostedzone/{identifier}",
        "comment": zone["Config"].get("Comment"),
        "name": zone["Name"].rstrip("."),
        "nameServers": servers,
        "primaryNameServer": servers[0] if servers else None,
        "tags": tag_map(tags["ResourceTagSet"].get("Tags")),
        "vpcs": vpcs,
        "zoneId": identifier,
    }


def _update_zone(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if "comment" in changed:
        aws.route53.update_hosted_zone_comment(Id=identifier, Comment=new["comment"])
    if "vpcs" in changed:
        before = {vpc["vpcId"]: vpc for vpc in old.get("vpcs", [])}
        after = {vpc["vpcId"]: vpc for vpc in new.get("vpcs", [])}
        # Route 53 refuses to take the last VPC from a private zone: add before removing.
        for vpc in (after[key] for key in after.keys() - before.keys()):
            aws.route53.associate_vpc_with_hosted_zone(HostedZoneId=identifier, VPC=_vpc(aws, vpc))
        for vpc in (before[key] for key in before.keys() - after.keys()):
            aws.route53.disassociate_vpc_from_hosted_zone(
                HostedZoneId=identifier, VPC=_vpc(aws, vpc)
            )
    _retag_zone(aws, identifier, old, new)


def _delete_zone(aws: Aws, identifier: str, state: Values) -> None:
    if state.get("forceDestroy"):
        for record in _records(aws, identifier):
            if record["Type"] not in ("NS", "SOA"):
                _change(aws, identifier, "DELETE", record)
    aws.route53.delete_hosted_zone(Id=identifier)


def _private_or_public(value: Any) -> str | None:
    return None if isinstance(value, list) else f"must be a list, got {value!r}"


ZONE = Resource(
    token="aws:route53/zone:Zone",
    inputs={
        "comment": Property(default="Managed by Pulumi"),
        "forceDestroy": Property(default=False),
        "name": Property(
            required=True, replaces=True, normal=lambda name: name.lower().rstrip(".")
        ),
        "tags": TAGS,
        "vpcs": Property(
            unordered=True,
            fields={
                "vpcId": Property(required=True),
                "vpcRegion": Property(computed=True),
            },
            check=_private_or_public,
        ),
    },
    outputs=("arn", "nameServers", "primaryNameServer", "zoneId"),
    create=_create_zone,
    settle=_settle_zone,
    read=_read_zone,
    update=_update_zone,
    delete=_delete_zone,
)


def _records(aws: Aws, zone: str) -> list[dict[str, Any]]:
    pages = aws.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    return [record for page in pages for record in page["ResourceRecordSets"]]


def _change(aws: Aws, zone: str, action: str, record: dict[str, Any]) -> None:
    changes = [{"Action": action, "ResourceRecordSet": record}]
    aws.route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": changes})


def _full_name(aws: Aws, values: Values) -> str:
    """Without final dot; the program may write the name with or without the zone's."""
    name = values["name"].lower().rstrip(".")
    zone = aws.route53.get_hosted_zone(Id=values["zoneId"])["HostedZone"]["Name"].rstrip(".")
    if not name or name == "@":
        return zone
    return name if name == zone or name.endswith(f".{zone}") else f"{name}.{zone}"


def _record(aws: Aws, new: Values) -> dict[str, Any]:
    quote = '"{}"' if new["type"] in QUOTED else "{}"
    return {
        "Name": _full_name(aws, new),
        "Type": new["type"],
        "TTL": new["ttl"],
        "ResourceRecords": [{"Value": quote.format(value)} for value in new["records"]],
    }


def _create_record(aws: Aws, new: Values) -> str:
    action = "UPSERT" if new.get("allowOverwrite") else "CREATE"
    record = _record(aws, new)
    _change(aws, new["zoneId"], action, record)
    return f"{new['zoneId']}_{record['Name']}_{new['type']}"


def _find_record(aws: Aws, state: Values) -> dict[str, Any] | None:
    name = f"{_full_name(aws, state)}."
    for record in _records(aws, state["zoneId"]):
        # ListResourceRecordSets shows the asterisk of a wildcard as \052.
        if record["Name"].replace("\\052", "*") == name and record["Type"] == state["type"]:
            return record
    return None


def _read_record(aws: Aws, _identifier: str, state: Values) -> Values | None:
    record = _find_record(aws, state)
    if record is None:
        return None
    found = [value["Value"] for value in record["ResourceRecords"]]
    quoted = record["Type"] in QUOTED
    return {
        "fqdn": _full_name(aws, state),
        "records": [value[1:-1] for value in found] if quoted else found,
        "ttl": record["TTL"],
        "type": record["Type"],
    }


def _update_record(aws: Aws, _id: str, _old: Values, new: Values, _changed: set[str]) -> None:
    _change(aws, new["zoneId"], "UPSERT", _record(aws, new))


def _delete_record(aws: Aws, _identifier: str, state: Values) -> None:
    # The API wants exactly what is there now, which may have drifted from the state.
    record = _find_record(aws, state)
    if record is not None:
        _change(aws, state["zoneId"], "DELETE", record)


def _record_rules(new: Values) -> Iterable[str]:
    if "records" in new and not new["records"]:
        yield "records must have at least one value"


RECORD = Resource(
    token="aws:route53/record:Record",
    inputs={
        "allowOverwrite": Property(default=False),
        "name": Property(
            required=True, replaces=True, normal=lambda name: name.lower().rstrip(".")
        ),
        "records": Property(required=True, unordered=True),
        "ttl": Property(required=True),
        "type": Property(
            required=True,
            replaces=True,
            check=checks.one_of(
                "A", "AAAA", "CAA", "CNAME", "MX", "NS", "PTR", "SPF", "SRV", "TLSA", "TXT"
            ),
        ),
        "zoneId": Property(required=True, replaces=True),
    },
    outputs=("fqdn",),
    create=_create_record,
    read=_read_record,
    update=_update_record,
    delete=_delete_record,
    check=_record_rules,
)

TYPES = (ZONE, RECORD)
