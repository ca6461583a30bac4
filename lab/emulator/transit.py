"""Transit Gateways: attachments with their interfaces, routes that follow them, refused as by AWS.

moto keeps attachments and static routes; it propagates nothing, and lets anything be deleted. What
AWS does is in the Transit Gateway guide ("Amazon VPC attachments", "Route tables") and in the API
reference of each call.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.route_tables import RouteBackend
from moto.ec2.models.transit_gateway import TransitGatewayBackend
from moto.ec2.models.transit_gateway_attachments import TransitGatewayAttachmentBackend
from moto.ec2.models.transit_gateway_route_tables import TransitGatewayRouteTableBackend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import describe_tag_filter

from lab.emulator import networks, quotas

INTERFACE_TYPE = "transit_gateway"


def create_transit_gateway(moto: Any, self: Any, *arguments: Any, **named: Any) -> Any:
    quotas.check("transit_gateways", len(self.transit_gateways))
    return moto(self, *arguments, **named)


def delete_transit_gateway(moto: Any, self: Any, transit_gateway_id: str) -> Any:
    gateway_of(self, transit_gateway_id)
    attached = [item.id for item in attachments(self, transit_gateway_id)]
    if attached:
        raise EC2ClientError(
            "IncorrectState",
            f"{transit_gateway_id} has non-deleted attachments ({', '.join(attached)})",
        )
    gateway = moto(self, transit_gateway_id)
    for table in list(self.transit_gateways_route_tables.values()):
        if table.transit_gateway_id == transit_gateway_id:
            del self.transit_gateways_route_tables[table.id]
    gateway.state = "deleted"
    return gateway


def gateway_of(backend: Any, identifier: str) -> Any:
    if identifier not in backend.transit_gateways:
        raise EC2ClientError(
            "InvalidTransitGatewayID.NotFound",
            f"Transit Gateway {identifier} was deleted or does not exist.",
        )
    return backend.transit_gateways[identifier]


def attachments(backend: Any, gateway: str) -> list[Any]:
    """What is attached to a gateway, the oldest first."""
    everything = backend.transit_gateway_attachments.values()
    return [item for item in everything if item.transit_gateway_id == gateway]


def check_attachments(backend: Any, gateway: str) -> None:
    """Raise AWS's error where the gateway has as many as it may."""
    quotas.check("attachments_per_transit_gateway", len(attachments(backend, gateway)))


def create_attachment(_moto: Any, self: Any) -> ActionResult:
    """CreateTransitGatewayVpcAttachment: an interface in each subnet, one subnet for each zone.

    moto loses the tags, and makes no interface.
    """
    backend, gateway = self.ec2_backend, self._get_param("TransitGatewayId")
    vpc, subnet_ids = self._get_param("VpcId"), self._get_param("SubnetIds", [])
    gateway_of(backend, gateway)
    backend.get_vpc(vpc)
    check_attachments(backend, gateway)
    subnets = [backend.get_subnet(identifier) for identifier in subnet_ids]
    _check_subnets(vpc, subnets)
    attachment = backend.create_transit_gateway_vpc_attachment(
        transit_gateway_id=gateway,
        tags=self._parse_tag_specification().get("transit-gateway-attachment", {}),
        vpc_id=vpc,
        subnet_ids=subnet_ids,
        options=self._get_param("Options", {}),
    )
    attachment.interfaces = [
        networks.create_interface(
            backend,
            subnet,
            INTERFACE_TYPE,
            f"Network Interface for Transit Gateway Attachment {attachment.id}",
        )
        for subnet in subnets
    ]
    for interface in attachment.interfaces:
        # It has no security groups: nothing names it in a rule.
        interface._group_set = []
    return ActionResult({"TransitGatewayVpcAttachment": attachment})


