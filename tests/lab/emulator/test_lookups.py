"""What one looks for is found, and nothing else: tags, and peerings by filters."""

from __future__ import annotations

from typing import Any

from tests.lab.emulator.steps import make_vpc


def named(name: str) -> list[dict[str, Any]]:
    return [{"Name": "tag:Name", "Values": [name]}]


def test_tags_are_those_of_the_resources_asked_for(ec2: Any) -> None:
    one, other = make_vpc(ec2), make_vpc(ec2, "10.10.0.0/16")
    ec2.create_tags(Resources=[one], Tags=[{"Key": "Name", "Value": "one"}])
    ec2.create_tags(Resources=[other], Tags=[{"Key": "Name", "Value": "other"}])
    by_id = [{"Name": "resource-id", "Values": [one]}]
    [tag] = ec2.describe_tags(Filters=by_id)["Tags"]
    assert tag == {"Key": "Name", "ResourceId": one, "ResourceType": "vpc", "Value": "one"}
    begins = [{"Name": "resource-id", "Values": [f"{one[:-2]}*"]}]
    assert one in {tag["ResourceId"] for tag in ec2.describe_tags(Filters=begins)["Tags"]}
    assert (
        ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": ["vpc-none"]}])["Tags"] == []
    )
    found = [vpc["VpcId"] for vpc in ec2.describe_vpcs(Filters=named("one"))["Vpcs"]]
    assert found == [one]


def test_nat_gateways_are_filtered(ec2: Any) -> None:
    vpc = make_vpc(ec2, "10.14.0.0/16")
    internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.14.1.0/24")["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    tags = [{"ResourceType": "natgateway", "Tags": [{"Key": "Name", "Value": "one"}]}]
    made = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address, TagSpecifications=tags)[
        "NatGateway"
    ]["NatGatewayId"]
    inside = {"Name": "subnet-id", "Values": [subnet]}

    def look(*filters: dict[str, Any]) -> list[str]:
        found = ec2.describe_nat_gateways(Filters=[inside, *filters])["NatGateways"]
        return [gateway["NatGatewayId"] for gateway in found]

    assert look() == look(*named("one")) == [made]
    assert look(*named("other")) == look({"Name": "state", "Values": ["pending"]}) == []


def test_peerings_are_filtered(ec2: Any) -> None:
    centre = make_vpc(ec2, "10.11.0.0/16")
    made = {}
    for name, cidr in (("a", "10.12.0.0/16"), ("b", "10.13.0.0/16")):
        tags = [
            {"ResourceType": "vpc-peering-connection", "Tags": [{"Key": "Name", "Value": name}]}
        ]
        made[name] = ec2.create_vpc_peering_connection(
            VpcId=make_vpc(ec2, cidr), PeerVpcId=centre, TagSpecifications=tags
        )["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=made["a"])

    def look(*filters: dict[str, Any]) -> set[str]:
        found = ec2.describe_vpc_peering_connections(Filters=list(filters))
        return {each["VpcPeeringConnectionId"] for each in found["VpcPeeringConnections"]}

    of_centre = {"Name": "accepter-vpc-info.vpc-id", "Values": [centre]}
    assert look(of_centre) == set(made.values())
    assert look(of_centre, {"Name": "status-code", "Values": ["active"]}) == {made["a"]}
    assert look(*named("b")) == {made["b"]}
    assert look({"Name": "requester-vpc-info.vpc-id", "Values": [centre]}) == set()
