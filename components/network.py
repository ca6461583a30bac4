"""Networks: the environment's VPC with its DMZ, private and edge subnets, and a branch's VPC."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.directory import endpoint_policy
from components.tags import named
from model.addressing import BranchPlan, EnvironmentPlan
from model.contract import Contract
from model.flows import ANYWHERE
from model.settings import TRANSIT_GATEWAY


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

    def route(
        self,
        purpose: str,
        table: Input[str],
        cidr: str,
        *,
        after: Sequence[pulumi.Resource] = (),
        **target: Input[str],
    ) -> None:
        """A route of its own, never inline: others may add theirs to the table."""
        route = aws.ec2.Route(
            f"{self.name}-{purpose}",
            route_table_id=table,
            destination_cidr_block=cidr,
            opts=ResourceOptions(parent=self, depends_on=list(after)),
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

    def attach(
        self, subnet: aws.ec2.Subnet, transit_gateway: Input[str]
    ) -> aws.ec2transitgateway.VpcAttachment:
        """Attach the VPC to a Transit Gateway in the zone of `subnet`.

        The gateway takes an address of that subnet by its own choice: it must hold no host with a
        fixed one. It serves all subnets of the zone, and of no other (Transit Gateway guide,
        "Amazon VPC attachments").
        """
        return aws.ec2transitgateway.VpcAttachment(
            self.name,
            transit_gateway_id=transit_gateway,
            vpc_id=self.vpc.id,
            subnet_ids=[subnet.id],
            tags=named(self.name),
            opts=self.child,
        )

    def storage(self, region: str, tables: Sequence[Input[str]], bucket: str) -> None:
        """The bucket without the Internet: a gateway endpoint costs nothing and needs no NAT.

        All of the Region's S3 goes by it, so that no other bucket there is reached.
        """
        aws.ec2.VpcEndpoint(
            f"{self.name}-s3",
            vpc_id=self.vpc.id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=list(tables),
            policy=endpoint_policy(bucket),
            tags=named(f"{self.name}-s3"),
            opts=self.child,
        )


class EnvironmentNetwork(_Network):
    """In each zone a DMZ to the Internet gateway, a private subnet to NAT, and NAT's own edge.

    Attributes: `vpc`; `dmz` and `private`, a subnet for each zone; `hub_table`, the route table of
    the hub's subnet, to which peered branches add routes; `nat_addresses`; `transit`, the Transit
    Gateway if branches are joined by one, with one route for all of them (`branches`). Names carry
    the zone's letter, so that another zone changes none of them.
    """

    def __init__(
        self,
        name: str,
        *,
        plan: EnvironmentPlan,
        region: str,
        bucket: str,
        zones: Sequence[str],
        nat_per_zone: bool,
        branches: str,
        transit: bool,
        protect: bool,
        opts: ResourceOptions,
    ) -> None:
        super().__init__("EnvironmentNetwork", name, str(plan.network), opts)
        self.dmz: list[aws.ec2.Subnet] = []
        self.private: list[aws.ec2.Subnet] = []
        tables: list[Input[str]] = []
        private_tables: list[Input[str]] = []
        edges: list[aws.ec2.Subnet] = []
        nats: list[aws.ec2.NatGateway] = []
        for zone, subnets in zip(zones, plan.zones, strict=True):
            letter = zone[-1]
            dmz, dmz_table = self.subnet(f"dmz-{letter}", str(subnets.dmz), zone)
            self.internet(f"dmz-{letter}", dmz_table)
            private, private_table = self.subnet(f"private-{letter}", str(subnets.private), zone)
            if nat_per_zone or not nats:
                edge, edge_table = self.subnet(f"edge-{letter}", str(subnets.edge), zone)
                self.internet(f"edge-{letter}", edge_table)
                edges.append(edge)
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
        self.storage(region, tables, bucket)
        # Its zone is the hub's, the one host that branches talk to.
        self.transit = self._transit(edges[0], branches) if transit else None
        self.register_outputs({"vpc": self.vpc.id})

    def _transit(self, edge: aws.ec2.Subnet, branches: str) -> aws.ec2transitgateway.TransitGateway:
        """A Transit Gateway whose one table knows what attaches itself, and the way to it."""
        gateway = aws.ec2transitgateway.TransitGateway(
            self.name,
            description="the branches of a mail environment",
            default_route_table_association="enable",
            default_route_table_propagation="enable",
            # One account only: nobody else's VPC attaches itself.
            auto_accept_shared_attachments="disable",
            tags=named(self.name),
            opts=self.child,
        )
        attachment = self.attach(edge, gateway.id)
        # EC2 refuses a route to a gateway that the VPC is not attached to.
        self.route(
            "branches", self.hub_table, branches, after=[attachment], transit_gateway_id=gateway.id
        )
        return gateway


class BranchNetwork(_Network):
    """The server's subnet with its own way out, and the link to the environment with its routes.

    Neither a peered VPC nor one behind the Transit Gateway uses the environment's NAT or Internet
    gateway. `way_out` is `address`: the server has a public address, to which no rule lets anything
    in; or `nat`.
    """

    def __init__(
        self,
        name: str,
        *,
        plan: BranchPlan,
        region: str,
        zone: str,
        way_out: str,
        terms: Contract,
        opts: ResourceOptions,
    ) -> None:
        super().__init__("BranchNetwork", name, str(plan.network), opts)
        self.terms = terms
        self.servers, self.table = self.subnet("servers", str(plan.servers), zone)
        if way_out == "nat":
            edge, edge_table = self.subnet("edge", str(plan.edge), zone)
            self.internet("edge", edge_table)
            nat = self.nat("nat", edge, protect=False)
            self.route("servers-internet", self.table, str(ANYWHERE), nat_gateway_id=nat.id)
        else:
            self.internet("servers", self.table)
        if terms.branch_link == TRANSIT_GATEWAY:
            transit, _ = self.subnet("transit", str(plan.transit), zone)
            attachment = self.attach(transit, terms.transit_gateway)
            self._to_hub([attachment], transit_gateway_id=terms.transit_gateway)
        else:
            self._peer(str(plan.network))
        self.storage(region, [self.table], terms.directory)
        self.register_outputs({"vpc": self.vpc.id})

    def _peer(self, own: str) -> None:
        peering = aws.ec2.VpcPeeringConnection(
            self.name,
            vpc_id=self.vpc.id,
            peer_vpc_id=self.terms.vpc,
            auto_accept=True,
            tags=named(self.name),
            opts=self.child,
        )
        self._to_hub([], vpc_peering_connection_id=peering.id)
        self.route("back", self.terms.route_table, own, vpc_peering_connection_id=peering.id)

    def _to_hub(self, after: Sequence[pulumi.Resource], **target: Input[str]) -> None:
        self.route("hub", self.table, self.terms.network, after=after, **target)
