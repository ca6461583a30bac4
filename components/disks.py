"""Data volumes, and the key that encrypts them; both outlive the instances that use them."""

from __future__ import annotations

import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.tags import named

DELETION_DAYS = 30
"""Days until a deleted key is gone, in which it can be had back (KMS allows 7 to 30)."""


class DiskKey(ComponentResource):
    """A stack's own KMS key for its volumes, rotated each year."""

    def __init__(self, name: str, *, protect: bool, opts: ResourceOptions) -> None:
        super().__init__("gatepost:disks:DiskKey", name, None, opts)
        self.key = aws.kms.Key(
            name,
            description=f"{name}: data volumes",
            enable_key_rotation=True,
            deletion_window_in_days=DELETION_DAYS,
            tags=named(name),
            opts=ResourceOptions(parent=self, protect=protect),
        )
        aws.kms.Alias(
            name,
            name=f"alias/{name}",
            target_key_id=self.key.key_id,
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({"key": self.key.arn})


def data_volume(
    name: str, *, zone: str, size: int, key: DiskKey, protect: bool, opts: ResourceOptions
) -> aws.ebs.Volume:
    """An encrypted gp3 volume of `size` GiB."""
    return aws.ebs.Volume(
        name,
        availability_zone=zone,
        size=size,
        type="gp3",
        encrypted=True,
        kms_key_id=key.key.arn,
        tags=named(name),
        opts=ResourceOptions.merge(opts, ResourceOptions(protect=protect)),
    )


def attach(
    name: str,
    *,
    device: str,
    volume: aws.ebs.Volume,
    instance_id: Input[str],
    opts: ResourceOptions,
) -> None:
    """Attach a volume; before it is detached its instance is stopped, so that nothing is mounted.

    The device name is a formality: on Nitro the machine finds a volume by its id.
    """
    aws.ec2.VolumeAttachment(
        name,
        device_name=device,
        volume_id=volume.id,
        instance_id=instance_id,
        stop_instance_before_detaching=True,
        opts=ResourceOptions.merge(opts, ResourceOptions(delete_before_replace=True)),
    )
