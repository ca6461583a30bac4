"""EBS volumes: attached, detached, resized and encrypted as EC2 would, refused as EC2 would."""

from __future__ import annotations

import re
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_block_store import EBSBackend
from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response
from moto.kms.models import kms_backends

DEVICE = re.compile(r"^(/dev/sd[a-z](1[0-5]|[1-9])?|(/dev/)?xvd[a-d]?[a-z])$")
"""Device names that may be asked for ("Device names for volumes on Amazon EC2 instances")."""
ROOT_SIZE = 8
"""GiB of the root volume in Debian's images."""


def create_volume(moto: Any, self: Any, size: int, zone_name: str, **named: Any) -> Any:
    """A volume is encrypted by an enabled key; EC2 shows it by its ARN, however it was named.

    API reference, CreateVolume: a volume with a key that is not valid appears to be made, but
    fails later; here it fails at once, by the code that a launch with such a volume has.
    """
    if named.get("kms_key_id"):
        named["kms_key_id"] = _usable_key(self, named["kms_key_id"])
    return moto(self, size, zone_name, **named)


def _usable_key(backend: Any, name: str) -> str:
    kms = kms_backends[backend.account_id][backend.region_name]
    alias = kms.get_alias_name(name)
    is_alias = alias.startswith("alias/")
    key = kms.keys.get(kms.get_key_id_from_alias(alias) if is_alias else kms.get_key_id(name))
    if key is None or key.key_state != "Enabled":
        state = "it does not exist" if key is None else key.key_state
        raise EC2ClientError(
            "InvalidKMSKey.InvalidState",
            f"The KMS key {name} provided is in an incorrect state: {state}.",
        )
    return key.arn


def attach_volume(moto: Any, self: Any) -> ActionResult:
    """Error codes of AttachVolume ("Error codes for the Amazon EC2 API")."""
    backend = self.ec2_backend
    volume = backend.get_volume(self._get_param("VolumeId"))
    instance = backend.get_instance(self._get_param("InstanceId"))
    device = self._get_param("Device")
    if volume.attachment:
        raise EC2ClientError(
            "VolumeInUse", f"{volume.id} is already attached to {volume.attachment.instance.id}"
        )
    if instance.state not in ("running", "stopped"):
        raise EC2ClientError(
            "IncorrectState", f"Instance '{instance.id}' is {instance.state}, not 'running'."
        )
    if volume.availability_zone != instance.availability_zone:
        raise EC2ClientError(
            "InvalidVolume.ZoneMismatch",
            f"The volume '{volume.id}' is not in the same availability zone as instance "
            f"'{instance.id}': {volume.availability_zone} and {instance.availability_zone}",
        )
    _check_device(instance, device)
    return moto(self)


def _check_device(instance: Any, device: str) -> None:
    if DEVICE.match(device) is None:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device "
            "name.",
        )
    if device in instance.block_device_mapping:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use",
        )


def detach_volume(_moto: Any, self: Any) -> ActionResult:
    """A running instance does not let go of a file system that is mounted.

    "Detach an Amazon EBS volume from an Amazon EC2 instance", EC2 User Guide: the volume then
    stays `busy`, until it is unmounted, the instance stops, or the detachment is forced.
    """
    backend = self.ec2_backend
    volume = backend.get_volume(self._get_param("VolumeId"))
    attachment = volume.attachment
    if attachment is None:
        raise EC2ClientError("IncorrectState", f"Volume '{volume.id}' is in the 'available' state.")
    instance = attachment.instance
    device = self._get_param("Device") or attachment.device
    given = self._get_param("InstanceId") or instance.id
    if (given, device) != (instance.id, attachment.device):
        raise EC2ClientError(
            "InvalidAttachment.NotFound",
            f"'{volume.id}' is not attached to '{given}' as {device}",
        )
    if instance.state == "running" and not self._get_param("Force", False):
        attachment.status = "busy"
    else:
        backend.detach_volume(volume.id, instance.id, device)
    description = {
        "VolumeId": volume.id,
        "InstanceId": instance.id,
        "Device": device,
        "State": "detaching" if attachment.status == "detached" else attachment.status,
        "AttachTime": attachment.attach_time,
    }
    return ActionResult(description)


def stop(moto: Any, self: Any) -> Any:
    """Nothing is mounted any more: what waits to be detached is."""
    if self.state == "terminated":
        raise _terminated(self)
    previous = moto(self)
    backend = self.ec2_backend
    for volume in list(backend.volumes.values()):
        held = volume.attachment
        if held and held.instance is self and held.status == "busy":
            backend.detach_volume(volume.id, self.id, held.device)
    return previous


def start(moto: Any, self: Any) -> Any:
    """API reference, Instance: LaunchTime is that of the last start."""
    if self.state == "terminated":
        raise _terminated(self)
    previous = moto(self)
    if previous.name == "stopped":
        self.launch_time = utcnow()
    return previous


def _terminated(instance: Any) -> EC2ClientError:
    return EC2ClientError(
        "IncorrectInstanceState",
        f"The instance '{instance.id}' is not in a state from which it can be started or stopped: "
        f"{instance.state}.",
    )


def modify_volume(
    moto: Any, self: Any, volume_id: str, target_size: int | None = None, *rest: Any, **named: Any
) -> Any:
    """API reference, ModifyVolume: the size can only be raised."""
    size = self.get_volume(volume_id).size
    if target_size and target_size < size:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"New size cannot be smaller than existing size: {target_size} and {size} GiB",
        )
    return moto(self, volume_id, target_size, *rest, **named)


def root_volume(_moto: Any, self: Any) -> None:
    """The root is where the image has it; moto puts it at /dev/sda1."""
    volume = self.ec2_backend.create_volume(size=ROOT_SIZE, zone_name=self.availability_zone)
    self.ec2_backend.attach_volume(volume.id, self.id, self.root_device_name, True)


CORRECTIONS = (
    (EBSBackend, "create_volume", create_volume),
    (EBSBackend, "modify_volume", modify_volume),
    (EC2Response, "attach_volume", attach_volume),
    (EC2Response, "detach_volume", detach_volume),
    (Instance, "setup_defaults", root_volume),
    (Instance, "start", start),
    (Instance, "stop", stop),
)
