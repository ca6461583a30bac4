"""The DMZ's network ACL, from the model's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.tags import named
from model.acl import AclRule


class NetworkAcl(ComponentResource):
    """One ACL and its association with each of `subnets`, by label; `ready` is all of it."""

    def __init__(
        self,
        name: str,
        *,
        vpc_id: Input[str],
        subnets: Mapping[str, Input[str]],
        rules: Sequence[AclRule],
        opts: ResourceOptions,
    ) -> None:
        super().__init__("gatepost:acl:NetworkAcl", name, None, opts)
        child = ResourceOptions(parent=self)
        acl = aws.ec2.NetworkAcl(name, vpc_id=vpc_id, tags=named(name), opts=child)
        self.ready: list[pulumi.Resource] = [
            aws.ec2.NetworkAclRule(
                f"{name}-{'out' if rule.egress else 'in'}-{rule.number}",
                network_acl_id=acl.id,
                rule_number=rule.number,
                egress=rule.egress,
                rule_action="allow" if rule.allow else "deny",
                protocol=rule.protocol,
                cidr_block=str(rule.cidr),
                from_port=rule.ports[0] if rule.ports else None,
                to_port=rule.ports[1] if rule.ports else None,
                icmp_type=rule.icmp[0] if rule.icmp else None,
                icmp_code=rule.icmp[1] if rule.icmp else None,
                # A changed rule is a new one, and two cannot have one number.
                opts=ResourceOptions(parent=self, delete_before_replace=True),
            )
            for rule in rules
        ]
        # A subnet must not be without a rule for a moment: it joins an ACL that has them all.
        self.ready += [
            aws.ec2.NetworkAclAssociation(
                f"{name}-{label}",
                network_acl_id=acl.id,
                subnet_id=subnet,
                opts=ResourceOptions(parent=self, depends_on=list(self.ready)),
            )
            for label, subnet in subnets.items()
        ]
        self.register_outputs({"acl": acl.id})
