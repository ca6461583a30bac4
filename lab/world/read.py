"""Reads one Region of an AWS account into a `World`: the only way AWS state enters the lab.

The calls are the plain EC2, IAM, Route 53 and STS ones, so that the same reader serves a real
account and an emulator (boto3 takes the endpoint from AWS_ENDPOINT_URL).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.world import acls, dns, machines, networks, transit, volumes
from lab.world.errors import WorldError
from lab.world.model import World
from lab.world.snapshot import from_json, to_json

if TYPE_CHECKING:
    # Services that only need `from_json` start faster without boto3.
    import boto3

__all__ = ["WorldError", "from_json", "read_world", "to_json"]


def read_world(session: boto3.Session, region: str) -> World:
    """Read everything of `region` that the lab builds from.

    Raises:
        WorldError: the account holds something that the lab cannot stand in for.
        botocore.exceptions.ClientError: a call was refused or is not known at the endpoint.
    """
    ec2 = session.client("ec2", region_name=region)
    iam = session.client("iam", region_name=region)
    route53 = session.client("route53", region_name=region)
    sts = session.client("sts", region_name=region)
    networks.refuse_interface_endpoints(ec2)
    return World(
        region=region,
        account=sts.get_caller_identity()["Account"],
        vpcs=networks.read_vpcs(ec2),
        subnets=networks.read_subnets(ec2),
        route_tables=networks.read_route_tables(ec2),
        nat_gateways=networks.read_nat_gateways(ec2),
        peerings=networks.read_peerings(ec2),
        transit_attachments=transit.read_transit_attachments(ec2),
        transit_tables=transit.read_transit_tables(ec2),
        groups=networks.read_groups(ec2),
        network_acls=acls.read_network_acls(ec2),
        prefix_lists=networks.read_prefix_lists(ec2),
        instances=machines.read_instances(ec2, iam),
        stopped=machines.read_stopped(ec2),
        volumes=volumes.read_volumes(ec2),
        connect_endpoints=machines.read_connect_endpoints(ec2),
        zones=dns.read_zones(route53),
        pointers=dns.read_pointers(ec2),
    )
