"""What the lab cannot stand in for is refused by name; answers as AWS documents them."""

from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from lab.world import dns, networks, transit
from lab.world.machines import read_instances
from lab.world.read import WorldError
from lab.world.volumes import read_volumes

INSTANCE = {
    "InstanceId": "i-1",
    "ImageId": "ami-1",
    "InstanceType": "t4g.small",
    "Placement": {"AvailabilityZone": "ap-northeast-1a"},
    "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
    "SourceDestCheck": True,
}


def stubbed(service: str, *more: tuple[str, dict[str, Any]], **answers: dict[str, Any]) -> Any:
    """A client that gives these answers in their order."""
    client = boto3.client(
        service, region_name="ap-northeast-1", aws_access_key_id="x", aws_secret_access_key="y"
    )
    stub = Stubber(client)
    for call, answer in (*answers.items(), *more):
        stub.add_response(call, answer)
    stub.activate()
    return client


def test_a_route_to_a_local_gateway() -> None:
    route = {
        "DestinationCidrBlock": "10.9.0.0/16",
        "LocalGatewayId": "lgw-1",
        "State": "active",
        "Origin": "CreateRoute",
    }
    table = {"RouteTableId": "rtb-1", "VpcId": "vpc-1", "Routes": [route], "Associations": []}
    ec2 = stubbed("ec2", describe_route_tables={"RouteTables": [table]})
    with pytest.raises(WorldError, match=r"rtb-1, route to 10\.9\.0\.0/16.*lgw-1"):
        networks.read_route_tables(ec2)


ATTACHMENT = {
    "TransitGatewayAttachmentId": "tgw-attach-1",
    "TransitGatewayId": "tgw-1",
    "ResourceType": "direct-connect-gateway",
    "ResourceId": "dx-1",
}


def test_a_direct_connect_gateway_on_a_transit_gateway() -> None:
    ec2 = stubbed(
        "ec2",
        describe_transit_gateway_vpc_attachments={"TransitGatewayVpcAttachments": []},
        describe_transit_gateway_attachments={"TransitGatewayAttachments": [ATTACHMENT]},
    )
    with pytest.raises(WorldError, match="tgw-attach-1 is a direct-connect-gateway"):
        transit.read_transit_attachments(ec2)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"Routes": [], "AdditionalRoutesAvailable": True}, "tgw-rtb-1 has more routes"),
        (
            {
                "Routes": [
                    {
                        "DestinationCidrBlock": "10.9.0.0/16",
                        "State": "active",
                        "TransitGatewayAttachments": [
                            {"TransitGatewayAttachmentId": "a"},
                            {"TransitGatewayAttachmentId": "b"},
                        ],
                    }
                ]
            },
            r"tgw-rtb-1, route to 10\.9\.0\.0/16.*leads to 2",
        ),
    ],
)
def test_a_transit_table_that_one_cannot_read_as_a_whole(answer: dict[str, Any], said: str) -> None:
    table = {
        "TransitGatewayRouteTableId": "tgw-rtb-1",
        "TransitGatewayId": "tgw-1",
        "State": "available",
    }
    ec2 = stubbed(
        "ec2",
        describe_transit_gateway_route_tables={"TransitGatewayRouteTables": [table]},
        search_transit_gateway_routes=answer,
    )
    with pytest.raises(WorldError, match=said):
        transit.read_transit_tables(ec2)


def test_a_private_nat_gateway() -> None:
    gateway = {
        "NatGatewayId": "nat-1",
        "SubnetId": "subnet-1",
        "NatGatewayAddresses": [{"PrivateIp": "10.0.0.9"}],
    }
    ec2 = stubbed("ec2", describe_nat_gateways={"NatGateways": [gateway]})
    with pytest.raises(WorldError, match="NAT gateway nat-1"):
        networks.read_nat_gateways(ec2)


def test_an_instance_with_two_interfaces() -> None:
    ec2 = stubbed(
        "ec2",
        describe_key_pairs={"KeyPairs": []},
        describe_instances={
            "Reservations": [{"Instances": [{**INSTANCE, "NetworkInterfaces": [{}, {}]}]}]
        },
        describe_instance_attribute={"InstanceId": "i-1"},
    )
    with pytest.raises(WorldError, match="i-1 has 2 network interfaces"):
        read_instances(ec2, iam=None)


def test_a_volume_of_several_instances() -> None:
    attachments = [{"InstanceId": "i-1"}, {"InstanceId": "i-2"}]
    ec2 = stubbed(
        "ec2",
        describe_instances={"Reservations": []},
        describe_volumes={"Volumes": [{"VolumeId": "vol-1", "Attachments": attachments}]},
    )
    with pytest.raises(WorldError, match="vol-1 is attached to i-1, i-2"):
        read_volumes(ec2)


def record_zone(record: dict[str, Any]) -> Any:
    zone = {"Id": "/hostedzone/Z1", "Name": "corp.test.", "CallerReference": "1"}
    page = {"IsTruncated": False, "MaxItems": "100"}
    return stubbed(
        "route53",
        list_hosted_zones={
            "HostedZones": [{**zone, "Config": {"PrivateZone": False}}],
            "Marker": "",
            **page,
        },
        get_dnssec={"Status": {"ServeSignature": "NOT_SIGNING"}, "KeySigningKeys": []},
        list_resource_record_sets={"ResourceRecordSets": [record], **page},
    )


def test_an_alias() -> None:
    target = {"HostedZoneId": "Z2", "DNSName": "x.test.", "EvaluateTargetHealth": False}
    route53 = record_zone({"Name": "www.corp.test.", "Type": "A", "AliasTarget": target})
    with pytest.raises(WorldError, match=r"www\.corp\.test\. A.*AliasTarget"):
        dns.read_zones(route53)


def test_route_53_writes_the_asterisk_in_octal() -> None:
    record = {
        "Name": r"\052.Corp.test.",
        "Type": "A",
        "TTL": 60,
        "ResourceRecords": [{"Value": "192.0.2.1"}],
    }
    (zone,) = dns.read_zones(record_zone(record))
    assert zone.records[0].name == "*.corp.test."


def test_all_pages_are_read() -> None:
    def peering(number: int) -> dict[str, Any]:
        return {
            "VpcPeeringConnectionId": f"pcx-{number}",
            "RequesterVpcInfo": {"VpcId": "vpc-1"},
            "AccepterVpcInfo": {"VpcId": "vpc-2"},
            "Status": {"Code": "pending-acceptance" if number == 2 else "active"},
        }

    call = "describe_vpc_peering_connections"
    first = {"VpcPeeringConnections": [peering(2)], "NextToken": "more"}
    last = {"VpcPeeringConnections": [peering(1)]}
    found = networks.read_peerings(stubbed("ec2", (call, first), (call, last)))
    assert [(item.id, item.active) for item in found] == [("pcx-1", True), ("pcx-2", False)]
