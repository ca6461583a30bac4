"""Reads network ACLs from EC2."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from lab.world.api import pages, tags
from lab.world.errors import WorldError
from lab.world.model import AclRule, NetworkAcl

_LAST_NUMBER = 32766
"""Numbers above it are EC2's own final rules, which deny (VPC User Guide, "Network ACL rules")."""
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}
"""EC2 answers protocol numbers; by name where security group rules are so too."""


def read_network_acls(ec2: Any) -> tuple[NetworkAcl, ...]:
    """All network ACLs, the rules of each in the order in which they are tried.

    A subnet that is associated with no ACL has its VPC's default one (VPC User Guide, "Network
    ACL basics").

    Raises:
        WorldError: a subnet is in a VPC that has no default ACL.
    """
    found = list(pages(ec2, "describe_network_acls", "NetworkAcls"))
    subnets = _subnets(ec2, found)
    acls = (_acl(acl, subnets[acl["NetworkAclId"]]) for acl in found)
    return tuple(sorted(acls, key=attrgetter("id")))


def _subnets(ec2: Any, found: list[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The subnets of each ACL."""
    default = {acl["VpcId"]: acl["NetworkAclId"] for acl in found if acl["IsDefault"]}
    associated = {
        association["SubnetId"]: acl["NetworkAclId"]
        for acl in found
        for association in acl["Associations"]
    }
    subnets: dict[str, list[str]] = {acl["NetworkAclId"]: [] for acl in found}
    for subnet in pages(ec2, "describe_subnets", "Subnets"):
        acl = associated.get(subnet["SubnetId"]) or default.get(subnet["VpcId"])
        if acl is None:
            raise WorldError(
                f"subnet {subnet['SubnetId']} has no network ACL, and {subnet['VpcId']} no default"
            )
        subnets[acl].append(subnet["SubnetId"])
    return subnets


def _acl(found: Mapping[str, Any], subnets: list[str]) -> NetworkAcl:
    rules = (_rule(entry) for entry in found["Entries"] if entry["RuleNumber"] <= _LAST_NUMBER)
    return NetworkAcl(
        id=found["NetworkAclId"],
        name=tags(found).get("Name", ""),
        vpc=found["VpcId"],
        subnets=tuple(sorted(subnets)),
        rules=tuple(sorted(rules, key=attrgetter("direction", "number"))),
    )


def _rule(entry: Mapping[str, Any]) -> AclRule:
    protocol = _PROTOCOLS.get(entry["Protocol"], entry["Protocol"])
    first, last = _span(protocol, entry)
    return AclRule(
        number=entry["RuleNumber"],
        direction="egress" if entry["Egress"] else "ingress",
        protocol=protocol,
        from_port=first,
        to_port=last,
        cidr=entry.get("CidrBlock") or entry["Ipv6CidrBlock"],
        allow=entry["RuleAction"] == "allow",
    )


def _span(protocol: str, entry: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Ports of TCP and UDP, type and code of ICMP; EC2 ignores them for all other protocols
    (API reference, CreateNetworkAclEntry)."""
    if protocol in ("tcp", "udp") and "PortRange" in entry:
        return entry["PortRange"]["From"], entry["PortRange"]["To"]
    if protocol == "icmp" and "IcmpTypeCode" in entry:
        return entry["IcmpTypeCode"]["Type"], entry["IcmpTypeCode"]["Code"]
    return None, None