def _check_subnets(vpc: str, subnets: list[Any]) -> None:
    zones = [subnet.availability_zone for subnet in subnets]
    if len(set(zones)) != len(zones):
        raise EC2ClientError(
            "DuplicateSubnetsInSameZone", f"Duplicate subnets for same AZ: {', '.join(zones)}"
        )
    for subnet in subnets:
        if subnet.vpc_id != vpc:
            raise EC2ClientError("InvalidSubnetID.NotFound", f"{subnet.id} is not in {vpc}")


def delete_attachment(moto: Any, self: Any, transit_gateway_attachment_id: str) -> Any:
    """DeleteTransitGatewayVpcAttachment: its interfaces and its association go with it."""
    attachment_of(self, transit_gateway_attachment_id)
    forget(self, transit_gateway_attachment_id)
    attachment = moto(self, transit_gateway_attachment_id)
    for interface in getattr(attachment, "interfaces", ()):
        interface.delete()
    return attachment


def describe_attachments(
    moto: Any, self: Any, transit_gateways_attachment_ids: Any = None, filters: Any = None
) -> list[Any]:
    """DescribeTransitGatewayAttachments; moto takes no notice of filters by tag and state."""
    found = moto(self, transit_gateways_attachment_ids, filters)
    if not filters:
        return found
    states = filters.get("state")
    tagged = describe_tag_filter(filters, found)
    return [item for item in tagged if states is None or item.state in states]


def describe_vpc_attachments(moto: Any, self: Any, *arguments: Any, **named: Any) -> list[Any]:
    """DescribeTransitGatewayVpcAttachments; moto lists those of VPNs as well."""
    return [item for item in moto(self, *arguments, **named) if item.resource_type == "vpc"]


def forget(backend: Any, attachment: str) -> None:
    """Take an attachment out of every table that it is associated with."""
    for table in backend.transit_gateways_route_tables.values():
        table.route_table_associations.pop(attachment, None)


def attachment_of(backend: Any, identifier: str) -> Any:
    if identifier not in backend.transit_gateway_attachments:
        raise EC2ClientError(
            "InvalidTransitGatewayAttachmentID.NotFound",
            f"Transit Gateway Attachment {identifier} was deleted or does not exist.",
        )
    return backend.transit_gateway_attachments[identifier]


def _table_of(backend: Any, identifier: str) -> Any:
    if identifier not in backend.transit_gateways_route_tables:
        raise EC2ClientError(
            "InvalidRouteTableID.NotFound",
            f"Transit Gateway Route Table {identifier} was deleted or does not exist.",
        )
    return backend.transit_gateways_route_tables[identifier]


def create_transit_route(
    moto: Any,
    self: Any,
    transit_gateway_route_table_id: str,
    destination_cidr_block: str,
    transit_gateway_attachment_id: str | None = None,
    blackhole: bool = False,
) -> Any:
    table = _table_of(self, transit_gateway_route_table_id)
    if destination_cidr_block in table.routes:
        raise EC2ClientError(
            "RouteAlreadyExists",
            f"Route {destination_cidr_block} already exists in {table.id}",
        )
    if not blackhole:
        attachment_of(self, transit_gateway_attachment_id or "")
    return moto(
        self,
        transit_gateway_route_table_id,
        destination_cidr_block,
        transit_gateway_attachment_id,
        blackhole,
    )


def delete_transit_route(
    moto: Any, self: Any, transit_gateway_route_table_id: str, destination_cidr_block: str
) -> Any:
    table = _table_of(self, transit_gateway_route_table_id)
    if destination_cidr_block not in table.routes:
        raise EC2ClientError(
            "InvalidRoute.NotFound", f"{table.id} has no static route {destination_cidr_block}"
        )
    return moto(self, transit_gateway_route_table_id, destination_cidr_block)


def search_routes(_moto: Any, self: Any) -> ActionResult:
    """SearchTransitGatewayRoutes, with the routes that attachments propagate."""
    backend = self.ec2_backend
    table = _table_of(backend, self._get_param("TransitGatewayRouteTableId"))
    filters = self._filters_from_querystring()
    found = [route for route in routes(backend, table) if _matches(route, filters)]
    return ActionResult({"Routes": found, "AdditionalRoutesAvailable": False})


