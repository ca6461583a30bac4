"""Reading a Transit Gateway with a VPC and an office attached to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from lab.world.model import Route, TransitAttachment, TransitRoute, TransitTable, World
from lab.world.read import from_json, read_world, to_json
from tests.lab.world.conftest import REGION


@pytest.fixture(scope="module")
def made(session: boto3.Session) -> SimpleNamespace:
    """The ids of what plain API calls have made."""
    ec2 = session.client("ec2")
    ids = SimpleNamespace()
    gateway = ec2.create_transit_gateway(Description="d")["TransitGateway"]
    ids.gateway = gateway["TransitGatewayId"]
    ids.table = gateway["Options"]["AssociationDefaultRouteTableId"]
    ids.vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    ids.subnet = ec2.create_subnet(VpcId=ids.vpc, CidrBlock="10.1.1.0/24")["Subnet"]["SubnetId"]
    ids.attached = ec2.create_transit_gateway_vpc_attachment(
        TransitGatewayId=ids.gateway, VpcId=ids.vpc, SubnetIds=[ids.subnet]
    )["TransitGatewayVpcAttachment"]["TransitGatewayAttachmentId"]
    only = [{"Name": "vpc-id", "Values": [ids.vpc]}]
    ids.routes = ec2.describe_route_tables(Filters=only)["RouteTables"][0]["RouteTableId"]
    ec2.create_route(
        RouteTableId=ids.routes, DestinationCidrBlock="10.2.0.0/16", TransitGatewayId=ids.gateway
    )
    _make_office(ec2, ids)
    return ids


def _make_office(ec2: Any, ids: SimpleNamespace) -> None:
    customer = ec2.create_customer_gateway(Type="ipsec.1", BgpAsn=65000, PublicIp="192.0.2.200")
    ids.vpn = ec2.create_vpn_connection(
        CustomerGatewayId=customer["CustomerGateway"]["CustomerGatewayId"],
        Type="ipsec.1",
        TransitGatewayId=ids.gateway,
        Options={"StaticRoutesOnly": True},
    )["VpnConnection"]["VpnConnectionId"]
    only = [{"Name": "resource-id", "Values": [ids.vpn]}]
    [found] = ec2.describe_transit_gateway_attachments(Filters=only)["TransitGatewayAttachments"]
    ids.office = found["TransitGatewayAttachmentId"]
    where = {"TransitGatewayRouteTableId": ids.table}
    ec2.create_transit_gateway_route(
        **where, DestinationCidrBlock="10.2.9.0/24", TransitGatewayAttachmentId=ids.office
    )
    ec2.create_transit_gateway_route(**where, DestinationCidrBlock="10.2.8.0/24", Blackhole=True)


@pytest.fixture(scope="module")
def world(session: boto3.Session, made: SimpleNamespace) -> World:
    return read_world(session, REGION)


def test_both_attachments(world: World, made: SimpleNamespace) -> None:
    both = {
        TransitAttachment(
            id=made.attached,
            gateway=made.gateway,
            kind="vpc",
            resource=made.vpc,
            subnets=(made.subnet,),
            table=made.table,
        ),
        TransitAttachment(
            id=made.office,
            gateway=made.gateway,
            kind="vpn",
            resource=made.vpn,
            subnets=(),
            table=made.table,
        ),
    }
    assert set(world.transit_attachments) == both


def test_the_gateway_s_own_table(world: World, made: SimpleNamespace) -> None:
    [table] = world.transit_tables
    assert table == TransitTable(
        id=made.table,
        gateway=made.gateway,
        routes=(
            TransitRoute(destination="10.1.0.0/16", attachment=made.attached),
            TransitRoute(destination="10.2.8.0/24", attachment=None),
            TransitRoute(destination="10.2.9.0/24", attachment=made.office),
        ),
    )


def test_the_vpc_s_route_to_it(world: World, made: SimpleNamespace) -> None:
    [table] = [table for table in world.route_tables if table.id == made.routes]
    route = Route(
        destination="10.2.0.0/16", kind="transit_gateway", target=made.gateway, active=True
    )
    assert route in table.routes


def test_it_survives_json(world: World) -> None:
    assert from_json(to_json(world)) == world
