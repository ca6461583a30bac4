"""A small company by hand: a VPC with a DMZ, an inside and a NAT gateway, peered with two others.

vpc-main 10.0.0.0/16     dmz 10.0.1.0/24 (relay, web)  inside 10.0.2.0/24 (hub)  nat 10.0.3.0/24
vpc-branch 10.1.0.0/16   10.1.1.0/24 (branch)
vpc-third 10.2.0.0/16    10.2.1.0/24 (third)
"""

from __future__ import annotations

from dataclasses import replace

from lab.internet.plan import S3_PREFIXES
from lab.world.model import (
    AclRule,
    ConnectEndpoint,
    Instance,
    Interface,
    NatGateway,
    NetworkAcl,
    Peering,
    PrefixList,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    Subnet,
    TransitAttachment,
    TransitRoute,
    TransitTable,
    Vpc,
    World,
)

MAIN, BRANCH, THIRD = "vpc-main0000001", "vpc-branch00002", "vpc-third000003"
IGW, NAT = "igw-00000000001", "nat-00000000001"
TO_BRANCH, TO_THIRD = "pcx-00000000002", "pcx-00000000003"
S3_LIST, S3_ENDPOINT = "pl-000000000001", "vpce-0000000001"
OPEN = "sg-open"
RELAY, WEB, HUB, BRANCH_HOST, THIRD_HOST = "i-relay", "i-web", "i-hub", "i-branch", "i-third"
CONNECT = "eice-main"
ADDRESS = {
    RELAY: "10.0.1.10",
    WEB: "10.0.1.11",
    HUB: "10.0.2.10",
    BRANCH_HOST: "10.1.1.10",
    THIRD_HOST: "10.2.1.10",
    CONNECT: "10.0.2.20",
}
NAT_ADDRESS, NAT_PUBLIC = "10.0.3.10", "198.51.100.1"
PUBLIC = {RELAY: "198.51.100.10", WEB: "198.51.100.11"}


def rule(
    group_id: str,
    direction: str,
    protocol: str = "-1",
    from_port: int | None = None,
    to_port: int | None = None,
    *,
    cidr: str | None = None,
    group: str | None = None,
    prefix_list: str | None = None,
) -> Rule:
    """A rule; without a peer it is for everywhere, with one port only for that one."""
    if cidr is None and group is None and prefix_list is None:
        cidr = "0.0.0.0/0"
    return Rule(
        id=f"sgr-{direction}-{protocol}-{from_port}-{cidr}-{group}-{prefix_list}",
        group_id=group_id,
        direction=direction,  # ty: ignore[invalid-argument-type]
        protocol=protocol,
        from_port=from_port,
        to_port=from_port if to_port is None else to_port,
        cidr=cidr,
        group=group,
        prefix_list=prefix_list,
    )


def group(group_id: str, *rules: Rule, vpc: str = MAIN) -> SecurityGroup:
    """A security group named by its id."""
    return SecurityGroup(id=group_id, name=group_id, vpc=vpc, rules=rules)


def open_group(group_id: str, vpc: str) -> SecurityGroup:
    """A group that lets everything in and out."""
    return group(group_id, rule(group_id, "ingress"), rule(group_id, "egress"), vpc=vpc)


def acl_rule(
    number: int,
    direction: str,
    protocol: str = "-1",
    from_port: int | None = None,
    to_port: int | None = None,
    *,
    cidr: str = "0.0.0.0/0",
    allow: bool = True,
) -> AclRule:
    """A rule of a network ACL; with one port only for that one."""
    return AclRule(
        number=number,
        direction=direction,  # ty: ignore[invalid-argument-type]
        protocol=protocol,
        from_port=from_port,
        to_port=from_port if to_port is None else to_port,
        cidr=cidr,
        allow=allow,
    )


def _default_acl(vpc: str, *subnets: str) -> NetworkAcl:
    """As EC2 makes it: everything passes."""
    return NetworkAcl(
        id=f"acl-{vpc}",
        name="",
        vpc=vpc,
        subnets=subnets,
        rules=(acl_rule(100, "egress"), acl_rule(100, "ingress")),
    )


