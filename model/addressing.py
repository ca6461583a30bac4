"""The addressing plan: which subnet and which host has which address. Pure arithmetic.

An environment's network is cut into 256 equal subnets. The third octet of a /16 then tells what a
subnet is for: 10.1.1.0 the DMZ of the first zone, 10.1.11.0 its private subnet, 10.1.21.0 its edge
(the NAT gateway). Ten numbers are left between the purposes, so zones can be added without
renumbering. A branch's network is cut in two: the server's half, and one kept free.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

DMZ, PRIVATE, EDGE = 1, 11, 21
"""The number of the first zone's subnet for each purpose."""

FIRST_HOST = 4
"""AWS keeps a subnet's first four addresses and its last (VPC user guide, "Subnet CIDR blocks")."""

HUB_HOST = 5
"""The hub's number in its subnet: the seed's 192.168.1.5."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentPlan:
    """Subnets and fixed addresses of an environment with one availability zone."""

    network: IPv4Network
    dmz: IPv4Network
    private: IPv4Network
    edge: IPv4Network
    relay: IPv4Address
    hub: IPv4Address


@dataclass(frozen=True, kw_only=True)
class BranchPlan:
    """The subnet and the server's fixed address of a branch."""

    network: IPv4Network
    subnet: IPv4Network
    server: IPv4Address


def environment_plan(network: IPv4Network) -> EnvironmentPlan:
    """Cut an environment's `network` (/16 to /20) into its subnets."""
    dmz, private, edge = (_slice(network, 8, number) for number in (DMZ, PRIVATE, EDGE))
    return EnvironmentPlan(
        network=network,
        dmz=dmz,
        private=private,
        edge=edge,
        relay=dmz[FIRST_HOST],
        hub=private[HUB_HOST],
    )


def branch_plan(network: IPv4Network) -> BranchPlan:
    """Place a branch's server in the lower half of its `network` (/16 to /26)."""
    subnet = _slice(network, 1, 0)
    return BranchPlan(network=network, subnet=subnet, server=subnet[HUB_HOST])


def _slice(network: IPv4Network, bits: int, number: int) -> IPv4Network:
    """The `number`th of the 2**`bits` equal parts of `network`."""
    length = network.prefixlen + bits
    base = int(network.network_address) + number * 2 ** (32 - length)
    return IPv4Network((base, length))
