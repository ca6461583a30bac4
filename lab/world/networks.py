"""Reads VPCs, routes, gateways, peerings, security groups and prefix lists from EC2."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from lab.world.api import filters, pages, tags
from lab.world.errors import WorldError
from lab.world.model import (
    NatGateway,
    Peering,
    PrefixList,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    Subnet,
    TargetKind,
    Vpc,
)

_by_id = attrgetter("id")

_GATEWAY_KINDS: dict[str, TargetKind] = {
    "local": "local",
    "igw": "internet_gateway",
    "vpce": "gateway_endpoint",
}
"""What a route's GatewayId may be, by the part before its first hyphen."""

_TARGET_KINDS: dict[str, TargetKind] = {
    "NatGatewayId": "nat_gateway",
    "VpcPeeringConnectionId": "peering",
    "TransitGatewayId": "transit_gateway",
    "NetworkInterfaceId": "interface",
}
_ENDED = ("deleting", "deleted", "rejected", "failed", "expired")
"""States of a VPC endpoint that carries no traffic any more (API reference, VpcEndpoint)."""
_DESTINATIONS = ("DestinationCidrBlock", "DestinationPrefixListId", "DestinationIpv6CidrBlock")


def read_vpcs(ec2: Any) -> tuple[Vpc, ...]:
    """All VPCs with their associated IPv4 blocks, the primary one first."""
    gateways = {
        attachment["VpcId"]: gateway["InternetGatewayId"]
        for gateway in pages(ec2, "describe_internet_gateways", "InternetGateways")
        for attachment in gateway["Attachments"]
    }
    vpcs = (
        Vpc(
            id=vpc["VpcId"],
            name=tags(vpc).get("Name", ""),
            cidrs=_blocks(vpc),
            internet_gateway=gateways.get(vpc["VpcId"]),
        )
        for vpc in pages(ec2, "describe_vpcs", "Vpcs")
    )
    return tuple(sorted(vpcs, key=_by_id))


def _blocks(vpc: Mapping[str, Any]) -> tuple[str, ...]:
    primary = vpc["CidrBlock"]
    associated = {
        block["CidrBlock"]
        for block in vpc["CidrBlockAssociationSet"]
        if block["CidrBlockState"]["State"] == "associated"
    }
    return (primary, *sorted(associated - {primary}))


def read_subnets(ec2: Any) -> tuple[Subnet, ...]:
    """All subnets, each with the route table that applies to it."""
    main, associated = _associations(ec2)
    subnets = (
        Subnet(
            id=subnet["SubnetId"],
            name=tags(subnet).get("Name", ""),
            vpc=subnet["VpcId"],
            cidr=subnet["CidrBlock"],
            zone=subnet["AvailabilityZone"],
            route_table=associated.get(subnet["SubnetId"]) or main[subnet["VpcId"]],
        )
        for subnet in pages(ec2, "describe_subnets", "Subnets")
    )
    return tuple(sorted(subnets, key=_by_id))


def _associations(ec2: Any) -> tuple[dict[str, str], dict[str, str]]:
    """The main table of each VPC, and the table of each subnet that has one of its own."""
    main: dict[str, str] = {}
    subnets: dict[str, str] = {}
    for table in pages(ec2, "describe_route_tables", "RouteTables"):
        for association in table["Associations"]:
            if association.get("Main"):
                main[table["VpcId"]] = table["RouteTableId"]
            elif "SubnetId" in association:
                subnets[association["SubnetId"]] = table["RouteTableId"]
    return main, subnets


def read_route_tables(ec2: Any) -> tuple[RouteTable, ...]:
    """All route tables.

    Raises:
        WorldError: a route leads to a kind of target that the lab has not (a local gateway...).
    """
    tables = (
        RouteTable(
            id=table["RouteTableId"],
            vpc=table["VpcId"],
            routes=tuple(
                sorted(
                    (_route(table["RouteTableId"], route) for route in table["Routes"]),
                    key=attrgetter("destination", "target"),
                )
            ),
        )
        for table in pages(ec2, "describe_route_tables", "RouteTables")
    )
    return tuple(sorted(tables, key=_by_id))


def _route(table: str, route: Mapping[str, Any]) -> Route:
    destination = next(route[key] for key in _DESTINATIONS if route.get(key))
    kind, target = _target(table, destination, route)
    return Route(
        destination=destination, kind=kind, target=target, active=route["State"] == "active"
    )


def _target(table: str, destination: str, route: Mapping[str, Any]) -> tuple[TargetKind, str]:
    gateway = route.get("GatewayId", "")
    if kind := _GATEWAY_KINDS.get(gateway.partition("-")[0]):
        return kind, gateway
    for key, kind in _TARGET_KINDS.items():
        if route.get(key):
            return kind, route[key]
    shown = {key: value for key, value in route.items() if key.endswith("Id") and value}
    raise WorldError(
        f"route table {table}, route to {destination}: the lab knows routes to Internet, NAT, "
        f"transit and S3 gateways, peerings and network interfaces, not {shown}"
    )


