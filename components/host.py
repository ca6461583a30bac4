"""A mail host: an EC2 instance with a role of its own, a fixed address and its user data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.disks import attach
from components.tags import BIRTH, ROLE, named
from model.prices import ROOT_DISK

HELD = ("ami", "instanceType", "keyName", "tags", "userDataBase64")
"""What stays as it is on a host that waits for its turn."""

DEVICES = {"queue": "/dev/sdf", "mail": "/dev/sdg", "certificates": "/dev/sdh"}
"""Formal device names, from the range that EC2 recommends for data volumes."""

ASSUME = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "ec2.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)


class MailHost(ComponentResource):
    """One machine; changed user data replaces it, the old one first, as both have one address.

    Its address seen from the Internet is `elastic_ip`, or one of EC2's choice where `public`, or
    none. `volumes` are its data volumes by purpose. `after` is what its first boot needs: routes,
    rules, the directory's objects. `policies` are its role's rights, by name, which the policy of
    the ARN `boundary` bounds; that tells by the role's tags `role_tags` whose it is. `birth` tells
    one user data and image from another; a host that is `held` keeps those that it has.
    """

    def __init__(
        self,
        name: str,
        *,
        host: str,
        role: str,
        image: str,
        instance_type: str,
        subnet_id: Input[str],
        private_ip: str,
        group_id: Input[str],
        key_name: Input[str],
        policies: Mapping[str, Input[str]],
        user_data: Input[str],
        volumes: Mapping[str, aws.ebs.Volume],
        birth: str,
        boundary: str | None = None,
        role_tags: Mapping[str, str] | None = None,
        held: bool = False,
        elastic_ip: aws.ec2.Eip | None = None,
        public: bool = False,
        after: list[pulumi.Resource],
        opts: ResourceOptions,
    ) -> None:
        super().__init__("gatepost:host:MailHost", name, None, opts)
        child = ResourceOptions(parent=self)
        iam_role = aws.iam.Role(
            name,
            name=name,
            assume_role_policy=ASSUME,
            permissions_boundary=boundary,
            tags=named(name, **(role_tags or {})),
            opts=child,
        )
        grants = [
            aws.iam.RolePolicy(
                f"{name}-{what}", name=what, role=iam_role.name, policy=policy, opts=child
            )
            for what, policy in policies.items()
        ]
        profile = aws.iam.InstanceProfile(
            name, name=name, role=iam_role.name, tags=named(name), opts=child
        )
        place: dict[str, Any] = {
            "subnet_id": subnet_id,
            "private_ip": private_ip,
            "vpc_security_group_ids": [group_id],
        }
        if elastic_ip:
            interface, association = self._interface(name, place, elastic_ip, after)
            place = {"primary_network_interface": {"network_interface_id": interface.id}}
            after = [*after, association]
        elif public:
            place["associate_public_ip_address"] = True
        self.instance = aws.ec2.Instance(
            name,
            ami=image,
            instance_type=instance_type,
            **place,
            key_name=key_name,
            iam_instance_profile=profile.name,
            user_data_base64=user_data,
            user_data_replace_on_change=True,
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
                "instance_metadata_tags": "disabled",
            },
            root_block_device={
                "encrypted": True,
                "volume_type": "gp3",
                "volume_size": ROOT_DISK,
                "tags": named(name),
            },
            tags=named(host, **{ROLE: role, BIRTH: birth}),
            opts=ResourceOptions(
                parent=self,
                delete_before_replace=True,
                depends_on=[*grants, *after],
                ignore_changes=list(HELD) if held else None,
            ),
        )
        for purpose, volume in volumes.items():
            attach(
                f"{name}-{purpose}",
                device=DEVICES[purpose],
                volume=volume,
                instance_id=self.instance.id,
                opts=child,
            )
        self.register_outputs({"instance": self.instance.id})

    def _interface(
        self,
        name: str,
        place: dict[str, Any],
        elastic_ip: aws.ec2.Eip,
        after: list[pulumi.Resource],
    ) -> tuple[aws.ec2.NetworkInterface, aws.ec2.EipAssociation]:
        """An interface that outlives its instances and has its Elastic IP before they boot.

        An address that is associated with an instance comes after its first boot has begun, which
        then may find no Internet to install from.
        """
        interface = aws.ec2.NetworkInterface(
            name,
            subnet_id=place["subnet_id"],
            private_ips=[place["private_ip"]],
            security_groups=place["vpc_security_group_ids"],
            tags=named(name),
            opts=ResourceOptions(parent=self),
        )
        association = aws.ec2.EipAssociation(
            name,
            allocation_id=elastic_ip.allocation_id,
            network_interface_id=interface.id,
            # EC2 refuses it before the VPC has its Internet gateway, which the routes wait for.
            opts=ResourceOptions(parent=self, depends_on=after),
        )
        return interface, association
