"""Names, addresses and numbers of the network's own parts: those that AWS state does not give."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Network

INET = "inet"
"""The namespace of the Internet's router."""

HOST_LINK = "eth0"
"""The link of every machine, outside host, NAT gateway and Connect endpoint, in its namespace."""
IGW_LINK = "igw"
"""A VPC's Internet gateway, in the VPC's namespace."""
AWS_LINK = "aws"
"""A VPC's way to AWS itself, for the VPC's own services and for gateway endpoints."""

NEAR_MAC = "02:00:00:00:00:01"
FAR_MAC = "02:00:00:00:00:02"
"""The two ends of a link between routers; each such link is a network of its own."""

FAR_END = "169.254.0.1"
"""What routes name as the far end of a link between routers (link local, RFC 3927)."""

METADATA = "169.254.169.254"
TIME = "169.254.169.123"
RESOLVER = "169.254.169.253"
"""AWS's link-local services (EC2 User Guide "Instance metadata", "Amazon Time Sync Service";
VPC User Guide "Amazon DNS server")."""

_AWS_ADDRESSES = IPv4Network("100.64.0.0/10")
"""Shared address space (RFC 6598), from which a VPC's traffic to AWS itself comes."""


def peering_link(peering_id: str) -> str:
    """A peering connection's link; it has the same name in both VPCs."""
    return "p-" + peering_id[-11:]


def transit_link(attachment_id: str) -> str:
    """A VPC's attachment to a Transit Gateway; it has the same name at both ends."""
    return "t-" + attachment_id[-11:]


def igw_far_link(vpc_id: str) -> str:
    """The Internet's end of a VPC's Internet gateway."""
    return "i-" + vpc_id[-11:]


def aws_far_link(vpc_id: str) -> str:
    """The Internet's end of a VPC's way to AWS itself."""
    return "a-" + vpc_id[-11:]


def host_far_link(namespace: str) -> str:
    """The Internet's end of an outside host's link."""
    return "h-" + namespace[-11:]


def router_address(subnet: IPv4Network) -> IPv4Address:
    """The VPC router's address in a subnet: base + 1 (VPC User Guide, "Subnet CIDR blocks")."""
    return subnet.network_address + 1


def resolver_address(vpc: IPv4Network) -> IPv4Address:
    """The VPC resolver's address: base + 2 of the first block (VPC User Guide, "DHCP options")."""
    return vpc.network_address + 2


def aws_address(vpc_id: str) -> IPv4Address:
    """The address that AWS sees when a VPC's services or gateway endpoints call it."""
    # 1 up to the last but one: neither the block's network nor its broadcast address.
    return _AWS_ADDRESSES[1 + _digest(vpc_id) % (_AWS_ADDRESSES.num_addresses - 2)]


def table_number(route_table_id: str) -> int:
    """The kernel's number of a route table, above those that it reserves (0 and 253 to 255)."""
    return 1000 + _digest(route_table_id) % 2**30


def mac_address(owner_id: str) -> str:
    """A locally administered MAC address (IEEE 802, second bit) for what AWS shows none of."""
    return "02:" + _digest(owner_id).to_bytes(8, "big")[:5].hex(":")


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