def routes(backend: Any, table: Any) -> Iterator[dict[str, Any]]:
    """Static routes, then those of attached VPCs; of two for one block the first is taken.

    A VPC whose block another has already is attached, but its route is not propagated.
    """
    taken = set()
    for destination, static in table.routes.items():
        taken.add(destination)
        known = static.get("transitGatewayAttachments") or {}
        attachment = known.get("transitGatewayAttachmentId")
        alive = backend.transit_gateway_attachments.get(attachment)
        yield _route(destination, "static", alive)
    gateway = backend.transit_gateways[table.transit_gateway_id]
    if gateway.options["DefaultRouteTablePropagation"] != "enable":
        return
    if gateway.options["PropagationDefaultRouteTableId"] != table.id:
        return
    for attachment in attachments(backend, gateway.id):
        if attachment.resource_type != "vpc":
            continue
        for block in networks.blocks(backend.get_vpc(attachment.resource_id)):
            if block not in taken:
                taken.add(block)
                yield _route(block, "propagated", attachment)


def _route(destination: str, kind: str, attachment: Any) -> dict[str, Any]:
    route = {"DestinationCidrBlock": destination, "Type": kind, "State": "blackhole"}
    if attachment is None:
        return route
    leads_to = {
        "ResourceId": attachment.resource_id,
        "ResourceType": attachment.resource_type,
        "TransitGatewayAttachmentId": attachment.id,
    }
    return {**route, "State": "active", "TransitGatewayAttachments": [leads_to]}


def _matches(route: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    network = ipaddress.IPv4Network(route["DestinationCidrBlock"])
    known = {
        "type": lambda value: route["Type"] == value,
        "state": lambda value: route["State"] == value,
        "route-search.exact-match": lambda value: network == ipaddress.IPv4Network(value),
        "route-search.subnet-of-match": lambda value: network.subnet_of(
            ipaddress.IPv4Network(value)
        ),
        "route-search.supernet-of-match": lambda value: network.supernet_of(
            ipaddress.IPv4Network(value)
        ),
    }
    for name, values in filters.items():
        if name not in known:
            raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")
        if not any(known[name](value) for value in values):
            return False
    return True


def create_route(moto: Any, self: Any, route_table_id: str, *arguments: Any, **named: Any) -> Any:
    """EC2 takes a route to a gateway only where the VPC is attached to it."""
    gateway = named.get("transit_gateway_id")
    if gateway is not None:
        vpc = self.get_route_table(route_table_id).vpc_id
        if not networks.is_attached(self, gateway, vpc):
            raise EC2ClientError(
                "InvalidTransitGatewayID.NotFound",
                f"transitGateway {gateway} was deleted or is not attached to {vpc}",
            )
    return moto(self, route_table_id, *arguments, **named)


CORRECTIONS = (
    (TransitGatewayBackend, "create_transit_gateway", create_transit_gateway),
    (TransitGatewayBackend, "delete_transit_gateway", delete_transit_gateway),
    (EC2Response, "create_transit_gateway_vpc_attachment", create_attachment),
    (
        TransitGatewayAttachmentBackend,
        "describe_transit_gateway_attachments",
        describe_attachments,
    ),
    (
        TransitGatewayAttachmentBackend,
        "describe_transit_gateway_vpc_attachments",
        describe_vpc_attachments,
    ),
    (
        TransitGatewayAttachmentBackend,
        "delete_transit_gateway_vpc_attachment",
        delete_attachment,
    ),
    (
        TransitGatewayRouteTableBackend,
        "create_transit_gateway_route",
        create_transit_route,
    ),
    (
        TransitGatewayRouteTableBackend,
        "delete_transit_gateway_route",
        delete_transit_route,
    ),
    (EC2Response, "search_transit_gateway_routes", search_routes),
    (RouteBackend, "create_route", create_route),
)
