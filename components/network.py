"""Networks: the environment's VPC with its DMZ, private and edge subnets, and a branch's VPC."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.tags import named
from model.addressing import BranchPlan, EnvironmentPlan
from model.flows import ANYWHERE


class _Network(ComponentResource):
    """What both kinds of network share: a VPC, its Internet gateway, subnets and route tables."""

    def __init__(self, kind: str, name: str, cidr: str, opts: ResourceOptions) -> None:
        super().__init__(f"gatepost:network:{kind}", name, None, opts)
        self.name = name
        self.child = ResourceOptions(parent=self)
        self.ready: list[pulumi.Resource] = []
        """What a host must wait for: without its routes its first boot installs nothing."""
        self.nat_addresses: dict[str, aws.ec2.Eip] = {}
        """The Elastic IP of each NAT gateway, by its label."""
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

    def subnet(self, purpose: str, cidr: str, zone: str) -> tuple[aws.ec2.Subnet, Input[str]]:
        """A subnet with a route table of its own, by id; no address is public by default."""
        name = f"{self.name}-{purpose}"
        subnet = aws.ec2.Subnet(
            name,
            vpc_id=self.vpc.id,
            cidr_block=cidr,
            availability_zone=zone,
            map_public_ip_on_launch=False,
            tags=named(name),
            opts=self.child,
        )
        table = aws.ec2.RouteTable(name, vpc_id=self.vpc.id, tags=named(name), opts=self.child)
        association = aws.ec2.RouteTableAssociation(
            name, subnet_id=subnet.id, route_table_id=table.id, opts=self.child
        )
        self.ready.append(association)
        return subnet, table.id

    def route(self, purpose: str, table: Input[str], cidr: str, **target: Input[str]) -> None:
        """A route of its own, never inline: others may add theirs to the table."""
        route = aws.ec2.Route(
            f"{self.name}-{purpose}",
            route_table_id=table,
            destination_cidr_block=cidr,
            opts=self.child,
            **target,
        )
        self.ready.append(route)

    def internet(self, purpose: str, table: Input[str]) -> None:
        """The default route to the Internet gateway."""
        self.route(f"{purpose}-internet", table, str(ANYWHERE), gateway_id=self.gateway.id)

    def nat(self, label: str, edge: aws.ec2.Subnet, protect: bool) -> aws.ec2.NatGateway:
        """A NAT gateway in a subnet of its own, with its Elastic IP; the routes come first."""
        name = f"{self.name}-{label}"
        address = aws.ec2.Eip(
            name,
            domain="vpc",
            tags=named(name),
            opts=ResourceOptions(parent=self, protect=protect),
        )
        self.nat_addresses[label] = address
        return aws.ec2.NatGateway(
            name,
            subnet_id=edge.id,
            allocation_id=address.allocation_id,
            tags=named(name),
            opts=ResourceOptions(parent=self, depends_on=list(self.ready)),
        )

    def storage(self, region: str, tables: Sequence[Input[str]]) -> None:
        """S3 without the Internet: a gateway endpoint costs nothing and needs no NAT."""
        aws.ec2.VpcEndpoint(
            f"{self.name}-s3",
            vpc_id=self.vpc.id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=list(tables),
            tags=named(f"{self.name}-s3"),
            opts=self.child,
        )


class EnvironmentNetwork(_Network):
    """In each zone a DMZ to the Internet gateway, a private subnet to NAT, and NAT's own edge.

    Attributes: `vpc`; `dmz` and `private`, a subnet for each zone; `hub_table`, the route table of
    the hub's subnet, to which branches add routes; `nat_addresses`. Names carry the zone's letter,
    so that another zone changes none of them.
    """

    def __init__(
        self,
        name: str,
        *,
        plan: EnvironmentPlan,
        region: str,
        zones: Sequence[str],
        nat_per_zone: bool,
        protect: bool,
        opts: ResourceOptions,
    ) -> None:
        super().__init__("EnvironmentNetwork", name, str(plan.network), opts)
        self.dmz: list[aws.ec2.Subnet] = []
        self.private: list[aws.ec2.Subnet] = []
        tables: list[Input[str]] = []
        private_tables: list[Input[str]] = []
        nats: list[aws.ec2.NatGateway] = []
        for zone, subnets in zip(zones, plan.zones, strict=True):
            letter = zone[-1]
            dmz, dmz_table = self.subnet(f"dmz-{letter}", str(subnets.dmz), zone)
            self.internet(f"dmz-{letter}", dmz_table)
            private, private_table = self.subnet(f"private-{letter}", str(subnets.private), zone)
            if nat_per_zone or not nats:
                edge, edge_table = self.subnet(f"edge-{letter}", str(subnets.edge), zone)
                self.internet(f"edge-{letter}", edge_table)
                nats.append(self.nat(f"nat-{letter}", edge, protect))
            self.route(
                f"private-{letter}-internet",
                private_table,
                str(ANYWHERE),
                nat_gateway_id=nats[-1].id if nat_per_zone else nats[0].id,
            )
            self.dmz.append(dmz)
            self.private.append(private)
            private_tables.append(private_table)
            tables += [dmz_table, private_table]
        self.hub_table = private_tables[0]
        self.storage(region, tables)
        self.register_outputs({"vpc": self.vpc.id})


class BranchNetwork(_Network):
    """The server's subnet with its own way out, and the peering with both its routes.

    A peered VPC cannot use the environment's NAT or Internet gateway. `way_out` is `address`: the
    server has a public address, to which no rule lets anything in; or `nat`.
    """

    def __init__(
        self,
        name: str,
        *,
        plan: BranchPlan,
        region: str,
        zone: str,
        way_out: str,
        environment_vpc: Input[str],
        environment_network: str,
        environment_table: Input[str],
        opts: ResourceOptions,
    ) -> None:
        super().__init__("BranchNetwork", name, str(plan.network), opts)
        self.servers, table = self.subnet("servers", str(plan.servers), zone)
        if way_out == "nat":
            edge, edge_table = self.subnet("edge", str(plan.edge), zone)
            self.internet("edge", edge_table)
            nat = self.nat("nat", edge, protect=False)
            self.route("servers-internet", table, str(ANYWHERE), nat_gateway_id=nat.id)
        else:
            self.internet("servers", table)
        peering = aws.ec2.VpcPeeringConnection(
            name,
            vpc_id=self.vpc.id,
            peer_vpc_id=environment_vpc,
            auto_accept=True,
            tags=named(name),
            opts=self.child,
        )
        self.route("hub", table, environment_network, vpc_peering_connection_id=peering.id)
        self.route(
            "back", environment_table, str(plan.network), vpc_peering_connection_id=peering.id
        )
        self.storage(region, [table])
        self.register_outputs({"vpc": self.vpc.id})
