"""Networks: the environment's VPC with its DMZ, private and edge subnets, and a branch's VPC."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.tags import named
from model.addressing import BranchPlan, EnvironmentPlan
from model.flows import ANYWHERE


class _Network(ComponentResource):
    """What both kinds of network share: a VPC, its Internet gateway, subnets and route tables."""

    def __init__(self, kind: str, name: str, cidr: str, zone: str, opts: ResourceOptions) -> None:
        super().__init__(f"gatepost:network:{kind}", name, None, opts)
        self.name = name
        self.zone = zone
        self.child = ResourceOptions(parent=self)
        self.ready: list[pulumi.Resource] = []
        """What a host must wait for: without its routes its first boot installs nothing."""
        self.vpc = aws.ec2.Vpc(
            name,
            cidr_block=cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=named(name),
            opts=self.child,
        )
        # An instance that is given no group gets the default one: it lets nothing through.
        aws.ec2.DefaultSecurityGroup(
            f"{name}-default", vpc_id=self.vpc.id, tags=named(f"{name}-default"), opts=self.child
        )
        self.gateway = aws.ec2.InternetGateway(
            name, vpc_id=self.vpc.id, tags=named(name), opts=self.child
        )

    def subnet(self, purpose: str, cidr: str) -> tuple[aws.ec2.Subnet, aws.ec2.RouteTable]:
        """A subnet with a route table of its own; no address is public by default."""
        name = f"{self.name}-{purpose}"
        subnet = aws.ec2.Subnet(
            name,
            vpc_id=self.vpc.id,
            cidr_block=cidr,
            availability_zone=self.zone,
            map_public_ip_on_launch=False,
            tags=named(name),
            opts=self.child,
        )
        table = aws.ec2.RouteTable(name, vpc_id=self.vpc.id, tags=named(name), opts=self.child)
        association = aws.ec2.RouteTableAssociation(
            name, subnet_id=subnet.id, route_table_id=table.id, opts=self.child
        )
        self.ready.append(association)
        return subnet, table

    def way_out(self, purpose: str, table: aws.ec2.RouteTable) -> aws.ec2.Route:
        """The default route to the Internet gateway."""
        route = aws.ec2.Route(
            f"{self.name}-{purpose}-internet",
            route_table_id=table.id,
            destination_cidr_block=str(ANYWHERE),
            gateway_id=self.gateway.id,
            opts=self.child,
        )
        self.ready.append(route)
        return route

    def storage(self, region: str, tables: list[Input[str]]) -> None:
        """S3 without the Internet: a gateway endpoint costs nothing and needs no NAT."""
        aws.ec2.VpcEndpoint(
            f"{self.name}-s3",
            vpc_id=self.vpc.id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=tables,
            tags=named(f"{self.name}-s3"),
            opts=self.child,
        )


class EnvironmentNetwork(_Network):
    """DMZ to the Internet gateway; private to a NAT gateway, which has a subnet of its own.

    Attributes: `vpc`, `dmz`, `private` (subnets), `private_table` (branches add routes to it)
    and `nat_address` (its Elastic IP).
    """

    def __init__(
        self, name: str, *, plan: EnvironmentPlan, region: str, zone: str, opts: ResourceOptions
    ) -> None:
        super().__init__("EnvironmentNetwork", name, str(plan.network), zone, opts)
        self.dmz, dmz_table = self.subnet("dmz", str(plan.dmz))
        self.private, self.private_table = self.subnet("private", str(plan.private))
        edge, edge_table = self.subnet("edge", str(plan.edge))
        self.way_out("dmz", dmz_table)
        edge_route = self.way_out("edge", edge_table)
        self.nat_address = aws.ec2.Eip(
            f"{name}-nat", domain="vpc", tags=named(f"{name}-nat"), opts=self.child
        )
        nat = aws.ec2.NatGateway(
            name,
            subnet_id=edge.id,
            allocation_id=self.nat_address.allocation_id,
            tags=named(name),
            opts=ResourceOptions(parent=self, depends_on=[edge_route]),
        )
        private_route = aws.ec2.Route(
            f"{name}-private-internet",
            route_table_id=self.private_table.id,
            destination_cidr_block=str(ANYWHERE),
            nat_gateway_id=nat.id,
            opts=self.child,
        )
        self.storage(region, [dmz_table.id, self.private_table.id])
        self.ready.append(private_route)
        self.register_outputs({"vpc": self.vpc.id})


class BranchNetwork(_Network):
    """One subnet with its own way out, and the peering to the environment with both its routes.

    The server has a public address, to which no rule lets anything in: a tenth of the price of a
    NAT gateway. A peered VPC cannot use the environment's NAT or Internet gateway.
    """

    def __init__(
        self,
        name: str,
        *,
        plan: BranchPlan,
        region: str,
        zone: str,
        environment_vpc: Input[str],
        environment_network: str,
        environment_table: Input[str],
        opts: ResourceOptions,
    ) -> None:
        super().__init__("BranchNetwork", name, str(plan.network), zone, opts)
        self.servers, table = self.subnet("servers", str(plan.subnet))
        self.way_out("servers", table)
        peering = aws.ec2.VpcPeeringConnection(
            name,
            vpc_id=self.vpc.id,
            peer_vpc_id=environment_vpc,
            auto_accept=True,
            tags=named(name),
            opts=self.child,
        )
        self._peer_route("hub", table.id, environment_network, peering)
        self._peer_route("back", environment_table, str(plan.network), peering)
        self.storage(region, [table.id])
        self.register_outputs({"vpc": self.vpc.id})

    def _peer_route(
        self,
        purpose: str,
        table: Input[str],
        cidr: str,
        peering: aws.ec2.VpcPeeringConnection,
    ) -> None:
        route = aws.ec2.Route(
            f"{self.name}-{purpose}",
            route_table_id=table,
            destination_cidr_block=cidr,
            vpc_peering_connection_id=peering.id,
            opts=self.child,
        )
        self.ready.append(route)
