"""Gateways, route tables and routes.

Registry pages: aws/ec2/{internetgateway,natgateway,routetable,route,routetableassociation}.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, ProviderError, retag, specification, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS, exactly_one
from lab.provider.values import Values


def _create_internet_gateway(aws: Aws, new: Values) -> str:
    made = aws.ec2.create_internet_gateway(
        TagSpecifications=specification("internet-gateway", new.get("tags"))
    )
    return made["InternetGateway"]["InternetGatewayId"]


def _attach_internet_gateway(aws: Aws, identifier: str, new: Values) -> None:
    if "vpcId" in new:
        aws.ec2.attach_internet_gateway(InternetGatewayId=identifier, VpcId=new["vpcId"])


def _read_internet_gateway(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.ec2.describe_internet_gateways(InternetGatewayIds=[identifier])
    gateway = found["InternetGateways"][0]
    attachment = next(iter(gateway["Attachments"]), {})
    return {
        "arn": aws.arn("ec2", f"internet-gateway/{identifier}"),
        "ownerId": gateway.get("OwnerId", aws.account),
        "tags": tag_map(gateway.get("Tags")),
        "vpcId": attachment.get("VpcId"),
    }


def _detach_internet_gateway(aws: Aws, identifier: str, state: Values) -> None:
    if state.get("vpcId"):
        aws.ec2.detach_internet_gateway(InternetGatewayId=identifier, VpcId=state["vpcId"])


def _update_internet_gateway(
    aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]
) -> None:
    if "vpcId" in changed:
        _detach_internet_gateway(aws, identifier, old)
        _attach_internet_gateway(aws, identifier, new)
    retag(aws, identifier, old, new)


def _delete_internet_gateway(aws: Aws, identifier: str, state: Values) -> None:
    # Read again: a detach that succeeded before a failed delete must not be repeated.
    _detach_internet_gateway(aws, identifier, _read_internet_gateway(aws, identifier, state) or {})
    aws.ec2.delete_internet_gateway(InternetGatewayId=identifier)


INTERNET_GATEWAY = Resource(
    token="aws:ec2/internetGateway:InternetGateway",
    inputs={"tags": TAGS, "vpcId": Property(computed=True)},
    outputs=("arn", "ownerId"),
    create=_create_internet_gateway,
    settle=_attach_internet_gateway,
    read=_read_internet_gateway,
    update=_update_internet_gateway,
    delete=_delete_internet_gateway,
)


def _create_nat_gateway(aws: Aws, new: Values) -> str:
    more = {"AllocationId": new["allocationId"]} if "allocationId" in new else {}
    made = aws.ec2.create_nat_gateway(
        SubnetId=new["subnetId"],
        ConnectivityType=new["connectivityType"],
        TagSpecifications=specification("natgateway", new.get("tags")),
        **more,
    )
    return made["NatGateway"]["NatGatewayId"]


def _read_nat_gateway(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.ec2.describe_nat_gateways(NatGatewayIds=[identifier])["NatGateways"]
    if not found or found[0]["State"] in ("deleted", "deleting"):
        return None
    gateway = found[0]
    address = gateway["NatGatewayAddresses"][0]
    return {
        "allocationId": address.get("AllocationId"),
        "associationId": address.get("AssociationId"),
        "connectivityType": gateway["ConnectivityType"],
        "networkInterfaceId": address["NetworkInterfaceId"],
        "privateIp": address["PrivateIp"],
        "publicIp": address.get("PublicIp"),
        "subnetId": gateway["SubnetId"],
        "tags": tag_map(gateway.get("Tags")),
    }


def _nat_gateway_rules(new: Values) -> Iterable[str]:
    public = new.get("connectivityType", "public") == "public"
    if public and "allocationId" not in new:
        yield "a public NAT gateway needs an allocationId"


NAT_GATEWAY = Resource(
    token="aws:ec2/natGateway:NatGateway",
    inputs={
        "allocationId": Property(replaces=True),
        "connectivityType": Property(
            default="public", replaces=True, check=checks.one_of("public", "private")
        ),
        "subnetId": Property(required=True, replaces=True),
        "tags": TAGS,
    },
    outputs=("associationId", "networkInterfaceId", "privateIp", "publicIp"),
    create=_create_nat_gateway,
    read=_read_nat_gateway,
    update=lambda aws, identifier, old, new, _changed: retag(aws, identifier, old, new),
    delete=lambda aws, identifier, _state: aws.ec2.delete_nat_gateway(NatGatewayId=identifier),
    check=_nat_gateway_rules,
)


def _create_route_table(aws: Aws, new: Values) -> str:
    made = aws.ec2.create_route_table(
        VpcId=new["vpcId"], TagSpecifications=specification("route-table", new.get("tags"))
    )
    return made["RouteTable"]["RouteTableId"]


def _table(aws: Aws, identifier: str) -> dict[str, Any]:
    return aws.ec2.describe_route_tables(RouteTableIds=[identifier])["RouteTables"][0]


def _read_route_table(aws: Aws, identifier: str, _state: Values) -> Values | None:
    table = _table(aws, identifier)
    return {
        "arn": aws.arn("ec2", f"route-table/{identifier}"),
        "ownerId": table["OwnerId"],
        "tags": tag_map(table.get("Tags")),
        "vpcId": table["VpcId"],
    }


ROUTE_TABLE = Resource(
    token="aws:ec2/routeTable:RouteTable",
    inputs={
        "routes": Property(
            refused="inline routes delete what others add: use one aws.ec2.Route for each route"
        ),
        "tags": TAGS,
        "vpcId": Property(required=True, replaces=True),
    },
    outputs=("arn", "ownerId"),
    create=_create_route_table,
    read=_read_route_table,
    update=lambda aws, identifier, old, new, _changed: retag(aws, identifier, old, new),
    delete=lambda aws, identifier, _state: aws.ec2.delete_route_table(RouteTableId=identifier),
)

DESTINATIONS = {
    "destinationCidrBlock": "DestinationCidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}
TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "transitGatewayId": "TransitGatewayId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
    "networkInterfaceId": "NetworkInterfaceId",
}


def _destination(values: Values) -> dict[str, str]:
    return {p: values[name] for name, p in DESTINATIONS.items() if values.get(name)}


def _target(values: Values) -> dict[str, str]:
    return {p: values[name] for name, p in TARGETS.items() if values.get(name)}


def _create_route(aws: Aws, new: Values) -> str:
    table, destination = new["routeTableId"], _destination(new)
    aws.ec2.create_route(RouteTableId=table, **destination, **_target(new))
    # The API gives a route no id; the real provider makes one of its key as well.
    return f"r-{table}{zlib.crc32(''.join(destination.values()).encode())}"


def _read_route(aws: Aws, _identifier: str, state: Values) -> Values | None:
    destination = _destination(state)
    for route in _table(aws, state["routeTableId"])["Routes"]:
        if all(route.get(name) == value for name, value in destination.items()):
            targets = {name: route.get(p) or None for name, p in TARGETS.items()}
            return {**targets, "origin": route["Origin"], "state": route["State"]}
    return None


def _update_route(aws: Aws, _identifier: str, old: Values, new: Values, _changed: set[str]) -> None:
    aws.ec2.replace_route(RouteTableId=old["routeTableId"], **_destination(new), **_target(new))


def _route_rules(new: Values) -> Iterable[str]:
    yield from exactly_one(new, *DESTINATIONS)
    yield from exactly_one(new, *TARGETS)


ROUTE = Resource(
    token="aws:ec2/route:Route",
    inputs={
        "destinationCidrBlock": Property(replaces=True, check=checks.cidr()),
        "destinationPrefixListId": Property(replaces=True),
        "gatewayId": Property(),
        "natGatewayId": Property(),
        "networkInterfaceId": Property(),
        "routeTableId": Property(required=True, replaces=True),
        "transitGatewayId": Property(),
        "vpcPeeringConnectionId": Property(),
    },
    outputs=("origin", "state"),
    create=_create_route,
    read=_read_route,
    update=_update_route,
    delete=lambda aws, _identifier, state: aws.ec2.delete_route(
        RouteTableId=state["routeTableId"], **_destination(state)
    ),
    check=_route_rules,
)


def _create_table_association(aws: Aws, new: Values) -> str:
    made = aws.ec2.associate_route_table(RouteTableId=new["routeTableId"], SubnetId=new["subnetId"])
    return made["AssociationId"]


def _table_association(aws: Aws, state: Values) -> dict[str, Any] | None:
    """Found by its subnet: ReplaceRouteTableAssociation gives the association a new id."""
    only = [{"Name": "association.subnet-id", "Values": [state["subnetId"]]}]
    for table in aws.ec2.describe_route_tables(Filters=only)["RouteTables"]:
        for association in table["Associations"]:
            if association.get("SubnetId") == state["subnetId"]:
                return association
    return None


def _read_table_association(aws: Aws, _identifier: str, state: Values) -> Values | None:
    association = _table_association(aws, state)
    return association and {"routeTableId": association["RouteTableId"]}


def _update_table_association(
    aws: Aws, identifier: str, old: Values, new: Values, _changed: set[str]
) -> None:
    association = _table_association(aws, old)
    if association is None:
        raise ProviderError(
            f"{identifier}: subnet {old['subnetId']} has lost its association; refresh the stack"
        )
    aws.ec2.replace_route_table_association(
        AssociationId=association["RouteTableAssociationId"], RouteTableId=new["routeTableId"]
    )


def _delete_table_association(aws: Aws, _identifier: str, state: Values) -> None:
    association = _table_association(aws, state)
    if association is not None:
        aws.ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])


ROUTE_TABLE_ASSOCIATION = Resource(
    token="aws:ec2/routeTableAssociation:RouteTableAssociation",
    inputs={
        "routeTableId": Property(required=True),
        "subnetId": Property(required=True, replaces=True),
    },
    create=_create_table_association,
    read=_read_table_association,
    update=_update_table_association,
    delete=_delete_table_association,
)

TYPES = (
    INTERNET_GATEWAY,
    NAT_GATEWAY,
    ROUTE_TABLE,
    ROUTE,
    ROUTE_TABLE_ASSOCIATION,
)
