"""Every network interface of a VPC as its router sees it: a port with an address and a policy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from lab.network.errors import NetworkError
from lab.network.names import mac_address
from lab.world.model import Interface, NatGateway, Subnet, World
from lab.world.names import link_name


@dataclass(frozen=True, kw_only=True)
class Port:
    """A place in a subnet where something is plugged in.

    `id` is the interface's id (a NAT gateway's own, for the lab's picture of it has no interface),
    `namespace` is where the other end of the link is. A port that is not `filtered` has no
    security groups at all; one that is not `checked` may send and receive for other addresses. A
    `fixed` port's address is set by the lab; the others ask for theirs by DHCP.
    """

    id: str
    namespace: str
    vpc: str
    subnet_id: str
    subnet: IPv4Network
    route_table: str
    mac: str
    private_ip: str
    public_ip: str | None
    groups: tuple[str, ...]
    filtered: bool
    checked: bool
    fixed: bool

    @property
    def link(self) -> str:
        """The VPC's end of the port's link."""
        return link_name(self.id)


def find_ports(world: World) -> tuple[Port, ...]:
    """All ports of all VPCs.

    Raises:
        NetworkError: two ports of one VPC share an address or the name of a link.
    """
    subnets = {subnet.id: subnet for subnet in world.subnets}
    ports = (
        *(_of_interface(item.interface, subnets, fixed=False) for item in world.instances),
        *(_of_interface(item.interface, subnets, fixed=True) for item in world.connect_endpoints),
        *(_of_nat_gateway(gateway, subnets) for gateway in world.nat_gateways),
    )
    for what in ("private_ip", "link"):
        _require_distinct(ports, what)
    return ports


def _of_interface(interface: Interface, subnets: Mapping[str, Subnet], *, fixed: bool) -> Port:
    subnet = subnets[interface.subnet]
    return Port(
        id=interface.id,
        namespace=interface.owner,
        vpc=interface.vpc,
        subnet_id=subnet.id,
        subnet=IPv4Network(subnet.cidr),
        route_table=subnet.route_table,
        mac=interface.mac,
        private_ip=interface.private_ip,
        public_ip=interface.public_ip,
        groups=interface.groups,
        filtered=True,
        checked=interface.source_dest_check,
        fixed=fixed,
    )


def _of_nat_gateway(gateway: NatGateway, subnets: Mapping[str, Subnet]) -> Port:
    subnet = subnets[gateway.subnet]
    return Port(
        id=gateway.id,
        namespace=gateway.id,
        vpc=subnet.vpc,
        subnet_id=subnet.id,
        subnet=IPv4Network(subnet.cidr),
        route_table=subnet.route_table,
        mac=mac_address(gateway.id),
        private_ip=gateway.private_ip,
        public_ip=gateway.public_ip,
        groups=(),
        filtered=False,
        checked=False,
        fixed=True,
    )


def _require_distinct(ports: Iterable[Port], what: str) -> None:
    seen: dict[tuple[str, str], str] = {}
    for port in ports:
        value = getattr(port, what)
        other = seen.setdefault((port.vpc, value), port.id)
        if other != port.id:
            raise NetworkError(f"{port.vpc}: {other} and {port.id} have the same {what}, {value}")
