"""Reading network ACLs from the emulator, and what the lab has not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from lab.world.model import AclRule, NetworkAcl, World
from lab.world.read import WorldError, from_json, read_world, to_json
from tests.lab.world.conftest import REGION


@pytest.fixture(scope="module")
def made(session: boto3.Session) -> SimpleNamespace:
    """A VPC with an ACL of its own in one of its two subnets; their ids."""
    ec2 = session.client("ec2")
    ids = SimpleNamespace()
    ids.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    ids.dmz, ids.inside = (
        ec2.create_subnet(VpcId=ids.vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
        for cidr in ("10.0.1.0/24", "10.0.2.0/24")
    )
    tags = [{"ResourceType": "network-acl", "Tags": [{"Key": "Name", "Value": "dmz"}]}]
    acl = ec2.create_network_acl(VpcId=ids.vpc, TagSpecifications=tags)["NetworkAcl"]
    ids.acl = acl["NetworkAclId"]
    _fill(ec2, ids.acl)
    only = [{"Name": "association.subnet-id", "Values": [ids.dmz]}]
    (default,) = ec2.describe_network_acls(Filters=only)["NetworkAcls"]
    ids.default = default["NetworkAclId"]
    (association,) = [a for a in default["Associations"] if a["SubnetId"] == ids.dmz]
    ec2.replace_network_acl_association(
        AssociationId=association["NetworkAclAssociationId"], NetworkAclId=ids.acl
    )
    return ids


def _fill(ec2: Any, acl: str) -> None:
    common = {"NetworkAclId": acl, "RuleAction": "allow", "CidrBlock": "0.0.0.0/0"}
    mail = {"Protocol": "6", "PortRange": {"From": 25, "To": 25}, "Egress": False}
    icmp = {"Protocol": "1", "IcmpTypeCode": {"Type": 3, "Code": 4}, "Egress": False}
    every = {"Protocol": "-1", "Egress": True, "RuleAction": "deny", "CidrBlock": "10.9.0.0/16"}
    gre = {"Protocol": "47", "Egress": True, "PortRange": {"From": 1, "To": 2}}
    for number, entry in ((120, mail), (110, icmp), (100, every), (110, gre)):
        ec2.create_network_acl_entry(**common | entry, RuleNumber=number)


@pytest.fixture(scope="module")
def world(session: boto3.Session, made: SimpleNamespace) -> World:
    return read_world(session, REGION)


def rule(number: int, direction: Any, protocol: str, *span: int | None, **more: Any) -> AclRule:
    first, last = span or (None, None)
    values = {"cidr": "0.0.0.0/0", "allow": True, **more}
    return AclRule(
        number=number,
        direction=direction,
        protocol=protocol,
        from_port=first,
        to_port=last,
        **values,
    )


def test_an_acl_with_its_rules_in_order(world: World, made: SimpleNamespace) -> None:
    expected = NetworkAcl(
        id=made.acl,
        name="dmz",
        vpc=made.vpc,
        subnets=(made.dmz,),
        rules=(
            rule(100, "egress", "-1", cidr="10.9.0.0/16", allow=False),
            rule(110, "egress", "47"),
            rule(110, "ingress", "icmp", 3, 4),
            rule(120, "ingress", "tcp", 25, 25),
        ),
    )
    assert expected in world.network_acls


def test_the_default_acl_has_the_other_subnets(world: World, made: SimpleNamespace) -> None:
    (default,) = [acl for acl in world.network_acls if acl.id == made.default]
    assert default.subnets == (made.inside,)
    assert default.rules == (rule(100, "egress", "-1"), rule(100, "ingress", "-1"))


def test_acls_survive_json(world: World) -> None:
    assert len(world.network_acls) == 2
    assert from_json(to_json(world)) == world


def test_an_interface_endpoint_is_refused_while_it_is_there(
    session: boto3.Session, made: SimpleNamespace
) -> None:
    ec2 = session.client("ec2")
    endpoint = ec2.create_vpc_endpoint(
        VpcId=made.vpc,
        VpcEndpointType="Interface",
        ServiceName=f"com.amazonaws.{REGION}.ssm",
        SubnetIds=[made.inside],
    )["VpcEndpoint"]["VpcEndpointId"]
    with pytest.raises(WorldError, match=rf"{endpoint} \(com.amazonaws.*ssm\) is of type Interf"):
        read_world(session, REGION)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])
    read_world(session, REGION)
