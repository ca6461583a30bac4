"""Security groups and their rules, one rule a flow and side, from the model's table of flows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.tags import named
from model.flows import Firewall, Flow


class Groups(ComponentResource):
    """One security group for each host of the firewall; `groups` maps a host to its group, `rules`
    are what lets its traffic through."""

    def __init__(
        self, name: str, *, vpc_id: Input[str], firewall: Firewall, opts: ResourceOptions
    ) -> None:
        super().__init__("gatepost:firewall:Groups", name, None, opts)
        self.name = name
        self.firewall = firewall
        self.child = ResourceOptions(parent=self)
        self.groups = {
            host: aws.ec2.SecurityGroup(
                f"{name}-{host}",
                name=f"{name}-{host}",
                # A changed description would replace the group: it says nothing that may change.
                description=f"gatepost {host}",
                vpc_id=vpc_id,
                tags=named(f"{name}-{host}"),
                opts=self.child,
            )
            for host in firewall.hosts
        }
        self.rules: list[pulumi.Resource] = [
            rule for flow in firewall.flows for rule in self._allow(flow)
        ]
        self.register_outputs({host: group.id for host, group in self.groups.items()})

    def _allow(self, flow: Flow) -> Iterator[pulumi.Resource]:
        """The egress rule of the source and the ingress rule of the destination, where ours."""
        common: dict[str, Any] = {
            "ip_protocol": flow.protocol,
            "from_port": flow.port,
            "to_port": flow.port,
        }
        service = f"{flow.port}" if flow.protocol == "tcp" else f"{flow.protocol}-{flow.port}"
        name = f"{self.name}-{flow.source}-{flow.destination}-{service}"
        if flow.source in self.groups:
            yield aws.vpc.SecurityGroupEgressRule(
                f"{name}-out",
                security_group_id=self.groups[flow.source].id,
                description=flow.why,
                tags=named(f"to {flow.destination} {flow.port}"),
                opts=self.child,
                **common,
                **self._peer(flow.destination),
            )
        if flow.destination in self.groups:
            yield aws.vpc.SecurityGroupIngressRule(
                f"{name}-in",
                security_group_id=self.groups[flow.destination].id,
                description=flow.why,
                tags=named(f"from {flow.source} {flow.port}"),
                opts=self.child,
                **common,
                **self._peer(flow.source),
            )

    def _peer(self, place: str) -> dict[str, Any]:
        if place in self.groups:
            return {"referenced_security_group_id": self.groups[place].id}
        return {"cidr_ipv4": str(self.firewall.places[place])}
