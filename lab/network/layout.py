"""Lays out the network that AWS state describes: a pure function from `World` to `Plan`.

Each VPC's router, each Transit Gateway, machine, NAT gateway and outside host is a network
namespace. Every port of a VPC has a link of its own to the router, which answers for all other
addresses (proxy ARP), so that traffic within a subnet passes the router's filter as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network

from lab.faults import SOUND, Faults
from lab.internet.plan import HOSTS, OutsideHost
from lab.network import names
from lab.network.errors import NetworkError
from lab.network.filters import nat_gateway_ruleset, vpc_ruleset
from lab.network.plan import End, Link, Namespace, Plan, Ruleset, Setting
from lab.network.ports import Port, find_ports
from lab.network.routes import (
    Hop,
    Table,
    attachments_of,
    compile_table,
    compile_transit_table,
    peerings_of,
)
from lab.world.model import Peering, RouteTable, TransitAttachment, Vpc, World
from lab.world.names import vpc_namespace

Part = Namespace | Link | Setting | Ruleset

_PORT_PREFERENCE = 1000
_OWN_SERVICES_PREFERENCE = 40000
_NO_ROUTE_PREFERENCE = 50000
"""Where routing rules stand; the kernel's rule for its main table is at 32766 (ip-rule(8))."""
_OWN_SERVICES_TABLE = 100

_ORDER = ("link", "ntable", "addr", "neigh", "route", "rule")
"""Each needs those before it; with a link's last address its neighbours and routes would go."""

_ROUTER = (
    "net.ipv4.ip_forward=1",
    # Sources are checked by the packet filter, which knows them exactly.
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
    "net.ipv6.conf.all.disable_ipv6=1",
)
_PORT_ROUTER = (*_ROUTER, "net.ipv4.conf.all.proxy_arp=1")


def lay_out(world: World, faults: Faults = SOUND) -> Plan:
    """The whole network of `world`, with `faults` made in it.

    Raises:
        NetworkError: two parts claim one name or address, or a rule names what does not exist.
    """
    ports = find_ports(world)
    parts: list[Part] = [Namespace(name=names.INET, sysctls=_ROUTER)]
    parts.append(_rule(names.INET, f"pref {_NO_ROUTE_PREFERENCE} blackhole"))
    for host in HOSTS:
        parts.extend(_outside_host(host))
    for vpc in world.vpcs:
        parts.extend(_vpc(world, vpc, ports, faults))
    for peering in world.peerings:
        parts.extend(_peering(world, peering))
    for gateway in sorted({table.gateway for table in world.transit_tables}):
        parts.extend(_transit_gateway(world, gateway))
    for port in ports:
        parts.extend(_port(port, faults))
    return _assemble(parts)


def _assemble(parts: Sequence[Part]) -> Plan:
    settings = [part for part in parts if isinstance(part, Setting)]
    plan = Plan(
        namespaces=tuple(part for part in parts if isinstance(part, Namespace)),
        links=tuple(part for part in parts if isinstance(part, Link)),
        settings=tuple(sorted(settings, key=lambda part: _ORDER.index(part.add.split()[0]))),
        rulesets=tuple(part for part in parts if isinstance(part, Ruleset)),
    )
    _require_distinct("namespace", [namespace.name for namespace in plan.namespaces])
    ends = [end for link in plan.links for end in (link.near, link.far)]
    _require_distinct("link", [f"{end.name} in {end.namespace}" for end in ends])
    _require_distinct("part", [f"{part.add} in {part.namespace}" for part in plan.settings])
    return plan


def _require_distinct(kind: str, found: Sequence[str]) -> None:
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        raise NetworkError(f"the network would have more than one {kind} {twice[0]}")


def _outside_host(host: OutsideHost) -> Iterator[Part]:
    yield Namespace(name=host.namespace)
    link = _router_link(
        names.INET, names.host_far_link(host.namespace), host.namespace, names.HOST_LINK
    )
    yield from _router_link_parts(link)
    for address in (host.address, *host.also):
        yield _address(link.far, f"{address}/32", link)
        yield _route(names.INET, link, address, _across(link.near))
    yield _route(host.namespace, link, "default", _across(link.far))