def refuse_interface_endpoints(ec2: Any) -> None:
    """The lab has gateway endpoints, which are routes; the other kinds are interfaces.

    Raises:
        WorldError: there is a VPC endpoint of another kind.
    """
    for endpoint in pages(ec2, "describe_vpc_endpoints", "VpcEndpoints"):
        kind, state = endpoint["VpcEndpointType"], endpoint["State"].lower()
        if kind != "Gateway" and state not in _ENDED:
            raise WorldError(
                f"VPC endpoint {endpoint['VpcEndpointId']} ({endpoint['ServiceName']}) is of type "
                f"{kind}: the lab knows gateway endpoints only; without it the machines reach the "
                "service at its public name"
            )


def read_nat_gateways(ec2: Any) -> tuple[NatGateway, ...]:
    """The NAT gateways that are available.

    Raises:
        WorldError: a NAT gateway is private or has several addresses.
    """
    found = pages(ec2, "describe_nat_gateways", "NatGateways", Filters=filters(state=["available"]))
    return tuple(sorted(map(_nat_gateway, found), key=_by_id))


def _nat_gateway(gateway: Mapping[str, Any]) -> NatGateway:
    addresses = gateway["NatGatewayAddresses"]
    if len(addresses) != 1 or not addresses[0].get("PublicIp"):
        raise WorldError(
            f"NAT gateway {gateway['NatGatewayId']}: the lab knows public NAT gateways with one "
            f"address, this one has {addresses}"
        )
    return NatGateway(
        id=gateway["NatGatewayId"],
        subnet=gateway["SubnetId"],
        private_ip=addresses[0]["PrivateIp"],
        public_ip=addresses[0]["PublicIp"],
    )


def read_peerings(ec2: Any) -> tuple[Peering, ...]:
    """All peering connections that EC2 still lists, whatever their state."""
    peerings = (
        Peering(
            id=peering["VpcPeeringConnectionId"],
            requester=peering["RequesterVpcInfo"]["VpcId"],
            accepter=peering["AccepterVpcInfo"]["VpcId"],
            active=peering["Status"]["Code"] == "active",
        )
        for peering in pages(ec2, "describe_vpc_peering_connections", "VpcPeeringConnections")
    )
    return tuple(sorted(peerings, key=_by_id))


def read_groups(ec2: Any) -> tuple[SecurityGroup, ...]:
    """All security groups with their rules."""
    rules: dict[str, list[Rule]] = defaultdict(list)
    for rule in pages(ec2, "describe_security_group_rules", "SecurityGroupRules"):
        rules[rule["GroupId"]].append(_rule(rule))
    groups = (
        SecurityGroup(
            id=group["GroupId"],
            name=group["GroupName"],
            vpc=group["VpcId"],
            rules=tuple(sorted(rules[group["GroupId"]], key=_by_id)),
        )
        for group in pages(ec2, "describe_security_groups", "SecurityGroups")
    )
    return tuple(sorted(groups, key=_by_id))


def _rule(rule: Mapping[str, Any]) -> Rule:
    everything = rule["IpProtocol"] == "-1"
    return Rule(
        id=rule["SecurityGroupRuleId"],
        group_id=rule["GroupId"],
        direction="egress" if rule["IsEgress"] else "ingress",
        protocol=rule["IpProtocol"],
        # EC2 answers -1 where a rule is for all protocols, which have no common ports.
        from_port=None if everything else rule.get("FromPort"),
        to_port=None if everything else rule.get("ToPort"),
        cidr=rule.get("CidrIpv4") or rule.get("CidrIpv6"),
        group=rule.get("ReferencedGroupInfo", {}).get("GroupId"),
        prefix_list=rule.get("PrefixListId"),
        description=rule.get("Description", ""),
    )


def read_prefix_lists(ec2: Any) -> tuple[PrefixList, ...]:
    """All prefix lists, the account's own and those of AWS (S3...)."""
    lists = (
        PrefixList(
            id=found["PrefixListId"],
            name=found["PrefixListName"],
            cidrs=tuple(sorted(_entries(ec2, found["PrefixListId"]))),
        )
        for found in pages(ec2, "describe_managed_prefix_lists", "PrefixLists")
    )
    return tuple(sorted(lists, key=_by_id))


def _entries(ec2: Any, prefix_list: str) -> list[str]:
    found = pages(ec2, "get_managed_prefix_list_entries", "Entries", PrefixListId=prefix_list)
    return [entry["Cidr"] for entry in found]
