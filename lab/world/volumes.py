"""Reads EBS data volumes from EC2."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from lab.world.api import filters, pages, tags
from lab.world.errors import WorldError
from lab.world.model import Volume

ALIVE = ["pending", "running", "stopping", "stopped"]
"""States in which an instance has a root volume (EC2 User Guide, "Instance lifecycle")."""


def read_volumes(ec2: Any) -> tuple[Volume, ...]:
    """All volumes but those that an instance has as its root.

    Raises:
        WorldError: a volume is attached to several instances (Multi-Attach).
    """
    roots = _roots(ec2)
    ready = filters(status=["available", "in-use"])
    found = pages(ec2, "describe_volumes", "Volumes", Filters=ready)
    volumes = (_volume(item) for item in found if item["VolumeId"] not in roots)
    return tuple(sorted(volumes, key=attrgetter("id")))


def _roots(ec2: Any) -> set[str]:
    reservations = pages(
        ec2, "describe_instances", "Reservations", Filters=filters(instance_state_name=ALIVE)
    )
    return {
        mapping["Ebs"]["VolumeId"]
        for reservation in reservations
        for instance in reservation["Instances"]
        for mapping in instance["BlockDeviceMappings"]
        if mapping["DeviceName"] == instance["RootDeviceName"]
    }


def _volume(found: Mapping[str, Any]) -> Volume:
    attachments = found["Attachments"]
    if len(attachments) > 1:
        instances = ", ".join(attachment["InstanceId"] for attachment in attachments)
        raise WorldError(
            f"volume {found['VolumeId']} is attached to {instances}; the lab knows volumes with "
            "one instance at most"
        )
    attachment = attachments[0] if attachments else None
    return Volume(
        id=found["VolumeId"],
        name=tags(found).get("Name", ""),
        size=found["Size"],
        zone=found["AvailabilityZone"],
        encrypted=found["Encrypted"],
        kms_key=found.get("KmsKeyId"),
        instance=attachment["InstanceId"] if attachment else None,
        device=attachment["Device"] if attachment else None,
        attached=attachment["AttachTime"].isoformat() if attachment else None,
    )
