"""What the instance metadata service knows of an instance, as a tree.

Names and values follow the EC2 User Guide, "Instance metadata categories" and "Instance identity
documents". A function stands for a value that is only made when asked for.
"""

from __future__ import annotations

import json
from typing import Any

from lab.machines.credentials import RoleCredentials
from lab.world.model import Instance, Interface, World

Tree = dict[str, Any]
"""Names to trees, values, or functions that make a value."""

DOMAIN = "compute.internal"
"""The private DNS domain's end; us-east-1 has `ec2.internal` (VPC User Guide, "DNS hostnames")."""


def internal_domain(region: str) -> str:
    """The domain of a Region's private names, which DHCP gives as well."""
    return "ec2.internal" if region == "us-east-1" else f"{region}.{DOMAIN}"


def internal_name(region: str, private_ip: str) -> str:
    """An instance's private name: the IP name, EC2's default."""
    return f"ip-{private_ip.replace('.', '-')}.{internal_domain(region)}"


def categories(world: World, instance: Instance, credentials: RoleCredentials) -> Tree:
    """The tree below `meta-data/`."""
    interface = instance.interface
    name = internal_name(world.region, interface.private_ip)
    tree: Tree = {
        "ami-id": instance.image,
        "ami-launch-index": "0",
        "hostname": name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "on-demand",
        "instance-type": instance.type,
        "local-hostname": name,
        "local-ipv4": interface.private_ip,
        "mac": interface.mac,
        "network": {"interfaces": {"macs": {interface.mac: _interface(world, interface)}}},
        "placement": {"availability-zone": instance.zone, "region": world.region},
        "reservation-id": "r-" + instance.id.removeprefix("i-"),
        "security-groups": "\n".join(_group_names(world, interface)),
        "services": {"domain": "amazonaws.com", "partition": "aws"},
    }
    if interface.public_ip:
        tree["public-ipv4"] = interface.public_ip
    if instance.public_key:
        tree["public-keys"] = PublicKeys(instance.public_key)
    if instance.iam_role:
        tree["iam"] = _iam(instance, instance.iam_role, credentials)
    return tree


def identity_document(world: World, instance: Instance) -> str:
    """The instance identity document; it is not signed here."""
    document = {
        "accountId": world.account,
        "availabilityZone": instance.zone,
        "imageId": instance.image,
        "instanceId": instance.id,
        "instanceType": instance.type,
        "privateIp": instance.interface.private_ip,
        "region": world.region,
        "version": "2017-09-30",
    }
    return json.dumps(document, indent=2)


class PublicKeys(Tree):
    """`public-keys/`: its listing is not of names but of `0=NAME`, the key being below `0/`."""

    def __init__(self, key: str) -> None:
        super().__init__({"0": {"openssh-key": key}})
        fields = key.split(maxsplit=2)
        self.listing = "0=" + (fields[2] if len(fields) == 3 else "key")


def _interface(world: World, interface: Interface) -> Tree:
    subnet = next(subnet for subnet in world.subnets if subnet.id == interface.subnet)
    vpc = next(vpc for vpc in world.vpcs if vpc.id == interface.vpc)
    tree: Tree = {
        "device-number": "0",
        "interface-id": interface.id,
        "local-hostname": internal_name(world.region, interface.private_ip),
        "local-ipv4s": interface.private_ip,
        "mac": interface.mac,
        "owner-id": world.account,
        "security-group-ids": "\n".join(interface.groups),
        "security-groups": "\n".join(_group_names(world, interface)),
        "subnet-id": subnet.id,
        "subnet-ipv4-cidr-block": subnet.cidr,
        "vpc-id": vpc.id,
        "vpc-ipv4-cidr-block": vpc.cidrs[0],
        "vpc-ipv4-cidr-blocks": "\n".join(vpc.cidrs),
    }
    if interface.public_ip:
        tree["public-ipv4s"] = interface.public_ip
        tree["ipv4-associations"] = {interface.public_ip: interface.private_ip}
    return tree


def _iam(instance: Instance, role: str, credentials: RoleCredentials) -> Tree:
    return {
        "info": lambda: credentials.profile(role),
        "security-credentials": {role: lambda: credentials.document(instance.id, role)},
    }


def _group_names(world: World, interface: Interface) -> list[str]:
    return [group.name for group in world.groups if group.id in interface.groups]
