"""Data volumes, which outlive the instances that use them."""

from __future__ import annotations

import pulumi_aws as aws
from pulumi import Input, ResourceOptions

from components.keys import Key
from components.tags import named


def data_volume(
    name: str, *, zone: str, size: int, key: Key, protect: bool, opts: ResourceOptions
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
