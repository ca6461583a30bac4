"""Security groups: rules checked, described, changed and counted as EC2 does."""

from __future__ import annotations

from typing import Any

from moto.ec2.exceptions import (
    EC2ClientError,
    InvalidSecurityGroupNotFoundError,
    InvalidSecurityGroupRuleIdNotFoundError,
)
from moto.ec2.models.security_groups import SecurityGroup, SecurityGroupBackend, SecurityGroupRule

from lab.emulator import quotas

WITH_PORTS = ("tcp", "udp", "6", "17")


def rule_init(
    moto: Any,
    self: Any,
    ec2_backend: Any,
    ip_protocol: str,
    group_id: str,
    from_port: Any,
    to_port: Any,
    ip_range: Any,
    source_group: Any = None,
    prefix_list_id: Any = None,
    is_egress: bool = True,
    tags: Any = None,
) -> None:
    """moto fails with 500 where ports are missing, and drops two kinds of description."""
    check_ports(ip_protocol, from_port, to_port)
    moto(
        self,
        ec2_backend,
        ip_protocol,
        group_id,
        from_port,
        to_port,
        ip_range,
        source_group,
        prefix_list_id,
        is_egress,
        tags,
    )
    self.prefix_description = (prefix_list_id or {}).get("Description")


def check_ports(protocol: str | None, from_port: Any, to_port: Any) -> None:
    """API reference, IpPermission: TCP and UDP need both ports, in order, within 0-65535."""
    if protocol is None:
        raise EC2ClientError(
            "InvalidParameterValue",
            "Invalid value 'null' for protocol. VPC security group rules must specify protocols "
            "explicitly.",
        )
    if str(protocol).lower() not in WITH_PORTS:
        return
    if from_port is None or to_port is None:
        raise EC2ClientError(
            "InvalidParameterValue",
            "Invalid value for portRange. Must specify both from and to ports with TCP/UDP.",
        )
    if not 0 <= int(from_port) <= int(to_port) <= 65535:
        raise EC2ClientError(
            "InvalidParameterValue", f"Invalid TCP/UDP port range ({from_port}:{to_port})"
        )


def rule_description(_moto: Any, self: Any) -> str | None:
    return (
        self.ip_range.get("Description")
        or self.source_group.get("Description")
        or self.prefix_description
    )


def rule_equals(_moto: Any, self: Any, other: Any) -> bool:
    """Two rules are the same whatever their descriptions (InvalidPermission.Duplicate)."""
    return _identity(self) == _identity(other)


def _identity(rule: Any) -> tuple[Any, ...]:
    return (
        rule.ip_protocol,
        rule.from_port,
        rule.to_port,
        rule.ip_range.get("CidrIp"),
        rule.ip_range.get("CidrIpv6"),
        rule.source_group.get("GroupId"),
        rule.prefix_list_id,
    )


def add_rule(moto: Any, self: Any, rule: SecurityGroupRule) -> None:
    rules = self.egress_rules if rule.is_egress else self.ingress_rules
    quotas.check("rules_per_group_and_direction", len(rules))
    moto(self, rule)


def skip_rule_count(_moto: Any, _self: Any, *_arguments: Any, **_named: Any) -> None:
    """moto leaves prefix lists out of its count; `add_rule` counts every rule."""


def create_security_group(
    moto: Any, self: Any, *arguments: Any, is_default: bool | None = None, **named: Any
) -> SecurityGroup:
    """A default group admits itself ("Default security groups", VPC User Guide)."""
    group = moto(self, *arguments, is_default=is_default, **named)
    if is_default:
        source = {"GroupId": group.id, "UserId": self.account_id, "OwnerId": self.account_id}
        group.ingress_rules.append(
            SecurityGroupRule(self, "-1", group.id, None, None, None, source, is_egress=False)
        )
    return group


def modify_security_group_rules(
    _moto: Any, self: Any, group_id: str, rules: dict[str, dict[str, Any]]
) -> None:
    """API reference, ModifySecurityGroupRules: the request replaces the rule, peer included."""
    group = self.get_security_group_from_id(group_id)
    if group is None:
        raise InvalidSecurityGroupNotFoundError(group_id)
    for identifier, request in rules.items():
        rule = group.get_rule(identifier)
        if rule is None:
            raise InvalidSecurityGroupRuleIdNotFoundError(identifier)
        changed = _requested_rule(self, group_id, request, rule.is_egress)
        if _peer_kind(rule) != _peer_kind(changed):
            raise EC2ClientError(
                "InvalidParameterValue",
                f"Invalid rule type for security group rule '{identifier}'. You may not specify "
                f"{_peer_kind(changed)} for an existing {_peer_kind(rule)} rule.",
            )
        others = group.egress_rules if rule.is_egress else group.ingress_rules
        if any(other is not rule and other == changed for other in others):
            raise EC2ClientError(
                "InvalidPermission.Duplicate", f"{group_id} already has the rule of {identifier}"
            )
        for name in ("ip_protocol", "from_port", "to_port", "ip_range", "source_group"):
            setattr(rule, name, getattr(changed, name))
        rule.prefix_list_id = changed.prefix_list_id
        rule.prefix_description = changed.prefix_description


def _peer_kind(rule: Any) -> str:
    kinds = ("CidrIpv4", "CidrIpv6", "ReferencedGroupId", "PrefixListId")
    return next(k for k, peer in zip(kinds, _identity(rule)[3:], strict=True) if peer)


def _requested_rule(backend: Any, group_id: str, request: dict[str, Any], egress: bool) -> Any:
    description = {"Description": request["Description"]} if request.get("Description") else {}
    cidr = next((k for k in ("CidrIpv4", "CidrIpv6") if request.get(k)), None)
    source = prefix = block = None
    if cidr:
        block = {"CidrIp" if cidr == "CidrIpv4" else cidr: request[cidr], **description}
    elif request.get("ReferencedGroupId"):
        owner = backend.account_id
        source = {"GroupId": request["ReferencedGroupId"], "UserId": owner, "OwnerId": owner}
        source |= description
    elif request.get("PrefixListId"):
        prefix = {"PrefixListId": request["PrefixListId"], **description}
    return SecurityGroupRule(
        backend,
        request.get("IpProtocol"),
        group_id,
        request.get("FromPort"),
        request.get("ToPort"),
        block,
        source,
        prefix,
        is_egress=egress,
    )


CORRECTIONS = (
    (SecurityGroupRule, "__init__", rule_init),
    (SecurityGroupRule, "description", rule_description),
    (SecurityGroupRule, "__eq__", rule_equals),
    (SecurityGroup, "add_ingress_rule", add_rule),
    (SecurityGroup, "add_egress_rule", add_rule),
    (SecurityGroupBackend, "_verify_group_will_respect_rule_count_limit", skip_rule_count),
    (SecurityGroupBackend, "create_security_group", create_security_group),
    (SecurityGroupBackend, "modify_security_group_rules", modify_security_group_rules),
)
