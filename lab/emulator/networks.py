"""VPCs, gateways, peerings and prefix lists where moto's objects differ from AWS's."""

from __future__ import annotations

import ipaddress
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.models.internet_gateways import InternetGatewayBackend
from moto.ec2.models.managed_prefixes import ManagedPrefixListBackend
from moto.ec2.models.nat_gateways import NatGateway, NatGatewayBackend
from moto.ec2.models.route_tables import Route, RouteBackend
from moto.ec2.models.subnets import Subnet, SubnetBackend
from moto.ec2.models.vpc_peering_connections import VPCPeeringConnectionBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import describe_tag_filter

from lab.emulator import quotas
from lab.internet import plan

ALIVE_PEERINGS = ("initiating-request", "pending-acceptance", "provisioning", "active")


def create_interface(
    backend: Any, subnet: Any, kind: str, description: str, groups: list[str] | None = None
) -> NetworkInterface:
    """An interface that AWS manages, with a free address of its subnet."""
    address = subnet.get_available_subnet_ip(instance=None)
    interface = backend.create_network_interface(
        subnet, address, group_ids=groups, description=description
    )
    interface.interface_type = kind
    interface.requester_managed = True
    interface.status = "in-use"
    return interface


def create_vpc(
    moto: Any, self: Any, *arguments: Any, is_default: bool = False, **named: Any
) -> Any:
    if not is_default:
        quotas.check("vpcs", len(self.vpcs))
    return moto(self, *arguments, is_default=is_default, **named)


def backend_init(moto: Any, self: Any, *arguments: Any, **named: Any) -> None:
    """The account has deleted its default VPC, so that the Region holds the program's only."""
    moto(self, *arguments, **named)
    vpc = self.default_vpc
    for subnets in self.subnets.values():
        subnets.clear()
    self.vpcs.pop(vpc.id)
    self.groups.pop(vpc.id)
    for store, of_vpc in ((self.route_tables, "vpc_id"), (self.network_acls, "vpc_id")):
        for identifier in [i for i, item in store.items() if getattr(item, of_vpc) == vpc.id]:
            store.pop(identifier)


def create_subnet(moto: Any, self: Any, vpc_id: str, *arguments: Any, **named: Any) -> Any:
    """moto makes a zone's first subnet its default one, with public addresses, in whatever VPC.

    Only a default VPC has such ("Default VPCs", VPC User Guide).
    """
    subnet = moto(self, vpc_id, *arguments, **named)
    if not self.get_vpc(vpc_id).is_default:
        subnet.default_for_az = subnet.map_public_ip_on_launch = False
    return subnet


def request_ip(moto: Any, self: Any, ip: str, instance: Any) -> None:
    """moto answers 500 where AWS names the address ("Subnet sizing", VPC User Guide)."""
    address = ipaddress.ip_address(ip)
    if address not in self.cidr:
        raise EC2ClientError(
            "InvalidParameterValue", f"Address {ip} does not fall within {self.cidr}"
        )
    first = int(self.cidr.network_address)
    if int(address) < first + 4 or address == self.cidr.broadcast_address:
        raise EC2ClientError(
            "InvalidParameterValue", f"Address {ip} is in subnet's reserved address range"
        )
    if ip in self._subnet_ips:
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {ip} is in use.")
    moto(self, ip, instance)


def create_internet_gateway(moto: Any, self: Any, *arguments: Any, **named: Any) -> Any:
    quotas.check("internet_gateways", len(self.internet_gateways))
    return moto(self, *arguments, **named)