def interface(owner: str, vpc: str, subnet: str, groups: tuple[str, ...]) -> Interface:
    """The interface of `owner`, at its address of `ADDRESS`."""
    last = list(ADDRESS).index(owner) + 16 if owner in ADDRESS else 99
    return Interface(
        id=f"eni-{owner.removeprefix('i-'):0>11}",
        owner=owner,
        vpc=vpc,
        subnet=subnet,
        mac=f"06:00:00:00:00:{last:02x}",
        private_ip=ADDRESS.get(owner, "10.0.1.99"),
        public_ip=PUBLIC.get(owner),
        groups=groups,
        source_dest_check=True,
    )


def instance(
    owner: str, vpc: str = MAIN, subnet: str = "subnet-dmz", groups: tuple[str, ...] = (OPEN,)
) -> Instance:
    """A running instance."""
    return Instance(
        id=owner,
        name=owner,
        role="",
        image="ami-1",
        type="t4g.small",
        zone="ap-northeast-1a",
        interface=interface(owner, vpc, subnet, groups),
        user_data=b"",
        iam_role=None,
        public_key=None,
        tokens_required=True,
        hop_limit=1,
    )


def route(destination: str, kind: str, target: str, *, active: bool = True) -> Route:
    """A route."""
    return Route(
        destination=destination,
        kind=kind,  # ty: ignore[invalid-argument-type]
        target=target,
        active=active,
    )


def _subnet(name: str, vpc: str, cidr: str, table: str) -> Subnet:
    return Subnet(
        id=f"subnet-{name}", name=name, vpc=vpc, cidr=cidr, zone="a", route_table=f"rtb-{table}"
    )


def _table(name: str, vpc: str, *routes: Route) -> RouteTable:
    return RouteTable(id=f"rtb-{name}", vpc=vpc, routes=routes)


def company() -> World:
    """The whole company, with groups that let everything pass."""
    local = route("10.0.0.0/16", "local", "local")
    peers = (
        route("10.1.0.0/16", "peering", TO_BRANCH),
        route("10.2.0.0/16", "peering", TO_THIRD),
    )
    out = route("0.0.0.0/0", "internet_gateway", IGW)
    return World(
        region="ap-northeast-1",
        account="123456789012",
        vpcs=(
            Vpc(id=MAIN, name="main", cidrs=("10.0.0.0/16",), internet_gateway=IGW),
            Vpc(id=BRANCH, name="branch", cidrs=("10.1.0.0/16",), internet_gateway=None),
            Vpc(id=THIRD, name="third", cidrs=("10.2.0.0/16",), internet_gateway=None),
        ),
        subnets=(
            _subnet("dmz", MAIN, "10.0.1.0/24", "public"),
            _subnet("inside", MAIN, "10.0.2.0/24", "inside"),
            _subnet("nat", MAIN, "10.0.3.0/24", "public"),
            _subnet("branch", BRANCH, "10.1.1.0/24", "branch"),
            _subnet("third", THIRD, "10.2.1.0/24", "third"),
        ),
        route_tables=(
            _table("public", MAIN, local, out, *peers),
            _table("inside", MAIN, local, route("0.0.0.0/0", "nat_gateway", NAT), *peers),
            # Everything to the peer, its Internet gateway and its own peers included.
            _table(
                "branch",
                BRANCH,
                route("10.1.0.0/16", "local", "local"),
                route("0.0.0.0/0", "peering", TO_BRANCH),
            ),
            _table(
                "third",
                THIRD,
                route("10.2.0.0/16", "local", "local"),
                route("0.0.0.0/0", "peering", TO_THIRD),
            ),
        ),
        nat_gateways=(
            NatGateway(id=NAT, subnet="subnet-nat", private_ip=NAT_ADDRESS, public_ip=NAT_PUBLIC),
        ),
        peerings=(
            Peering(id=TO_BRANCH, requester=MAIN, accepter=BRANCH, active=True),
            Peering(id=TO_THIRD, requester=MAIN, accepter=THIRD, active=True),
        ),
        groups=(
            open_group(OPEN, MAIN),
            open_group("sg-branch", BRANCH),
            open_group("sg-third", THIRD),
        ),
        network_acls=(
            _default_acl(BRANCH, "subnet-branch"),
            _default_acl(MAIN, "subnet-dmz", "subnet-inside", "subnet-nat"),
            _default_acl(THIRD, "subnet-third"),
        ),
        prefix_lists=(PrefixList(id=S3_LIST, name="s3", cidrs=S3_PREFIXES),),
        instances=(
            instance(RELAY),
            instance(WEB),
            instance(HUB, subnet="subnet-inside"),
            instance(BRANCH_HOST, BRANCH, "subnet-branch", ("sg-branch",)),
            instance(THIRD_HOST, THIRD, "subnet-third", ("sg-third",)),
        ),
        connect_endpoints=(
            ConnectEndpoint(
                id=CONNECT, interface=interface(CONNECT, MAIN, "subnet-inside", (OPEN,))
            ),
        ),
    )