def _vpc(world: World, vpc: Vpc, ports: Sequence[Port], faults: Faults) -> Iterator[Part]:
    namespace = vpc_namespace(vpc.id)
    yield Namespace(name=namespace, sysctls=_PORT_ROUTER)
    yield Ruleset(namespace=namespace, text=vpc_ruleset(world, vpc, ports, faults))
    for address in _service_addresses(world, vpc):
        yield _setting(namespace, "addr", f"{address}/32 dev lo")
    yield _rule(namespace, f"pref {_NO_ROUTE_PREFERENCE} blackhole")
    yield from _way_to_aws(vpc)
    if vpc.internet_gateway is not None:
        yield from _internet_gateway(vpc, [port for port in ports if port.vpc == vpc.id])
    links = {port.link: _port_link(port) for port in ports if port.vpc == vpc.id}
    for table in world.route_tables:
        if table.vpc == vpc.id:
            yield from _route_table(world, table, ports, links)


def _service_addresses(world: World, vpc: Vpc) -> list[str]:
    """What the VPC itself answers at: its services', and the router's in each subnet."""
    subnets = [IPv4Network(subnet.cidr) for subnet in world.subnets if subnet.vpc == vpc.id]
    return [
        str(names.resolver_address(IPv4Network(vpc.cidrs[0]))),
        names.METADATA,
        names.RESOLVER,
        names.TIME,
        *(str(names.router_address(subnet)) for subnet in subnets),
    ]


def _way_to_aws(vpc: Vpc) -> Iterator[Part]:
    """The VPC's services reach the Internet's names by it, gateway endpoints reach S3."""
    namespace, address = vpc_namespace(vpc.id), names.aws_address(vpc.id)
    link = _router_link(namespace, names.AWS_LINK, names.INET, names.aws_far_link(vpc.id))
    yield from _router_link_parts(link)
    yield _address(link.near, f"{address}/32", link)
    yield _route(names.INET, link, str(address), _across(link.far))
    own_services = f"default table {_OWN_SERVICES_TABLE}"
    yield _route(namespace, link, own_services, _across(link.near))
    # What the router itself sends seems to come in by lo (ip-rule(8), "iif").
    yield _rule(namespace, f"pref {_OWN_SERVICES_PREFERENCE} iif lo lookup {_OWN_SERVICES_TABLE}")


def _internet_gateway(vpc: Vpc, ports: Sequence[Port]) -> Iterator[Part]:
    namespace = vpc_namespace(vpc.id)
    link = _router_link(namespace, names.IGW_LINK, names.INET, names.igw_far_link(vpc.id))
    yield from _router_link_parts(link)
    for port in ports:
        if port.public_ip is not None:
            yield _route(names.INET, link, port.public_ip, _across(link.far))


def _route_table(
    world: World, table: RouteTable, ports: Sequence[Port], links: dict[str, Link]
) -> Iterator[Part]:
    hops = compile_table(world, table, ports)
    yield from _hops(vpc_namespace(table.vpc), table.id, hops, links)


def _hops(namespace: str, table: str, hops: Table, links: dict[str, Link]) -> Iterator[Part]:
    number = names.table_number(table)
    for destination, hop in hops.items():
        where = f"{destination} table {number}"
        if hop is None:
            yield _setting(namespace, "route", f"blackhole {where}")
        else:
            yield _route(namespace, links.get(hop.link), where, hop)


def _peering(world: World, peering: Peering) -> Iterator[Part]:
    """Neither end has routes of its own: what comes by it can only go to the VPC's own ports."""
    if peering.id not in peerings_of(world, peering.requester):
        return
    name = names.peering_link(peering.id)
    link = _router_link(
        vpc_namespace(peering.requester), name, vpc_namespace(peering.accepter), name
    )
    yield from _router_link_parts(link)


def _transit_gateway(world: World, gateway: str) -> Iterator[Part]:
    """A router that asks, for what comes from an attachment, that attachment's own table.

    At the VPC's end there are no routes, as with a peering. AWS would go by the route table of the
    attachment's subnet there; it matters only for what is not for the VPC itself.
    """
    yield Namespace(name=gateway, sysctls=_ROUTER)
    yield _rule(gateway, f"pref {_NO_ROUTE_PREFERENCE} blackhole")
    links: dict[str, Link] = {}
    for vpc in world.vpcs:
        for attachment in attachments_of(world, vpc.id):
            if attachment.gateway == gateway:
                name = names.transit_link(attachment.id)
                link = links[name] = _router_link(gateway, name, vpc_namespace(vpc.id), name)
                yield from _attachment(world, attachment, link)
    for table in world.transit_tables:
        if table.gateway == gateway:
            yield from _hops(gateway, table.id, compile_transit_table(world, table), links)


