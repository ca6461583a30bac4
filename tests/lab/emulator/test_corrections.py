"""What the emulator adds to moto, seen through boto3."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest

from lab.internet import plan
from tests.lab.emulator.steps import (
    allocate,
    launch,
    make_gateway,
    make_group,
    make_subnet,
    make_vpc,
    refused,
)


def test_the_account_starts_without_a_vpc_of_its_own(ec2: Any) -> None:
    assert not [v for v in ec2.describe_vpcs()["Vpcs"] if v["IsDefault"]]
    assert not [s for s in ec2.describe_subnets()["Subnets"] if s["DefaultForAz"]]


def test_elastic_ips_come_one_after_another_from_the_plan(ec2: Any) -> None:
    made = [allocate(ec2) for _ in range(3)]
    first, second, third = (ipaddress.ip_address(address["PublicIp"]) for address in made)
    assert first in ipaddress.ip_network(plan.ELASTIC_IPS)
    assert first < second < third
    ec2.release_address(AllocationId=made[1]["AllocationId"])
    assert ipaddress.ip_address(allocate(ec2)["PublicIp"]) == second


def test_the_s3_prefix_list_is_the_plans(ec2: Any) -> None:
    name = [{"Name": "prefix-list-name", "Values": ["com.amazonaws.ap-northeast-1.s3"]}]
    found = ec2.describe_managed_prefix_lists(Filters=name)["PrefixLists"]
    entries = ec2.get_managed_prefix_list_entries(PrefixListId=found[0]["PrefixListId"])
    assert [e["Cidr"] for e in entries["Entries"]] == list(plan.S3_PREFIXES)


def test_an_endpoints_routes_follow_its_tables(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    tables = [ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2)]
    service = "com.amazonaws.ap-northeast-1.s3"
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc, ServiceName=service, RouteTableIds=tables[:1], VpcEndpointType="Gateway"
    )["VpcEndpoint"]["VpcEndpointId"]
    ec2.modify_vpc_endpoint(
        VpcEndpointId=endpoint, AddRouteTableIds=tables[1:], RemoveRouteTableIds=tables[:1]
    )
    described = ec2.describe_route_tables(RouteTableIds=tables)["RouteTables"]
    with_prefix = [
        table["RouteTableId"]
        for table in described
        if any("DestinationPrefixListId" in route for route in table["Routes"])
    ]
    assert with_prefix == tables[1:]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])


def test_a_connect_endpoint_has_an_interface_in_its_subnet(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    subnet, group = make_subnet(ec2, vpc), make_group(ec2, vpc)
    tags = [
        {"ResourceType": "instance-connect-endpoint", "Tags": [{"Key": "Name", "Value": "door"}]}
    ]
    made = ec2.create_instance_connect_endpoint(
        SubnetId=subnet, SecurityGroupIds=[group], TagSpecifications=tags
    )["InstanceConnectEndpoint"]
    identifier = made["InstanceConnectEndpointId"]
    described = ec2.describe_instance_connect_endpoints(InstanceConnectEndpointIds=[identifier])
    assert described["InstanceConnectEndpoints"][0]["Tags"] == tags[0]["Tags"]
    assert described["InstanceConnectEndpoints"][0]["State"] == "create-complete"
    interfaces = ec2.describe_network_interfaces(NetworkInterfaceIds=made["NetworkInterfaceIds"])
    interface = interfaces["NetworkInterfaces"][0]
    assert interface["InterfaceType"] == "ec2_instance_connect_endpoint"
    assert [g["GroupId"] for g in interface["Groups"]] == [group]
    assert ipaddress.ip_address(interface["PrivateIpAddress"]) in ipaddress.ip_network(
        "10.9.1.0/24"
    )
    with refused("InstanceConnectEndpointLimitExceeded"):
        ec2.create_instance_connect_endpoint(SubnetId=subnet)
    with refused("DependencyViolation"):
        ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_instance_connect_endpoint(InstanceConnectEndpointId=identifier)
    ec2.delete_subnet(SubnetId=subnet)
    assert not [
        e
        for e in ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"]
        if e["VpcId"] == vpc
    ]


def test_rules_keep_descriptions_of_all_kinds_of_peer(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    group, other = make_group(ec2, vpc), make_group(ec2, vpc, "other")
    name = [{"Name": "prefix-list-name", "Values": ["com.amazonaws.ap-northeast-1.s3"]}]
    prefix_list = ec2.describe_managed_prefix_lists(Filters=name)["PrefixLists"][0]
    peers = {
        "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "by block"}],
        "UserIdGroupPairs": [{"GroupId": other, "Description": "by group"}],
        "PrefixListIds": [
            {"PrefixListId": prefix_list["PrefixListId"], "Description": "by prefix list"}
        ],
    }
    permission = {"IpProtocol": "tcp", "FromPort": 25, "ToPort": 25, **peers}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    assert sorted(r["Description"] for r in ingress_rules(ec2, group)) == [
        "by block",
        "by group",
        "by prefix list",
    ]
    again = {**permission, "UserIdGroupPairs": [{"GroupId": other, "Description": "changed"}]}
    with refused("InvalidPermission.Duplicate"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[again])


def ingress_rules(ec2: Any, group: str) -> list[dict[str, Any]]:
    only = [{"Name": "group-id", "Values": [group]}]
    rules = ec2.describe_security_group_rules(Filters=only)["SecurityGroupRules"]
    return [rule for rule in rules if not rule["IsEgress"]]


def test_a_rule_can_be_changed_in_place(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    group = make_group(ec2, vpc)
    one, other = make_group(ec2, vpc, "one"), make_group(ec2, vpc, "other")
    permission = {"IpProtocol": "tcp", "FromPort": 25, "ToPort": 25}
    pairs = [{"GroupId": one, "Description": "relay"}]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{**permission, "UserIdGroupPairs": pairs}]
    )
    rule = ingress_rules(ec2, group)[0]["SecurityGroupRuleId"]
    request = {"IpProtocol": "tcp", "FromPort": 587, "ToPort": 587, "Description": "submission"}
    modify_rule(ec2, group, rule, {**request, "ReferencedGroupId": other})
    changed = ingress_rules(ec2, group)[0]
    assert changed["SecurityGroupRuleId"] == rule
    assert changed["FromPort"] == 587
    assert changed["ReferencedGroupInfo"]["GroupId"] == other
    assert changed["Description"] == "submission"
    with refused("InvalidParameterValue"):
        modify_rule(ec2, group, rule, {**request, "CidrIpv4": "10.0.0.0/8"})


def modify_rule(ec2: Any, group: str, rule: str, request: dict[str, Any]) -> None:
    change = {"SecurityGroupRuleId": rule, "SecurityGroupRule": request}
    ec2.modify_security_group_rules(GroupId=group, SecurityGroupRules=[change])


@pytest.mark.parametrize(
    "ports",
    [{}, {"FromPort": 25}, {"FromPort": 30, "ToPort": 20}, {"FromPort": 1, "ToPort": 70000}],
)
def test_bad_ports_are_refused(ec2: Any, ports: dict[str, int]) -> None:
    group = make_group(ec2, make_vpc(ec2))
    permission = {"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}], **ports}
    with refused("InvalidParameterValue"):
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])


def test_sixty_rules_for_each_direction(ec2: Any) -> None:
    group = make_group(ec2, make_vpc(ec2))
    ranges = [{"CidrIp": f"10.0.{i}.0/24"} for i in range(61)]
    permission = {"IpProtocol": "-1", "IpRanges": ranges[:60]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    with refused("RulesPerSecurityGroupLimitExceeded"):
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{"IpProtocol": "-1", "IpRanges": ranges[60:]}]
        )


def test_launches_are_checked(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    subnet, stranger = make_subnet(ec2, vpc), make_group(ec2, make_vpc(ec2, "10.8.0.0/16"))
    with refused("InvalidAMIID.NotFound"):
        launch(ec2, subnet, ImageId="ami-0000000000000000f")
    with refused("InvalidParameterValue"):
        launch(ec2, subnet, InstanceType="t3.nano")
    with refused("InvalidParameterValue"):
        launch(ec2, subnet, UserData="x" * (16 * 1024 + 1))
    with refused("InvalidKeyPair.NotFound"):
        launch(ec2, subnet, KeyName="nobody")
    with refused("InvalidParameter"):
        launch(ec2, subnet, SecurityGroupIds=[stranger])
    with refused("InvalidParameterValue"):
        launch(ec2, subnet, PrivateIpAddress="10.9.1.3")
    launch(ec2, subnet, UserData="x" * (16 * 1024))


def test_termination_frees_addresses_and_groups(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    make_gateway(ec2, vpc)
    subnet, group = make_subnet(ec2, vpc), make_group(ec2, vpc)
    fixed = {"PrivateIpAddress": "10.9.1.10", "SecurityGroupIds": [group]}
    instance = launch(ec2, subnet, **fixed)["InstanceId"]
    address = allocate(ec2)
    ec2.associate_address(InstanceId=instance, AllocationId=address["AllocationId"])
    with refused("InvalidIPAddress.InUse"):
        launch(ec2, subnet, **fixed)
    with refused("InvalidIPAddress.InUse"):
        ec2.release_address(AllocationId=address["AllocationId"])
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=group)
    ec2.terminate_instances(InstanceIds=[instance])
    assert (
        "AssociationId"
        not in ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"][0]
    )
    again = launch(ec2, subnet, **fixed)["InstanceId"]
    ec2.terminate_instances(InstanceIds=[again])
    ec2.delete_security_group(GroupId=group)
    ec2.delete_subnet(SubnetId=subnet)


def test_protected_instances_are_not_terminated(ec2: Any) -> None:
    instance = launch(ec2, make_subnet(ec2, make_vpc(ec2)), DisableApiTermination=True)
    with refused("OperationNotPermitted"):
        ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])


def test_changed_groups_replace_the_old_ones(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    one, two = make_group(ec2, vpc, "one"), make_group(ec2, vpc, "two")
    instance = launch(ec2, make_subnet(ec2, vpc), SecurityGroupIds=[one])["InstanceId"]
    ec2.modify_instance_attribute(InstanceId=instance, Groups=[two])
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert [g["GroupId"] for g in found["NetworkInterfaces"][0]["Groups"]] == [two]
    ec2.delete_security_group(GroupId=one)


def test_a_nat_gateway_lives_in_its_subnet_and_leaves_a_black_hole(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    gateway, subnet = make_gateway(ec2, vpc), make_subnet(ec2, vpc)
    address = allocate(ec2)
    nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address["AllocationId"])
    nat_id = nat["NatGateway"]["NatGatewayId"]
    private = ec2.describe_nat_gateways(NatGatewayIds=[nat_id])["NatGateways"][0]
    private_ip = private["NatGatewayAddresses"][0]["PrivateIp"]
    assert ipaddress.ip_address(private_ip) in ipaddress.ip_network("10.9.1.0/24")
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat_id)
    with refused("DependencyViolation"):
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.delete_nat_gateway(NatGatewayId=nat_id)
    routes = ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
    assert {r["DestinationCidrBlock"]: r["State"] for r in routes}["0.0.0.0/0"] == "blackhole"
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.release_address(AllocationId=address["AllocationId"])
    ec2.delete_subnet(SubnetId=subnet)


def test_overlapping_networks_cannot_peer(ec2: Any) -> None:
    one, two = make_vpc(ec2, "10.5.0.0/16"), make_vpc(ec2, "10.5.0.0/20")
    ec2.create_vpc_peering_connection(VpcId=one, PeerVpcId=two)
    of_one = [{"Name": "requester-vpc-info.vpc-id", "Values": [one]}]
    found = ec2.describe_vpc_peering_connections(Filters=of_one)["VpcPeeringConnections"]
    status = next(p for p in found if p["RequesterVpcInfo"]["VpcId"] == one)["Status"]
    assert status["Code"] == "failed"
    assert "10.5.0.0/20" in status["Message"]


def test_a_vpc_with_something_in_it_is_not_deleted(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    gateway, group = make_gateway(ec2, vpc), make_group(ec2, vpc)
    default = next(
        g["GroupId"]
        for g in ec2.describe_security_groups()["SecurityGroups"]
        if g["VpcId"] == vpc and g["GroupName"] == "default"
    )
    with refused("CannotDelete"):
        ec2.delete_security_group(GroupId=default)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_vpc(VpcId=vpc)


def test_a_group_named_by_another_is_not_deleted(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    group, other = make_group(ec2, vpc), make_group(ec2, vpc, "other")
    pair = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": other}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[pair])
    with refused("DependencyViolation"):
        ec2.delete_security_group(GroupId=other)


def test_a_bucket_policy_is_kept_and_not_enforced(client: Callable[[str], Any]) -> None:
    s3 = client("s3")
    s3.create_bucket(
        Bucket="kept", CreateBucketConfiguration={"LocationConstraint": "ap-northeast-1"}
    )
    policy = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": "*", '
        '"Action": "s3:*", "Resource": "arn:aws:s3:::kept/*", '
        '"Condition": {"Bool": {"aws:SecureTransport": "false"}}}]}'
    )
    s3.put_bucket_policy(Bucket="kept", Policy=policy)
    s3.put_object(Bucket="kept", Key="a", Body=b"x")
    assert s3.get_bucket_policy(Bucket="kept")["Policy"] == policy


def test_a_versioned_bucket_can_be_emptied(client: Callable[[str], Any]) -> None:
    s3 = client("s3")
    where = {"LocationConstraint": "ap-northeast-1"}
    s3.create_bucket(Bucket="versioned", CreateBucketConfiguration=where)
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="versioned", Key="a", Body=b"x")
    s3.delete_object(Bucket="versioned", Key="a")
    found = s3.list_object_versions(Bucket="versioned")
    for entry in (*found["Versions"], *found["DeleteMarkers"]):
        s3.delete_object(Bucket="versioned", Key="a", VersionId=entry["VersionId"])
    s3.delete_bucket(Bucket="versioned")