def create_nat_gateway(
    moto: Any,
    self: Any,
    subnet_id: str,
    allocation_id: str,
    tags: Any = None,
    connectivity_type: str = "public",
) -> NatGateway:
    """moto gives the gateway a private address outside its subnet."""
    subnet = self.get_subnet(subnet_id)
    in_zone = [
        gateway
        for gateway in self.nat_gateways.values()
        if gateway.state == "available"
        and self.get_subnet(gateway.subnet_id).availability_zone == subnet.availability_zone
    ]
    quotas.check("nat_gateways_per_zone", len(in_zone))
    gateway = moto(self, subnet_id, allocation_id, tags, connectivity_type)
    interface = gateway._eni
    address = subnet.get_available_subnet_ip(instance=interface)
    gateway.private_ip = interface.private_ip_address = address
    interface.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": address}]
    interface.interface_type = "nat_gateway"
    interface.requester_managed = True
    interface.status = "in-use"
    interface.description = f"Interface for NAT Gateway {gateway.id}"
    # A NAT gateway has no security groups ("NAT gateway basics", VPC User Guide).
    interface._group_set = []
    gateway.address_set[0]["privateIp"] = address
    return gateway


def describe_nat_gateways(
    moto: Any, self: Any, filters: Any, nat_gateway_ids: list[str] | None
) -> list[NatGateway]:
    """moto takes no notice of filters by tag."""
    found = moto(self, filters, nat_gateway_ids)
    return describe_tag_filter(filters, found) if filters else found


def delete_nat_gateway(moto: Any, self: Any, nat_gateway_id: str) -> NatGateway:
    """API reference, DeleteNatGateway: disassociates its Elastic IP, but does not release it."""
    if nat_gateway_id not in self.nat_gateways:
        raise EC2ClientError(
            "NatGatewayNotFound", f"The Nat Gateway {nat_gateway_id} was not found"
        )
    gateway = moto(self, nat_gateway_id)
    if gateway._eni.id in self.enis:
        if gateway._eni.public_ip:
            self.disassociate_address(address=gateway._eni.public_ip)
        gateway._eni.delete()
    return gateway


def route_state(_moto: Any, self: Any) -> str:
    """API reference, Route: `blackhole` when the target is gone, detached or deleted."""
    gateway, table = self.gateway, self.route_table
    is_internet_gateway = gateway is not None and gateway.id.startswith("igw-")
    gone = (
        (self.nat_gateway is not None and self.nat_gateway.state != "available")
        or (self.vpc_pcx is not None and self.vpc_pcx.status["Code"] != "active")
        or (is_internet_gateway and gateway.vpc is None)
        or (
            self.transit_gateway is not None
            and not is_attached(table.ec2_backend, self.transit_gateway.id, table.vpc_id)
        )
    )
    return "blackhole" if gone else "active"


def is_attached(backend: Any, gateway: str, vpc: str) -> bool:
    """Whether a VPC is attached to a Transit Gateway that is there."""
    return gateway in backend.transit_gateways and any(
        (item.transit_gateway_id, item.resource_id) == (gateway, vpc)
        for item in backend.transit_gateway_attachments.values()
    )


def create_vpc_peering_connection(
    moto: Any, self: Any, vpc: Any, peer_vpc: Any, tags: Any = None
) -> Any:
    """API reference, CreateVpcPeeringConnection: overlapping blocks give status `failed`.

    A second request between the same VPCs returns the first connection.
    """
    alive = [p for p in self.vpc_pcxs.values() if p.status["Code"] in ALIVE_PEERINGS]
    for peering in alive:
        if {peering.vpc.id, peering.peer_vpc.id} == {vpc.id, peer_vpc.id}:
            return peering
    for one in (vpc, peer_vpc):
        used = sum(one.id in (peering.vpc.id, peering.peer_vpc.id) for peering in alive)
        quotas.check("peerings_per_vpc", used)
    peering = moto(self, vpc, peer_vpc, tags)
    if vpc is peer_vpc or _overlap(vpc, peer_vpc):
        peering._status.code = "failed"
        peering._status.message = (
            "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range: "
            f"{vpc.id} {', '.join(blocks(vpc))} and {peer_vpc.id} {', '.join(blocks(peer_vpc))}"
        )
    return peering


def describe_vpc_peering_connections(_moto: Any, self: Any) -> ActionResult:
    """moto takes no notice of filters (API reference, DescribeVpcPeeringConnections)."""
    found = self.ec2_backend.describe_vpc_peering_connections(
        vpc_peering_ids=self._get_param("VpcPeeringConnectionIds", [])
    )
    for name, values in self._filters_from_querystring().items():
        found = [peering for peering in found if _peering_value(peering, name) in values]
    return ActionResult({"VpcPeeringConnections": found})


