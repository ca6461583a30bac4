"""Reads running instances and Instance Connect endpoints from EC2 and IAM."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from lab.world.api import filters, pages, tags
from lab.world.errors import WorldError
from lab.world.model import ConnectEndpoint, Instance, Interface

ROLE_TAG = "gatepost:role"
"""The tag that tells what an instance is for."""


def read_instances(ec2: Any, iam: Any) -> tuple[Instance, ...]:
    """All instances that are running.

    Raises:
        WorldError: an instance has other than one network interface.
    """
    keys = _public_keys(ec2)
    roles = _ProfileRoles(iam)
    reservations = pages(
        ec2,
        "describe_instances",
        "Reservations",
        Filters=filters(instance_state_name=["running"]),
    )
    instances = (
        _instance(instance, _user_data(ec2, instance["InstanceId"]), keys, roles)
        for reservation in reservations
        for instance in reservation["Instances"]
    )
    return tuple(sorted(instances, key=attrgetter("id")))


def _instance(
    found: Mapping[str, Any], user_data: bytes, keys: Mapping[str, str], roles: _ProfileRoles
) -> Instance:
    tagged = tags(found)
    options = found["MetadataOptions"]
    profile = found.get("IamInstanceProfile")
    return Instance(
        id=found["InstanceId"],
        name=tagged.get("Name", ""),
        role=tagged.get(ROLE_TAG, ""),
        image=found["ImageId"],
        type=found["InstanceType"],
        zone=found["Placement"]["AvailabilityZone"],
        interface=_only_interface(found),
        user_data=user_data,
        iam_role=roles.of(profile["Arn"]) if profile else None,
        # A deleted key pair leaves its name with the instance; the key itself is then unknown.
        public_key=keys.get(found.get("KeyName", "")),
        tokens_required=options["HttpTokens"] == "required",
        hop_limit=options["HttpPutResponseHopLimit"],
        tags=tuple(sorted(tagged.items())),
        launched=found["LaunchTime"].isoformat(),
    )


def read_stopped(ec2: Any) -> tuple[str, ...]:
    """The ids of instances that are stopped, or about to be."""
    states = filters(instance_state_name=["stopping", "stopped"])
    reservations = pages(ec2, "describe_instances", "Reservations", Filters=states)
    return tuple(
        sorted(
            instance["InstanceId"]
            for reservation in reservations
            for instance in reservation["Instances"]
        )
    )


def _only_interface(instance: Mapping[str, Any]) -> Interface:
    interfaces = instance["NetworkInterfaces"]
    if len(interfaces) != 1:
        raise WorldError(
            f"instance {instance['InstanceId']} has {len(interfaces)} network interfaces; the lab "
            "knows instances with exactly one"
        )
    return _interface(
        interfaces[0],
        owner=instance["InstanceId"],
        source_dest_check=instance["SourceDestCheck"],
    )


def _interface(found: Mapping[str, Any], *, owner: str, source_dest_check: bool) -> Interface:
    return Interface(
        id=found["NetworkInterfaceId"],
        owner=owner,
        vpc=found["VpcId"],
        subnet=found["SubnetId"],
        mac=found["MacAddress"],
        private_ip=found["PrivateIpAddress"],
        public_ip=found.get("Association", {}).get("PublicIp"),
        groups=tuple(sorted(group["GroupId"] for group in found["Groups"])),
        source_dest_check=source_dest_check,
    )


def _user_data(ec2: Any, instance_id: str) -> bytes:
    answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    return base64.b64decode(answer.get("UserData", {}).get("Value", ""))


def _public_keys(ec2: Any) -> dict[str, str]:
    pairs = ec2.describe_key_pairs(IncludePublicKey=True)["KeyPairs"]
    return {pair["KeyName"]: pair["PublicKey"].strip() for pair in pairs if "PublicKey" in pair}


class _ProfileRoles:
    """The role in an instance profile (it holds one at most), asked for once per profile."""

    def __init__(self, iam: Any) -> None:
        self._iam = iam
        self._known: dict[str, str | None] = {}

    def of(self, profile_arn: str) -> str | None:
        if profile_arn not in self._known:
            name = profile_arn.rpartition("/")[2]
            answer = self._iam.get_instance_profile(InstanceProfileName=name)
            roles = answer["InstanceProfile"]["Roles"]
            self._known[profile_arn] = roles[0]["RoleName"] if roles else None
        return self._known[profile_arn]


def read_connect_endpoints(ec2: Any) -> tuple[ConnectEndpoint, ...]:
    """The EC2 Instance Connect endpoints that are ready, with their network interfaces."""
    ready = [
        endpoint
        for endpoint in pages(
            ec2, "describe_instance_connect_endpoints", "InstanceConnectEndpoints"
        )
        if endpoint["State"] == "create-complete"
    ]
    endpoints = (
        ConnectEndpoint(
            id=endpoint["InstanceConnectEndpointId"],
            interface=_endpoint_interface(ec2, endpoint),
        )
        for endpoint in ready
    )
    return tuple(sorted(endpoints, key=attrgetter("id")))


def _endpoint_interface(ec2: Any, endpoint: Mapping[str, Any]) -> Interface:
    ids = endpoint["NetworkInterfaceIds"]
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=ids)["NetworkInterfaces"]
    if len(found) != 1:
        raise WorldError(
            f"Instance Connect endpoint {endpoint['InstanceConnectEndpointId']} has "
            f"{len(found)} network interfaces ({ids}), expected one"
        )
    # With PreserveClientIp an endpoint would send from other addresses than its own; its default
    # is off, and then the endpoint's own address is the source.
    return _interface(found[0], owner=endpoint["InstanceConnectEndpointId"], source_dest_check=True)
