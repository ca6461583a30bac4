"""Deletes that AWS refuses because something still depends on the object."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import DependencyViolationError, EC2ClientError
from moto.ec2.models.internet_gateways import InternetGatewayBackend
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.vpcs import VPCBackend


def delete_security_group(
    moto: Any, self: Any, name: str | None = None, group_id: str | None = None
) -> None:
    """API reference, DeleteSecurityGroup: refused in use by an interface or another's rule."""
    group = self.get_security_group_from_id(group_id) if group_id else None
    if group is not None and group.vpc_id in self.vpcs:
        if group.is_default:
            raise EC2ClientError(
                "CannotDelete",
                f'the specified group: "{group_id}" name: "default" cannot be deleted by a user',
            )
        user = _interface_with(self, group_id) or _rule_naming(self, group_id)
        if user:
            raise DependencyViolationError(f"resource {group_id} has a dependent object ({user})")
    moto(self, name, group_id)


def _interface_with(backend: Any, group_id: str | None) -> str | None:
    users = (e.id for e in backend.enis.values() if group_id in {g.id for g in e.group_set})
    return next(users, None)


def _rule_naming(backend: Any, group_id: str | None) -> str | None:
    for groups in backend.groups.values():
        for group in groups.values():
            for rule in (*group.ingress_rules, *group.egress_rules):
                if group.id != group_id and rule.source_group.get("GroupId") == group_id:
                    return f"{rule.id} of {group.id}"
    return None


def delete_subnet(moto: Any, self: Any, subnet_id: str) -> Any:
    for interface in self.enis.values():
        if interface.subnet_id == subnet_id:
            raise DependencyViolationError(
                f"The subnet '{subnet_id}' has dependencies and cannot be deleted "
                f"({interface.id}, {interface.description})."
            )
    return moto(self, subnet_id)


def detach_internet_gateway(moto: Any, self: Any, internet_gateway_id: str, vpc_id: str) -> None:
    for interface in self.enis.values():
        if interface.vpc_id == vpc_id and interface.public_ip:
            raise DependencyViolationError(
                f"Network {vpc_id} has some mapped public address(es) ({interface.public_ip}). "
                "Please unmap those public address(es) before detaching the gateway."
            )
    moto(self, internet_gateway_id, vpc_id)


def delete_vpc(moto: Any, self: Any, vpc_id: str) -> Any:
    """API reference, DeleteVpc: all that is in the VPC must go first."""
    vpc = self.get_vpc(vpc_id)
    groups = [group.id for group in self.groups[vpc_id].values() if not group.is_default]
    gateways = [g.id for g in self.internet_gateways.values() if g.vpc and g.vpc.id == vpc_id]
    subnets = [subnet.id for subnet in self.describe_subnets(filters={"vpc-id": vpc_id})]
    tables = [
        table.id
        for table in self.describe_route_tables(filters={"vpc-id": vpc_id})
        if table.main_association_id is None
    ]
    endpoints = [
        endpoint.id
        for endpoint in self.vpc_end_points.values()
        if endpoint.vpc_id == vpc_id and endpoint.state != "deleted"
    ]
    attached = [a.id for a in self.transit_gateway_attachments.values() if a.resource_id == vpc_id]
    acls = [acl for acl in self.network_acls.values() if acl.vpc_id == vpc_id]
    own_acls = [acl.id for acl in acls if not acl.default]
    if rest := [*subnets, *groups, *gateways, *tables, *endpoints, *own_acls, *attached]:
        raise DependencyViolationError(
            f"The vpc '{vpc_id}' has dependencies and cannot be deleted ({', '.join(rest)})."
        )
    # moto deletes a DHCP options set together with the VPC; AWS keeps it.
    vpc.dhcp_options = None
    default = self.get_default_security_group(vpc_id)
    if default is not None:
        self._delete_security_group(vpc_id, default.id)
    deleted = moto(self, vpc_id)
    for acl in acls:
        del self.network_acls[acl.id]
    return deleted


CORRECTIONS = (
    (SecurityGroupBackend, "delete_security_group", delete_security_group),
    (SubnetBackend, "delete_subnet", delete_subnet),
    (InternetGatewayBackend, "detach_internet_gateway", detach_internet_gateway),
    (VPCBackend, "delete_vpc", delete_vpc),
)
