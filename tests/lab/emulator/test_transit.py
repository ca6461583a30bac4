"""Transit Gateways and VPN connections as AWS has them, seen through boto3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.emulator.steps import make_subnet, make_vpc, refused


@pytest.fixture
def gateway(ec2: Any) -> Iterator[str]:
    made = ec2.create_transit_gateway(Description="d")["TransitGateway"]["TransitGatewayId"]
    yield made
    for item in _attachments(ec2, made):
        ec2.delete_transit_gateway_vpc_attachment(
            TransitGatewayAttachmentId=item["TransitGatewayAttachmentId"]
        )
    ec2.delete_transit_gateway(TransitGatewayId=made)


def _attachments(ec2: Any, gateway: str) -> list[dict[str, Any]]:
    only = [{"Name": "transit-gateway-id", "Values": [gateway]}]
    return ec2.describe_transit_gateway_attachments(Filters=only)["TransitGatewayAttachments"]


def _table(ec2: Any, gateway: str) -> str:
    found = ec2.describe_transit_gateways(TransitGatewayIds=[gateway])["TransitGateways"][0]
    return found["Options"]["AssociationDefaultRouteTableId"]


def _attach(ec2: Any, gateway: str, cidr: str) -> tuple[str, str, str]:
    """A new VPC, its subnet and its attachment."""
    vpc = make_vpc(ec2, cidr)
    subnet = make_subnet(ec2, vpc, cidr)
    tags = [{"ResourceType": "transit-gateway-attachment", "Tags": [{"Key": "Name", "Value": "a"}]}]
    made = ec2.create_transit_gateway_vpc_attachment(
        TransitGatewayId=gateway, VpcId=vpc, SubnetIds=[subnet], TagSpecifications=tags
    )["TransitGatewayVpcAttachment"]
    assert made["Tags"] == tags[0]["Tags"]
    return vpc, subnet, made["TransitGatewayAttachmentId"]


def _routes(ec2: Any, gateway: str, **filters: str) -> dict[str, tuple[str, str, str]]:
    wanted = [
        {"Name": name.replace("_", "-").replace("route-search-", "route-search."), "Values": [v]}
        for name, v in (filters or {"type": "*"}).items()
        if v != "*"
    ] or [{"Name": "state", "Values": ["active", "blackhole"]}]
    found = ec2.search_transit_gateway_routes(
        TransitGatewayRouteTableId=_table(ec2, gateway), Filters=wanted
    )
    return {
        route["DestinationCidrBlock"]: (
            route["Type"],
            route["State"],
            route.get("TransitGatewayAttachments", [{}])[0].get("TransitGatewayAttachmentId", ""),
        )
        for route in found["Routes"]
    }


def test_what_is_attached_propagates_its_blocks(ec2: Any, gateway: str) -> None:
    _, _, one = _attach(ec2, gateway, "10.20.0.0/24")
    _, _, two = _attach(ec2, gateway, "10.20.1.0/24")
    assert _routes(ec2, gateway) == {
        "10.20.0.0/24": ("propagated", "active", one),
        "10.20.1.0/24": ("propagated", "active", two),
    }
    within = _routes(ec2, gateway, route_search_subnet_of_match="10.20.1.0/24")
    assert set(within) == {"10.20.1.0/24"}
    around = _routes(ec2, gateway, route_search_supernet_of_match="10.20.0.128/25")
    assert set(around) == {"10.20.0.0/24"}
    for name, count in (("a", 2), ("b", 0)):
        only = [{"Name": "tag:Name", "Values": [name]}]
        only.append({"Name": "transit-gateway-id", "Values": [gateway]})
        found = ec2.describe_transit_gateway_attachments(Filters=only)
        assert len(found["TransitGatewayAttachments"]) == count
    associated = {a["TransitGatewayAttachmentId"]: a for a in _attachments(ec2, gateway)}
    assert associated[one]["Association"]["TransitGatewayRouteTableId"] == _table(ec2, gateway)


def test_the_second_vpc_of_one_block_is_attached_without_a_route(ec2: Any, gateway: str) -> None:
    _, _, first = _attach(ec2, gateway, "10.20.0.0/24")
    _attach(ec2, gateway, "10.20.0.0/24")
    assert _routes(ec2, gateway) == {"10.20.0.0/24": ("propagated", "active", first)}


def test_a_route_needs_the_attachment_and_is_a_black_hole_after_it(ec2: Any, gateway: str) -> None:
    vpc = make_vpc(ec2, "10.21.0.0/24")
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    route = {"RouteTableId": table, "DestinationCidrBlock": "10.22.0.0/16"}
    with refused("InvalidTransitGatewayID.NotFound"):
        ec2.create_route(**route, TransitGatewayId=gateway)
    subnet = make_subnet(ec2, vpc, "10.21.0.0/24")
    made = ec2.create_transit_gateway_vpc_attachment(
        TransitGatewayId=gateway, VpcId=vpc, SubnetIds=[subnet]
    )["TransitGatewayVpcAttachment"]
    ec2.create_route(**route, TransitGatewayId=gateway)
    assert _state(ec2, table, "10.22.0.0/16") == "active"
    ec2.delete_transit_gateway_vpc_attachment(
        TransitGatewayAttachmentId=made["TransitGatewayAttachmentId"]
    )
    assert _state(ec2, table, "10.22.0.0/16") == "blackhole"


def _state(ec2: Any, table: str, destination: str) -> str:
    found = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    [state] = [r["State"] for r in found if r["DestinationCidrBlock"] == destination]
    return state


def test_what_is_attached_cannot_be_deleted(ec2: Any) -> None:
    gateway = ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    vpc, subnet, attachment = _attach(ec2, gateway, "10.23.0.0/24")
    with refused("IncorrectState"):
        ec2.delete_transit_gateway(TransitGatewayId=gateway)
    with refused("DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnet)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.delete_transit_gateway_vpc_attachment(TransitGatewayAttachmentId=attachment)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)
    ec2.delete_transit_gateway(TransitGatewayId=gateway)
    with refused("InvalidTransitGatewayID.NotFound"):
        ec2.delete_transit_gateway(TransitGatewayId=gateway)


def test_two_subnets_of_one_zone_and_a_second_attachment_are_refused(
    ec2: Any, gateway: str
) -> None:
    vpc, subnet, _ = _attach(ec2, gateway, "10.24.0.0/25")
    with refused("DuplicateTransitGatewayAttachment"):
        ec2.create_transit_gateway_vpc_attachment(
            TransitGatewayId=gateway, VpcId=vpc, SubnetIds=[subnet]
        )
    other = make_vpc(ec2, "10.25.0.0/24")
    zone = "ap-northeast-1a"
    subnets = [
        ec2.create_subnet(VpcId=other, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for cidr in ("10.25.0.0/25", "10.25.0.128/25")
    ]
    with refused("DuplicateSubnetsInSameZone"):
        ec2.create_transit_gateway_vpc_attachment(
            TransitGatewayId=gateway, VpcId=other, SubnetIds=subnets
        )


def test_an_office_s_static_route_leads_to_its_vpn(ec2: Any, gateway: str) -> None:
    customer = ec2.create_customer_gateway(Type="ipsec.1", BgpAsn=65000, PublicIp="192.0.2.200")
    identifier = customer["CustomerGateway"]["CustomerGatewayId"]
    request = {
        "CustomerGatewayId": identifier,
        "Type": "ipsec.1",
        "TransitGatewayId": gateway,
    }
    with refused("InvalidParameterCombination"):
        ec2.create_vpn_connection(**request)
    vpn = ec2.create_vpn_connection(
        **request,
        Options={
            "StaticRoutesOnly": True,
            "TunnelOptions": [{"IKEVersions": [{"Value": "ikev2"}]}] * 2,
        },
    )["VpnConnection"]
    tunnels = vpn["Options"]["TunnelOptions"]
    assert len({tunnel["OutsideIpAddress"] for tunnel in tunnels}) == 2
    assert len({tunnel["PreSharedKey"] for tunnel in tunnels}) == 2
    assert [tunnel["IkeVersions"] for tunnel in tunnels] == [[{"Value": "ikev2"}]] * 2
    [attachment] = _attachments(ec2, gateway)
    assert (attachment["ResourceType"], attachment["ResourceId"]) == ("vpn", vpn["VpnConnectionId"])
    assert _routes(ec2, gateway) == {}
    where = {
        "TransitGatewayRouteTableId": _table(ec2, gateway),
        "DestinationCidrBlock": "10.30.0.0/24",
    }
    leads = attachment["TransitGatewayAttachmentId"]
    ec2.create_transit_gateway_route(**where, TransitGatewayAttachmentId=leads)
    with refused("RouteAlreadyExists"):
        ec2.create_transit_gateway_route(**where, TransitGatewayAttachmentId=leads)
    assert _routes(ec2, gateway, type="static") == {"10.30.0.0/24": ("static", "active", leads)}
    with refused("IncorrectState"):
        ec2.delete_customer_gateway(CustomerGatewayId=identifier)
    moved = ec2.create_customer_gateway(Type="ipsec.1", BgpAsn=65000, PublicIp="192.0.2.202")
    other = moved["CustomerGateway"]["CustomerGatewayId"]
    with refused("InvalidParameterCombination"):
        ec2.modify_vpn_connection(VpnConnectionId=vpn["VpnConnectionId"], TransitGatewayId=gateway)
    changed = ec2.modify_vpn_connection(
        VpnConnectionId=vpn["VpnConnectionId"], CustomerGatewayId=other
    )["VpnConnection"]
    assert changed["CustomerGatewayId"] == other
    assert changed["Options"]["TunnelOptions"] == tunnels
    ec2.delete_customer_gateway(CustomerGatewayId=identifier)
    identifier = other
    ec2.delete_vpn_connection(VpnConnectionId=vpn["VpnConnectionId"])
    assert _routes(ec2, gateway) == {"10.30.0.0/24": ("static", "blackhole", "")}
    ec2.delete_transit_gateway_route(**where)
    ec2.delete_customer_gateway(CustomerGatewayId=identifier)
