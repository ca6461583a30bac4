"""Reads Transit Gateways: what is attached to them, and which way their own tables lead."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from lab.world.api import filters, pages
from lab.world.errors import WorldError
from lab.world.model import TransitAttachment, TransitKind, TransitRoute, TransitTable

_KINDS: dict[str, TransitKind] = {"vpc": "vpc", "vpn": "vpn"}
_STATES = ["active", "blackhole"]


def read_transit_attachments(ec2: Any) -> tuple[TransitAttachment, ...]:
    """Everything that is attached to a Transit Gateway.

    Raises:
        WorldError: it is of a kind that the lab has not (another gateway, Direct Connect...).
    """
    subnets = {
        item["TransitGatewayAttachmentId"]: tuple(sorted(item["SubnetIds"]))
        for item in pages(
            ec2, "describe_transit_gateway_vpc_attachments", "TransitGatewayVpcAttachments"
        )
    }
    found = pages(
        ec2,
        "describe_transit_gateway_attachments",
        "TransitGatewayAttachments",
        Filters=filters(state=["available"]),
    )
    attachments = (_attachment(item, subnets) for item in found)
    return tuple(sorted(attachments, key=attrgetter("id")))


def _attachment(
    item: Mapping[str, Any], subnets: Mapping[str, tuple[str, ...]]
) -> TransitAttachment:
    identifier, kind = item["TransitGatewayAttachmentId"], item["ResourceType"]
    if kind not in _KINDS:
        raise WorldError(
            f"transit gateway attachment {identifier} is a {kind}: the lab knows VPCs and VPNs only"
        )
    return TransitAttachment(
        id=identifier,
        gateway=item["TransitGatewayId"],
        kind=_KINDS[kind],
        resource=item["ResourceId"],
        subnets=subnets.get(identifier, ()),
        table=item.get("Association", {}).get("TransitGatewayRouteTableId"),
    )


def read_transit_tables(ec2: Any) -> tuple[TransitTable, ...]:
    """The route tables of all Transit Gateways.

    Raises:
        WorldError: a table has more routes than one answer holds.
    """
    found = pages(
        ec2, "describe_transit_gateway_route_tables", "TransitGatewayRouteTables", Filters=[]
    )
    tables = (
        TransitTable(
            id=item["TransitGatewayRouteTableId"],
            gateway=item["TransitGatewayId"],
            routes=_routes(ec2, item["TransitGatewayRouteTableId"]),
        )
        for item in found
        if item["State"] == "available"
    )
    return tuple(sorted(tables, key=attrgetter("id")))


def _routes(ec2: Any, table: str) -> tuple[TransitRoute, ...]:
    answer = ec2.search_transit_gateway_routes(
        TransitGatewayRouteTableId=table, Filters=filters(state=_STATES)
    )
    if answer.get("AdditionalRoutesAvailable"):
        raise WorldError(f"{table} has more routes than AWS tells in one answer, 1,000")
    routes = (
        TransitRoute(destination=item["DestinationCidrBlock"], attachment=_target(table, item))
        for item in answer["Routes"]
    )
    return tuple(sorted(routes, key=attrgetter("destination")))


def _target(table: str, route: Mapping[str, Any]) -> str | None:
    targets = route.get("TransitGatewayAttachments", [])
    if len(targets) > 1:
        raise WorldError(
            f"{table}, route to {route['DestinationCidrBlock']}: the lab knows routes to one "
            f"attachment, this one leads to {len(targets)}"
        )
    if route["State"] == "blackhole" or not targets:
        return None
    return targets[0]["TransitGatewayAttachmentId"]
