"""Reading a company from the emulator, every part of it."""

from __future__ import annotations

import gzip
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from lab.internet.plan import S3_PREFIXES
from lab.world.model import Record, Route, World
from lab.world.read import from_json, read_world, to_json
from tests.lab.world.conftest import IMAGE, REGION

USER_DATA = gzip.compress(b"#cloud-config\n{}\n")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIdmDDnSdSXXY0uqPgWJkfCv9gx5zPXQU3cYtQDlE7nO a@b"


@pytest.fixture(scope="module")
def made(session: boto3.Session) -> SimpleNamespace:
    """A company made by plain API calls; its ids."""
    ec2 = session.client("ec2")
    ids = SimpleNamespace()
    _make_networks(ec2, ids)
    _make_groups(ec2, ids)
    _make_instances(ec2, session.client("iam"), ids)
    _make_volumes(ec2, session.client("kms"), ids)
    _make_zones(session.client("route53"), ids)
    ec2.modify_address_attribute(AllocationId=ids.eip, DomainName="mx.corp.test")
    return ids


def _make_networks(ec2: Any, ids: SimpleNamespace) -> None:
    ids.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ids.branch = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    ec2.create_tags(Resources=[ids.vpc], Tags=[{"Key": "Name", "Value": "corp"}])
    ids.igw = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=ids.igw, VpcId=ids.vpc)
    for name, cidr in (("dmz", "10.0.1.0/24"), ("inside", "10.0.2.0/24")):
        subnet = ec2.create_subnet(VpcId=ids.vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}a")[
            "Subnet"
        ]["SubnetId"]
        setattr(ids, name, subnet)
    ids.table = ec2.create_route_table(VpcId=ids.vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=ids.table, SubnetId=ids.dmz)
    allocation = ec2.allocate_address(Domain="vpc")
    ids.nat_public = allocation["PublicIp"]
    ids.nat = ec2.create_nat_gateway(SubnetId=ids.dmz, AllocationId=allocation["AllocationId"])[
        "NatGateway"
    ]["NatGatewayId"]
    ids.peering = ec2.create_vpc_peering_connection(VpcId=ids.vpc, PeerVpcId=ids.branch)[
        "VpcPeeringConnection"
    ]["VpcPeeringConnectionId"]
    ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=ids.peering)
    for destination, target in (
        ("0.0.0.0/0", {"GatewayId": ids.igw}),
        ("192.0.2.0/24", {"NatGatewayId": ids.nat}),
        ("10.1.0.0/16", {"VpcPeeringConnectionId": ids.peering}),
    ):
        ec2.create_route(RouteTableId=ids.table, DestinationCidrBlock=destination, **target)
    ids.endpoint = ec2.create_vpc_endpoint(
        VpcId=ids.vpc, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[ids.table]
    )["VpcEndpoint"]["VpcEndpointId"]