def with_groups(world: World, owner: str, *groups: SecurityGroup) -> World:
    """`world` with `owner` in just these groups."""
    ids = tuple(group.id for group in groups)

    def change(item: Instance) -> Instance:
        return replace(item, interface=replace(item.interface, groups=ids))

    return replace(
        world,
        groups=(*world.groups, *(group for group in groups if group not in world.groups)),
        instances=tuple(change(item) if item.id == owner else item for item in world.instances),
    )


def with_acl(world: World, subnet: str, *rules: AclRule) -> World:
    """`world` with `subnet` in an ACL of its own that has these rules."""
    vpc = next(item.vpc for item in world.subnets if item.id == subnet)
    own = NetworkAcl(id=f"acl-{subnet}", name="", vpc=vpc, subnets=(subnet,), rules=rules)
    others = (
        replace(acl, subnets=tuple(item for item in acl.subnets if item != subnet))
        for acl in world.network_acls
        if acl.id != own.id
    )
    return replace(world, network_acls=(*others, own))


def with_interface(world: World, owner: str, **changes: object) -> World:
    """`world` with the interface of `owner` changed."""

    def change(item: Instance) -> Instance:
        return replace(item, interface=replace(item.interface, **changes))

    return replace(
        world,
        instances=tuple(change(item) if item.id == owner else item for item in world.instances),
    )


def with_routes(world: World, table_id: str, *routes: Route) -> World:
    """`world` with these routes added to a table."""
    return replace(
        world,
        route_tables=tuple(
            replace(table, routes=(*table.routes, *routes)) if table.id == table_id else table
            for table in world.route_tables
        ),
    )


GATEWAY, GATEWAY_TABLE = "tgw-000000000001", "tgw-rtb-0000000001"
ATTACHED = {
    MAIN: "tgw-attach-00000000001",
    BRANCH: "tgw-attach-00000000002",
    THIRD: "tgw-attach-00000000003",
}
OFFICE_ATTACHED = "tgw-attach-00000000009"


def joined() -> World:
    """The company with a Transit Gateway instead of peerings, and an office behind a VPN.

    It is attached in the zone of the inside and of the branch; the DMZ is in another one. The
    third's attachment is associated with no table.
    """
    world = company()
    by_gateway = tuple(
        replace(
            table,
            routes=tuple(
                replace(each, kind="transit_gateway", target=GATEWAY)
                if each.kind == "peering"
                else each
                for each in table.routes
            ),
        )
        for table in world.route_tables
    )
    subnets = tuple(
        replace(subnet, zone="b") if subnet.id == "subnet-dmz" else subnet
        for subnet in world.subnets
    )
    homes = {MAIN: "subnet-inside", BRANCH: "subnet-branch", THIRD: "subnet-third"}
    attachments = tuple(
        TransitAttachment(
            id=attachment,
            gateway=GATEWAY,
            kind="vpc",
            resource=vpc,
            subnets=(homes[vpc],),
            table=None if vpc == THIRD else GATEWAY_TABLE,
        )
        for vpc, attachment in ATTACHED.items()
    )
    office = TransitAttachment(
        id=OFFICE_ATTACHED,
        gateway=GATEWAY,
        kind="vpn",
        resource="vpn-1",
        subnets=(),
        table=GATEWAY_TABLE,
    )
    known = {
        "10.0.0.0/16": ATTACHED[MAIN],
        "10.1.0.0/16": ATTACHED[BRANCH],
        "10.2.0.0/16": ATTACHED[THIRD],
        "10.1.9.0/24": None,
        "10.9.0.0/16": OFFICE_ATTACHED,
    }
    table = TransitTable(
        id=GATEWAY_TABLE,
        gateway=GATEWAY,
        routes=tuple(TransitRoute(destination=d, attachment=a) for d, a in known.items()),
    )
    return replace(
        world,
        subnets=subnets,
        route_tables=by_gateway,
        peerings=(),
        transit_attachments=(*attachments, office),
        transit_tables=(table,),
    )
