"""The addressing plan: which subnet and which host has which address. Pure arithmetic.

An environment's network is cut into 256 equal subnets. The third octet of a /16 then tells what a
subnet is for: 10.1.1.0 the DMZ of the first zone, 10.1.11.0 its private subnet, 10.1.21.0 its edge
(the NAT gateway); 10.1.2.0, 10.1.12.0 and 10.1.22.0 are the second zone's, and so on. A zone or a
relay that is added at the end of its list renumbers nothing; where an earlier relay goes, those
after it keep their numbers by their `place`.

A branch's network is cut in two: the lower half is the server's, in the upper one are the edge and
the subnet in which a Transit Gateway has its interface.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

DMZ, PRIVATE, EDGE = 1, 11, 21
"""The number of the first zone's subnet for each purpose."""

FIRST_HOST = 4
"""AWS keeps a subnet's first four addresses and its last (VPC User Guide, "Subnet CIDR blocks")."""

PLACES = (1, 11)
"""The places of relays in a zone's DMZ; the smallest, a /28 (of a /20), has eleven for hosts."""

HUB_HOST = 5
"""The hub's number in its subnet: the seed's 192.168.1.5."""


@dataclass(frozen=True, kw_only=True)
class ZonePlan:
    """The subnets of one availability zone."""

    dmz: IPv4Network
    private: IPv4Network
    edge: IPv4Network


@dataclass(frozen=True, kw_only=True)
class EnvironmentPlan:
    """The subnets of each zone and the fixed addresses of the hosts, in the settings' order."""

    network: IPv4Network
    zones: tuple[ZonePlan, ...]
    relays: tuple[IPv4Address, ...]
    hub: IPv4Address


@dataclass(frozen=True, kw_only=True)
class BranchPlan:
    """The subnets and the server's fixed address of a branch."""

    network: IPv4Network
    servers: IPv4Network
    edge: IPv4Network
    transit: IPv4Network
    server: IPv4Address


def environment_plan(
    network: IPv4Network,
    zones: int,
    relay_zones: Sequence[int],
    places: Sequence[int] | None = None,
) -> EnvironmentPlan:
    """Cut an environment's `network` (/16 to /20) into the subnets of its `zones`.

    `relay_zones` gives the number of each relay's zone, `places` its place there, from 1; without
    it that is its place in the list. The hub is in the first zone.
    """
    if places is None:
        places = range(1, len(relay_zones) + 1)
    plans = tuple(
        ZonePlan(
            dmz=_slice(network, 8, DMZ + zone),
            private=_slice(network, 8, PRIVATE + zone),
            edge=_slice(network, 8, EDGE + zone),
        )
        for zone in range(zones)
    )
    return EnvironmentPlan(
        network=network,
        zones=plans,
        relays=tuple(
            plans[zone].dmz[FIRST_HOST + place - 1]
            for zone, place in zip(relay_zones, places, strict=True)
        ),
        hub=plans[0].private[HUB_HOST],
    )


def branch_plan(network: IPv4Network) -> BranchPlan:
    """Cut a branch's `network` (/16 to /26) into its server's subnet, its edge and its link's."""
    servers = _slice(network, 1, 0)
    return BranchPlan(
        network=network,
        servers=servers,
        edge=_slice(network, 2, 2),
        transit=_slice(network, 2, 3),
        server=servers[HUB_HOST],
    )


def free_network(supernet: IPv4Network, taken: Collection[IPv4Network], length: int) -> IPv4Network:
    """The lowest network of prefix `length` within `supernet` that overlaps none of `taken`.

    Raises ValueError, with the numbers, if there is none.
    """
    size = 2 ** (32 - length)
    start = int(supernet.network_address)
    while length >= supernet.prefixlen and start + size - 1 <= int(supernet.broadcast_address):
        candidate = IPv4Network((start, length))
        in_the_way = [other for other in taken if other.overlaps(candidate)]
        if not in_the_way:
            return candidate
        beyond = max(int(other.broadcast_address) for other in in_the_way) + 1
        # The next multiple of the size: a network begins at one (RFC 4632 section 3.1).
        start = -(-beyond // size) * size
    raise ValueError(
        f"no /{length} is free in {supernet}: {len(taken)} networks are taken; "
        "choose a longer prefix or name a network"
    )


def _slice(network: IPv4Network, bits: int, number: int) -> IPv4Network:
    """The `number`th of the 2**`bits` equal parts of `network`."""
    length = network.prefixlen + bits
    base = int(network.network_address) + number * 2 ** (32 - length)
    return IPv4Network((base, length))