def _make_groups(ec2: Any, ids: SimpleNamespace) -> None:
    ids.group = ec2.create_security_group(GroupName="relay", Description="d", VpcId=ids.vpc)[
        "GroupId"
    ]
    lists = ec2.describe_managed_prefix_lists()["PrefixLists"]
    ids.s3 = next(item["PrefixListId"] for item in lists if item["PrefixListName"].endswith(".s3"))
    smtp = {"IpProtocol": "tcp", "FromPort": 25, "ToPort": 25}
    ec2.authorize_security_group_ingress(
        GroupId=ids.group,
        IpPermissions=[
            {**smtp, "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "mail"}]},
            {**smtp, "UserIdGroupPairs": [{"GroupId": ids.group}]},
        ],
    )
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    ec2.authorize_security_group_egress(
        GroupId=ids.group,
        IpPermissions=[{**https, "PrefixListIds": [{"PrefixListId": ids.s3}]}],
    )


def launch(ec2: Any, **request: Any) -> str:
    common = {"ImageId": IMAGE, "InstanceType": "t4g.small", "MinCount": 1, "MaxCount": 1}
    return ec2.run_instances(**common, **request)["Instances"][0]["InstanceId"]


def _make_instances(ec2: Any, iam: Any, ids: SimpleNamespace) -> None:
    trust = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", '
        '"Principal": {"Service": "ec2.amazonaws.com"}}]}'
    )
    iam.create_role(RoleName="relay-role", AssumeRolePolicyDocument=trust)
    iam.create_instance_profile(InstanceProfileName="relay-profile", Path="/mail/")
    iam.add_role_to_instance_profile(InstanceProfileName="relay-profile", RoleName="relay-role")
    ec2.import_key_pair(KeyName="admin", PublicKeyMaterial=KEY.encode())
    tags = [{"Key": "Name", "Value": "relay"}, {"Key": "gatepost:role", "Value": "relay"}]
    ids.relay = launch(
        ec2,
        SubnetId=ids.dmz,
        PrivateIpAddress="10.0.1.10",
        SecurityGroupIds=[ids.group],
        KeyName="admin",
        IamInstanceProfile={"Name": "relay-profile"},
        UserData=USER_DATA,
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    ids.plain = launch(ec2, SubnetId=ids.inside)
    gone = launch(ec2, SubnetId=ids.inside)
    ec2.terminate_instances(InstanceIds=[gone])
    allocation = ec2.allocate_address(Domain="vpc")
    ids.eip, ids.public_ip = allocation["AllocationId"], allocation["PublicIp"]
    ec2.associate_address(AllocationId=ids.eip, InstanceId=ids.relay)
    ids.connect = ec2.create_instance_connect_endpoint(
        SubnetId=ids.inside, SecurityGroupIds=[ids.group]
    )["InstanceConnectEndpoint"]["InstanceConnectEndpointId"]


def _make_volumes(ec2: Any, kms: Any, ids: SimpleNamespace) -> None:
    ids.key = kms.create_key()["KeyMetadata"]["Arn"]
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": "queue"}]}]
    place = {"AvailabilityZone": f"{REGION}a"}
    ids.queue = ec2.create_volume(
        **place, Size=5, Encrypted=True, KmsKeyId=ids.key, TagSpecifications=tags
    )["VolumeId"]
    ids.spare = ec2.create_volume(**place, Size=6)["VolumeId"]
    ec2.attach_volume(VolumeId=ids.queue, InstanceId=ids.relay, Device="/dev/sdf")
    ids.stopped = launch(ec2, SubnetId=ids.inside)
    ec2.stop_instances(InstanceIds=[ids.stopped])


def _make_zones(route53: Any, ids: SimpleNamespace) -> None:
    public = route53.create_hosted_zone(Name="corp.test", CallerReference="1")
    private = route53.create_hosted_zone(
        Name="corp.internal",
        CallerReference="2",
        HostedZoneConfig={"PrivateZone": True, "Comment": ""},
        VPC={"VPCRegion": REGION, "VPCId": ids.vpc},
    )
    ids.public_zone = public["HostedZone"]["Id"].removeprefix("/hostedzone/")
    ids.private_zone = private["HostedZone"]["Id"].removeprefix("/hostedzone/")
    records = [
        ("mx.corp.test", "A", [ids.public_ip]),
        ("*.corp.test", "TXT", ['"one" "two"', '"three"']),
    ]
    changes = [
        {
            "Action": "CREATE",
            "ResourceRecordSet": {
                "Name": name,
                "Type": kind,
                "TTL": 300,
                "ResourceRecords": [{"Value": value} for value in values],
            },
        }
        for name, kind, values in records
    ]
    route53.change_resource_record_sets(
        HostedZoneId=ids.public_zone, ChangeBatch={"Changes": changes}
    )


@pytest.fixture(scope="module")
def world(session: boto3.Session, made: SimpleNamespace) -> World:
    return read_world(session, REGION)


def named(items: Any, item_id: str) -> Any:
    (found,) = [item for item in items if item.id == item_id]
    return found


def test_region_and_account(world: World) -> None:
    assert (world.region, world.account) == (REGION, "123456789012")


def test_vpcs(world: World, made: SimpleNamespace) -> None:
    vpc = named(world.vpcs, made.vpc)
    assert (vpc.name, vpc.cidrs, vpc.internet_gateway) == ("corp", ("10.0.0.0/16",), made.igw)
    assert named(world.vpcs, made.branch).internet_gateway is None


def test_a_subnet_has_its_own_table_or_the_main_one(world: World, made: SimpleNamespace) -> None:
    assert named(world.subnets, made.dmz).route_table == made.table
    main = named(world.subnets, made.inside).route_table
    assert main != made.table
    assert named(world.route_tables, main).vpc == made.vpc


def test_routes(world: World, made: SimpleNamespace) -> None:
    expected = {
        ("10.0.0.0/16", "local", "local"),
        ("0.0.0.0/0", "internet_gateway", made.igw),
        ("192.0.2.0/24", "nat_gateway", made.nat),
        ("10.1.0.0/16", "peering", made.peering),
        (made.s3, "gateway_endpoint", made.endpoint),
    }
    routes: tuple[Route, ...] = named(world.route_tables, made.table).routes
    assert {(item.destination, item.kind, item.target) for item in routes} == expected
    assert all(item.active for item in routes)


def test_nat_gateway_and_peering(world: World, made: SimpleNamespace) -> None:
    gateway = named(world.nat_gateways, made.nat)
    assert (gateway.subnet, gateway.public_ip) == (made.dmz, made.nat_public)
    peering = named(world.peerings, made.peering)
    assert (peering.requester, peering.accepter, peering.active) == (made.vpc, made.branch, True)


def test_groups(world: World, made: SimpleNamespace) -> None:
    group = named(world.groups, made.group)
    assert (group.name, group.vpc) == ("relay", made.vpc)
    shown = {
        (
            *(item.direction, item.protocol, item.from_port, item.to_port),
            *(item.cidr, item.group, item.prefix_list, item.description),
        )
        for item in group.rules
    }
    assert shown == {
        ("egress", "-1", None, None, "0.0.0.0/0", None, None, ""),
        ("egress", "tcp", 443, 443, None, None, made.s3, ""),
        ("ingress", "tcp", 25, 25, "0.0.0.0/0", None, None, "mail"),
        ("ingress", "tcp", 25, 25, None, made.group, None, ""),
    }


def test_prefix_lists(world: World, made: SimpleNamespace) -> None:
    assert named(world.prefix_lists, made.s3).cidrs == S3_PREFIXES


def test_an_instance_with_everything(world: World, made: SimpleNamespace) -> None:
    relay = named(world.instances, made.relay)
    assert (relay.name, relay.role, relay.image) == ("relay", "relay", IMAGE)
    assert relay.user_data == USER_DATA
    assert relay.iam_role == "relay-role"
    assert relay.public_key == KEY
    assert (relay.tokens_required, relay.hop_limit) == (True, 2)
    assert ("gatepost:role", "relay") in relay.tags
    interface = relay.interface
    assert (interface.owner, interface.vpc, interface.subnet) == (made.relay, made.vpc, made.dmz)
    assert (interface.private_ip, interface.public_ip) == ("10.0.1.10", made.public_ip)
    assert (interface.groups, interface.source_dest_check) == ((made.group,), True)


def test_an_instance_with_nothing(world: World, made: SimpleNamespace) -> None:
    plain = named(world.instances, made.plain)
    assert (plain.name, plain.role, plain.user_data) == ("", "", b"")
    assert (plain.iam_role, plain.public_key) == (None, None)
    assert plain.interface.public_ip is None


def test_only_running_instances(world: World, made: SimpleNamespace) -> None:
    assert {item.id for item in world.instances} == {made.relay, made.plain}


def test_stopped_instances(world: World, made: SimpleNamespace) -> None:
    assert world.stopped == (made.stopped,)


def test_a_start_is_told_by_its_time(session: boto3.Session, made: SimpleNamespace) -> None:
    found = session.client("ec2").describe_instances(InstanceIds=[made.plain])
    launched = found["Reservations"][0]["Instances"][0]["LaunchTime"]
    plain = named(read_world(session, REGION).instances, made.plain)
    assert datetime.fromisoformat(plain.launched) == launched


def test_volumes_without_those_of_the_roots(world: World, made: SimpleNamespace) -> None:
    assert {volume.id for volume in world.volumes} == {made.queue, made.spare}
    queue = named(world.volumes, made.queue)
    assert (queue.name, queue.size, queue.zone) == ("queue", 5, f"{REGION}a")
    assert (queue.encrypted, queue.kms_key) == (True, made.key)
    assert (queue.instance, queue.device) == (made.relay, "/dev/sdf")
    assert datetime.fromisoformat(queue.attached or "").tzinfo is not None
    spare = named(world.volumes, made.spare)
    assert (spare.name, spare.encrypted, spare.kms_key) == ("", False, None)
    assert (spare.instance, spare.device, spare.attached) == (None, None, None)


def test_connect_endpoint(world: World, made: SimpleNamespace) -> None:
    interface = named(world.connect_endpoints, made.connect).interface
    assert (interface.owner, interface.subnet) == (made.connect, made.inside)
    assert interface.groups == (made.group,)
    assert interface.private_ip.startswith("10.0.2.")


def test_zones(world: World, made: SimpleNamespace) -> None:
    public = named(world.zones, made.public_zone)
    assert (public.name, public.private, public.vpcs) == ("corp.test.", False, ())
    assert {record.type for record in public.records if record.name == "corp.test."} == {
        "NS",
        "SOA",
    }
    wildcard = Record(name="*.corp.test.", type="TXT", ttl=300, values=('"one" "two"', '"three"'))
    assert wildcard in public.records
    private = named(world.zones, made.private_zone)
    assert (private.name, private.private, private.vpcs) == ("corp.internal.", True, (made.vpc,))


def test_pointers(world: World, made: SimpleNamespace) -> None:
    assert world.pointers == ((made.public_ip, "mx.corp.test."),)


def test_two_readings_are_equal_and_survive_json(session: boto3.Session, world: World) -> None:
    again = read_world(session, REGION)
    assert again == world
    assert from_json(to_json(world)) == world