def _attachment(world: World, attachment: TransitAttachment, link: Link) -> Iterator[Part]:
    for acl in world.network_acls:
        if set(acl.subnets) & set(attachment.subnets) and not acl.passes_all:
            raise NetworkError(
                f"{attachment.id} is in a subnet with network ACL {acl.id}: the lab does not "
                "filter at a transit gateway's interfaces; attach it in a subnet without one"
            )
    yield from _router_link_parts(link)
    if attachment.table is not None:
        number = names.table_number(attachment.table)
        what = f"pref {_PORT_PREFERENCE} iif {link.near.name} lookup {number}"
        yield _setting(link.near.namespace, "rule", what, link)


def _port(port: Port, faults: Faults) -> Iterator[Part]:
    router, link = vpc_namespace(port.vpc), _port_link(port)
    if port.filtered:
        yield Namespace(name=port.namespace)
    else:
        yield Namespace(name=port.namespace, sysctls=_nat_gateway(faults.nat_idle))
        yield Ruleset(namespace=port.namespace, text=nat_gateway_ruleset(port))
    yield link
    yield from _both_up(link)
    yield _neighbour(router, link, port.private_ip, port.mac)
    yield _route(router, link, port.private_ip, Hop(link=port.link))
    number = names.table_number(port.route_table)
    yield _setting(router, "rule", f"pref {_PORT_PREFERENCE} iif {port.link} lookup {number}", link)
    yield _proxy_at_once(router, link)
    if port.fixed:
        yield _address(link.far, f"{port.private_ip}/{port.subnet.prefixlen}", link)
        gateway = Hop(link=names.HOST_LINK, via=str(names.router_address(port.subnet)))
        yield _route(port.namespace, link, "default", gateway)


def _nat_gateway(idle: int) -> tuple[str, ...]:
    """The kernel settings of a NAT gateway that forgets a flow after `idle` seconds."""
    return (
        *_ROUTER,
        f"net.netfilter.nf_conntrack_tcp_timeout_established={idle}",
        f"net.netfilter.nf_conntrack_udp_timeout={idle}",
        f"net.netfilter.nf_conntrack_udp_timeout_stream={idle}",
        # Without it the kernel takes up a forgotten connection again at its next packet.
        "net.netfilter.nf_conntrack_tcp_loose=0",
    )


def _port_link(port: Port) -> Link:
    return Link(
        near=End(namespace=vpc_namespace(port.vpc), name=port.link, mac=names.NEAR_MAC),
        far=End(namespace=port.namespace, name=names.HOST_LINK, mac=port.mac),
    )


def _router_link(near: str, near_name: str, far: str, far_name: str) -> Link:
    return Link(
        near=End(namespace=near, name=near_name, mac=names.NEAR_MAC),
        far=End(namespace=far, name=far_name, mac=names.FAR_MAC),
    )


def _across(end: End) -> Hop:
    return Hop(link=end.name, via=names.FAR_END)


def _both_up(link: Link) -> Iterator[Setting]:
    for end in (link.near, link.far):
        change = f"link set dev {end.name}"
        yield Setting(
            namespace=end.namespace, add=f"{change} up", remove=f"{change} down", link=link
        )


def _router_link_parts(link: Link) -> Iterator[Part]:
    """Each end of a link between routers knows the other, so that neither needs an address."""
    yield link
    yield from _both_up(link)
    for here, there in ((link.near, link.far), (link.far, link.near)):
        yield _neighbour(here.namespace, link, names.FAR_END, there.mac, device=here.name)


def _neighbour(
    namespace: str, link: Link, address: str, mac: str, *, device: str | None = None
) -> Setting:
    what = f"{address} lladdr {mac} dev {device or link.near.name} nud permanent"
    return _setting(namespace, "neigh", what, link)


def _address(end: End, address: str, link: Link) -> Setting:
    return _setting(end.namespace, "addr", f"{address} dev {end.name}", link)


def _route(namespace: str, link: Link | None, destination: str, hop: Hop) -> Setting:
    way = f"dev {hop.link}" if hop.via is None else f"via {hop.via} dev {hop.link} onlink"
    return _setting(namespace, "route", f"{destination} {way}", link)


def _rule(namespace: str, what: str) -> Setting:
    return _setting(namespace, "rule", what)


def _proxy_at_once(namespace: str, link: Link) -> Setting:
    """Answer for others at once; the kernel's default is a random delay of up to 0.8 s (arp(7))."""
    table = f"ntable change name arp_cache dev {link.near.name} proxy_delay"
    return Setting(namespace=namespace, add=f"{table} 0", remove=f"{table} 800", link=link)


def _setting(namespace: str, kind: str, what: str, link: Link | None = None) -> Setting:
    return Setting(
        namespace=namespace, add=f"{kind} add {what}", remove=f"{kind} del {what}", link=link
    )
