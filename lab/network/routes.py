"""Which way a packet takes: AWS route tables as tables of next hops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TypeVar

from lab.network.names import AWS_LINK, FAR_END, IGW_LINK, peering_link, transit_link
from lab.network.ports import Port
from lab.world.model import Route, RouteTable, TransitAttachment, TransitTable, Vpc, World

T = TypeVar("T")

_EVERYWHERE = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, kw_only=True)
class Hop:
    """The next hop: out of `link`, straight to the destination or `via` a router on the link."""

    link: str
    via: str | None = None


Table = dict[IPv4Network, Hop | None]
"""Next hops by destination; None drops the packet. The kernel takes the longest prefix."""


def compile_table(world: World, table: RouteTable, ports: Sequence[Port]) -> Table:
    """The table of next hops for `table`; `ports` are those of all VPCs.

    An address of the VPC leads to its port where the longest matching route is the local one; all
    else within the local route is dropped, as is what no route matches.
    """
    vpc = next(vpc for vpc in world.vpcs if vpc.id == table.vpc)
    own_ports = [port for port in ports if port.vpc == vpc.id]
    routes = _by_destination(table.routes, world)
    hops: Table = {
        destination: _hop(route, world, vpc, own_ports) for destination, route in routes.items()
    }
    for port in own_ports:
        route = longest_match(routes, IPv4Address(port.private_ip))
        if route is not None and route.kind == "local":
            hops[IPv4Network(port.private_ip)] = Hop(link=port.link)
    hops.setdefault(_EVERYWHERE, None)
    return hops


def longest_match(routes: Mapping[IPv4Network, T], address: IPv4Address) -> T | None:
    """The value at the longest prefix that holds `address`, None where no prefix does."""
    matching = [network for network in routes if address in network]
    if not matching:
        return None
    return routes[max(matching, key=lambda network: network.prefixlen)]


def _by_destination(routes: Iterable[Route], world: World) -> dict[IPv4Network, Route]:
    """The routes by IPv4 destination, prefix lists spread out.

    Where a CIDR and a prefix list name the same destination the CIDR wins (VPC User Guide, "Route
    priority").
    """
    lists = {prefix_list.id: prefix_list.cidrs for prefix_list in world.prefix_lists}
    spread = [
        (cidr, route)
        for route in sorted(routes, key=lambda route: route.destination in lists)
        for cidr in lists.get(route.destination, (route.destination,))
    ]
    found: dict[IPv4Network, Route] = {}
    for cidr, route in spread:
        # The lab's VPCs are IPv4 only: nothing in them could use an IPv6 route.
        if ":" not in cidr:
            found.setdefault(IPv4Network(cidr), route)
    return found


def _hop(route: Route, world: World, vpc: Vpc, ports: Iterable[Port]) -> Hop | None:
    """Where `route` leads; None where it is a black hole, its target is gone or it is local."""
    if not route.active:
        return None
    if route.kind == "internet_gateway" and route.target == vpc.internet_gateway:
        return Hop(link=IGW_LINK, via=FAR_END)
    if route.kind == "gateway_endpoint":
        return Hop(link=AWS_LINK, via=FAR_END)
    if route.kind == "peering" and route.target in peerings_of(world, vpc.id):
        return Hop(link=peering_link(route.target), via=FAR_END)
    if route.kind == "transit_gateway":
        links = {each.gateway: transit_link(each.id) for each in attachments_of(world, vpc.id)}
        return Hop(link=links[route.target], via=FAR_END) if route.target in links else None
    if route.kind in ("nat_gateway", "interface"):
        return next(
            (Hop(link=p.link, via=p.private_ip) for p in ports if p.id == route.target), None
        )
    return None


def compile_transit_table(world: World, table: TransitTable) -> Table:
    """The next hops of a Transit Gateway's own table.

    A VPN's other end is outside of AWS, where the lab has nothing: what goes there is lost, as it
    is in AWS while the tunnels are down.
    """
    links = {
        attachment.id: Hop(link=transit_link(attachment.id), via=FAR_END)
        for vpc in world.vpcs
        for attachment in attachments_of(world, vpc.id)
    }
    hops: Table = {
        IPv4Network(route.destination): links.get(route.attachment or "")
        for route in table.routes
        if ":" not in route.destination
    }
    hops.setdefault(_EVERYWHERE, None)
    return hops


def attachments_of(world: World, vpc_id: str) -> list[TransitAttachment]:
    """What joins a VPC to Transit Gateways."""
    return [
        attachment
        for attachment in world.transit_attachments
        if (attachment.kind, attachment.resource) == ("vpc", vpc_id)
    ]


def peerings_of(world: World, vpc_id: str) -> dict[str, str]:
    """The active peering connections of a VPC, each with the VPC at its other end."""
    known = {vpc.id for vpc in world.vpcs}
    found: dict[str, str] = {}
    for peering in world.peerings:
        ends = {peering.requester, peering.accepter}
        if peering.active and vpc_id in ends and ends <= known:
            found[peering.id] = (ends - {vpc_id}).pop()
    return found