def _peering_value(peering: Any, name: str) -> Any:
    if name.startswith("tag:"):
        return peering.get_filter_value(name)
    return {
        "accepter-vpc-info.vpc-id": peering.peer_vpc.id,
        "requester-vpc-info.vpc-id": peering.vpc.id,
        "status-code": peering.status["Code"],
        "vpc-peering-connection-id": peering.id,
    }[name]


def _overlap(one: Any, other: Any) -> bool:
    return any(
        ipaddress.ip_network(a).overlaps(ipaddress.ip_network(b))
        for a in blocks(one)
        for b in blocks(other)
    )


def blocks(vpc: Any) -> list[str]:
    """The IPv4 blocks of a VPC."""
    return [block["cidr_block"] for block in vpc.get_cidr_block_association_set(ipv6=False)]


def create_vpc_endpoint(moto: Any, self: Any, **request: Any) -> Any:
    """API reference, CreateVpcEndpoint: without a type it is a gateway endpoint."""
    return moto(self, **{**request, "endpoint_type": request["endpoint_type"] or "Gateway"})


def modify_vpc_endpoint(moto: Any, self: Any, **request: Any) -> None:
    """A gateway endpoint's routes follow its route tables; moto changes the list only."""
    moto(self, **request)
    endpoint = self.describe_vpc_endpoints(vpc_end_point_ids=[request["vpc_id"]])[0]
    prefix_list = endpoint.destination_prefix_list_id
    for table in request["add_route_tables"] or []:
        self.create_route(
            table, None, gateway_id=endpoint.id, destination_prefix_list_id=prefix_list
        )
    for table in request["remove_route_tables"] or []:
        self.delete_route(table, prefix_list)


def associate_route_table(
    moto: Any, self: Any, route_table_id: str, gateway_id: Any = None, subnet_id: Any = None
) -> str:
    """EC2 error codes, Resource.AlreadyAssociated: a subnet has one route table."""
    for table in self.route_tables.values():
        if table.id != route_table_id and subnet_id and subnet_id in table._associations.values():
            raise EC2ClientError(
                "Resource.AlreadyAssociated",
                f"The subnet {subnet_id} is associated with {table.id}: disassociate that first",
            )
    return moto(self, route_table_id, gateway_id, subnet_id)


def create_default_pls(moto: Any, self: Any) -> None:
    """The S3 prefix list holds the lab's addresses in place of Amazon's."""
    moto(self)
    for prefix_list in self.managed_prefix_lists.values():
        if prefix_list.prefix_list_name == f"com.amazonaws.{self.region_name}.s3":
            entries = [{"Cidr": cidr, "Description": "S3"} for cidr in plan.S3_PREFIXES]
            prefix_list.entries = {1: entries}


CORRECTIONS = (
    (EC2Backend, "__init__", backend_init),
    (VPCBackend, "create_vpc", create_vpc),
    (VPCBackend, "create_vpc_endpoint", create_vpc_endpoint),
    (VPCBackend, "modify_vpc_endpoint", modify_vpc_endpoint),
    (SubnetBackend, "create_subnet", create_subnet),
    (Subnet, "request_ip", request_ip),
    (InternetGatewayBackend, "create_internet_gateway", create_internet_gateway),
    (NatGatewayBackend, "create_nat_gateway", create_nat_gateway),
    (NatGatewayBackend, "delete_nat_gateway", delete_nat_gateway),
    (NatGatewayBackend, "describe_nat_gateways", describe_nat_gateways),
    (Route, "state", route_state),
    (RouteBackend, "associate_route_table", associate_route_table),
    (
        VPCPeeringConnectionBackend,
        "create_vpc_peering_connection",
        create_vpc_peering_connection,
    ),
    (EC2Response, "describe_vpc_peering_connections", describe_vpc_peering_connections),
    (ManagedPrefixListBackend, "create_default_pls", create_default_pls),
)
