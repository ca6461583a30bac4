"""Network ACLs: entries checked and counted as EC2 does, associations that follow the subnets."""

from __future__ import annotations

import ipaddress
from typing import Any

from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidAssociationIdError,
    InvalidNetworkAclIdError,
    MissingParameterError,
)
from moto.ec2.models.network_acls import NetworkAclBackend
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.responses import EC2Response

from lab.emulator import quotas

NUMBERS = (1, 32766)
"""The numbers of a rule (API reference, CreateNetworkAclEntry)."""
FINAL = 32767
"""The entry that denies what no other names; the console shows it as an asterisk."""
TCP, UDP, ICMP = "6", "17", "1"
EVERYTHING = "0.0.0.0/0"


def create_network_acl(
    moto: Any, self: Any, vpc_id: str, tags: Any = None, default: bool = False
) -> Any:
    """Each ACL ends with an entry that denies, a new one has no other ("Custom network ACLs")."""
    acl = moto(self, vpc_id, tags, default)
    if not default:
        for egress in (True, False):
            _add_final(self, acl.id, egress)
    return acl


def _add_final(backend: Any, acl_id: str, egress: bool) -> None:
    backend.create_network_acl_entry(
        network_acl_id=acl_id,
        rule_number=FINAL,
        protocol="-1",
        rule_action="deny",
        egress=egress,
        cidr_block=EVERYTHING,
        icmp_code=None,
        icmp_type=None,
        port_range_from=None,
        port_range_to=None,
        ipv6_cidr_block=None,
    )


def create_entry(moto: Any, self: Any, **entry: Any) -> Any:
    """Every way to an entry leads here: requests, replacements, the default ACL's own entries."""
    acl = self.get_network_acl(entry["network_acl_id"])
    if entry["rule_number"] != FINAL:
        entry = _checked(entry)
    used = [item for item in acl.network_acl_entries if item.egress == entry["egress"]]
    quotas.check("rules_per_acl_and_direction", len(used))
    return moto(self, **entry)


def _checked(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry as EC2 keeps it (API reference, CreateNetworkAclEntry)."""
    first, last = NUMBERS
    if not first <= int(entry["rule_number"]) <= last:
        raise _invalid(f"ruleNumber {entry['rule_number']}: must be between {first} and {last}")
    if entry["rule_action"] not in ("allow", "deny"):
        raise _invalid(f"ruleAction {entry['rule_action']!r}: must be allow or deny")
    return {**entry, **_blocks(entry), **_span(entry)}


def _blocks(entry: dict[str, Any]) -> dict[str, Any]:
    given = [name for name in ("cidr_block", "ipv6_cidr_block") if entry[name]]
    if len(given) != 1:
        raise _invalid("exactly one of CidrBlock and Ipv6CidrBlock is needed")
    try:
        # "We modify the specified CIDR block to its canonical form."
        block = ipaddress.ip_network(entry[given[0]], strict=False)
    except ValueError as error:
        raise _invalid(str(error)) from error
    return {given[0]: str(block)}


def _span(entry: dict[str, Any]) -> dict[str, Any]:
    """Ports of TCP and UDP, type and code of ICMP; what another protocol has of them is ignored."""
    protocol = str(entry["protocol"])
    if not protocol.removeprefix("-").isdecimal() or not -1 <= int(protocol) <= 255:
        raise _invalid(f"protocol {protocol!r}: must be a protocol number, or -1 for all")
    kept = {} if protocol in (TCP, UDP) else {"port_range_from": None, "port_range_to": None}
    if protocol in (TCP, UDP):
        first, last = entry["port_range_from"], entry["port_range_to"]
        if first is None or last is None:
            raise MissingParameterError("PortRange")
        if not 0 <= int(first) <= int(last) <= 65535:
            raise _invalid(f"Invalid TCP/UDP port range ({first}:{last})")
    if protocol != ICMP:
        return {**kept, "icmp_type": None, "icmp_code": None}
    if entry["icmp_type"] is None or entry["icmp_code"] is None:
        raise MissingParameterError("Icmp")
    return kept


def _invalid(message: str) -> EC2ClientError:
    return EC2ClientError("InvalidParameterValue", message)


def get_param(moto: Any, self: Any, name: str, *rest: Any, **named: Any) -> Any:
    """moto asks for ICMP's type and code by the names that they have on the wire, and gets none."""
    if name.startswith("Icmp."):
        name = "IcmpTypeCode." + name.removeprefix("Icmp.")
    return moto(self, name, *rest, **named)


def delete_entry(moto: Any, self: Any, network_acl_id: str, rule_number: int, egress: bool) -> Any:
    """moto answers 500 for an entry that is not there, and lets the final one be deleted."""
    acl = self.get_network_acl(network_acl_id)
    known = {(entry.rule_number, entry.egress) for entry in acl.network_acl_entries}
    if rule_number == FINAL:
        raise _invalid(f"ruleNumber {rule_number}: the final entry cannot be deleted")
    if (rule_number, egress) not in known:
        raise EC2ClientError(
            "InvalidNetworkAclEntry.NotFound",
            f"{network_acl_id} has no {'egress' if egress else 'ingress'} entry {rule_number}",
        )
    return moto(self, network_acl_id, rule_number, egress)


def replace_association(moto: Any, self: Any, association_id: str, network_acl_id: str) -> Any:
    """A subnet's association gets a new id whenever it changes; the old one is then unknown."""
    new = self.get_network_acl(network_acl_id)
    for acl in self.network_acls.values():
        if association_id in acl._associations:
            if acl.vpc_id != new.vpc_id:
                raise EC2ClientError(
                    "InvalidParameterValue",
                    f"{network_acl_id} is of {new.vpc_id}, the subnet of {acl.vpc_id}",
                )
            return moto(self, association_id, network_acl_id)
    raise InvalidAssociationIdError(association_id)


def describe_network_acls(
    moto: Any, self: Any, network_acl_ids: list[str] | None = None, filters: Any = None
) -> Any:
    """moto names the ids of unknown route tables here."""
    for identifier in network_acl_ids or []:
        self.get_network_acl(identifier)
    return moto(self, network_acl_ids, filters)


def delete_network_acl(moto: Any, self: Any, network_acl_id: str) -> Any:
    """API reference, DeleteNetworkAcl: not the default one, nor one that a subnet has."""
    acl = self.network_acls.get(network_acl_id)
    if acl is None:
        raise InvalidNetworkAclIdError(network_acl_id)
    if acl.default:
        raise _invalid(f"{network_acl_id} is the default of {acl.vpc_id} and cannot be deleted")
    return moto(self, network_acl_id)


def delete_subnet(moto: Any, self: Any, subnet_id: str) -> Any:
    """A subnet's association ends with it; moto keeps it, and the ACL could not be deleted."""
    deleted = moto(self, subnet_id)
    for acl in self.network_acls.values():
        for association in acl.associations:
            if association.subnet_id == subnet_id:
                del acl._associations[association.id]
    return deleted


CORRECTIONS = (
    (NetworkAclBackend, "create_network_acl", create_network_acl),
    (NetworkAclBackend, "create_network_acl_entry", create_entry),
    (NetworkAclBackend, "delete_network_acl_entry", delete_entry),
    (NetworkAclBackend, "replace_network_acl_association", replace_association),
    (NetworkAclBackend, "describe_network_acls", describe_network_acls),
    (NetworkAclBackend, "delete_network_acl", delete_network_acl),
    (EC2Response, "_get_param", get_param),
    (SubnetBackend, "delete_subnet", delete_subnet),
)
