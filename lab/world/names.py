"""Names in the kernel that the lab derives from AWS ids: the one home of both rules."""

from __future__ import annotations


def vpc_namespace(vpc_id: str) -> str:
    """The network namespace of a VPC's router; AWS's ids begin with `vpc-` already."""
    return vpc_id


def link_name(interface_id: str) -> str:
    """The VPC's end of a network interface's link, in the VPC's namespace.

    Linux allows an interface name 15 characters (IFNAMSIZ - 1, netdevice(7)), fewer than an id
    has; the last 11 of its hexadecimal digits tell interfaces apart.
    """
    return "v-" + interface_id[-11:]
