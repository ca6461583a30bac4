"""EBS volumes and their attachments. Registry pages: aws/ebs/volume, aws/ec2/volumeattachment."""

from __future__ import annotations

from typing import Any

from lab.provider.aws import Aws, ProviderError, retag, specification, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS
from lab.provider.values import Values

SETTINGS = {
    "availabilityZone": "AvailabilityZone",
    "encrypted": "Encrypted",
    "iops": "Iops",
    "kmsKeyId": "KmsKeyId",
    "size": "Size",
    "throughput": "Throughput",
    "type": "VolumeType",
}
MODIFIABLE = ("iops", "size", "throughput", "type")


def _create_volume(aws: Aws, new: Values) -> str:
    request = {p: new[name] for name, p in SETTINGS.items() if name in new}
    tags = specification("volume", new.get("tags"))
    return aws.ec2.create_volume(TagSpecifications=tags, **request)["VolumeId"]


def _volume(aws: Aws, identifier: str) -> dict[str, Any]:
    return aws.ec2.describe_volumes(VolumeIds=[identifier])["Volumes"][0]


def _read_volume(aws: Aws, identifier: str, _state: Values) -> Values | None:
    volume = _volume(aws, identifier)
    return {
        "arn": aws.arn("ec2", f"volume/{identifier}"),
        "availabilityZone": volume["AvailabilityZone"],
        "encrypted": volume["Encrypted"],
        "size": volume["Size"],
        "tags": tag_map(volume.get("Tags")),
        "type": volume["VolumeType"],
    }


def _update_volume(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if new.get("size", old["size"]) < old["size"]:
        # API reference, ModifyVolume: the size can only be raised.
        raise ProviderError(
            f"{identifier}: a volume cannot shrink from {old['size']} to {new['size']} GiB"
        )
    request = {SETTINGS[name]: new[name] for name in MODIFIABLE if name in changed}
    if request:
        aws.ec2.modify_volume(VolumeId=identifier, **request)
    retag(aws, identifier, old, new)


VOLUME = Resource(
    token="aws:ebs/volume:Volume",
    inputs={
        "availabilityZone": Property(required=True, replaces=True),
        "encrypted": Property(computed=True, replaces=True),
        "iops": Property(computed=True),
        "kmsKeyId": Property(computed=True, replaces=True),
        "size": Property(required=True),
        "tags": TAGS,
        "throughput": Property(computed=True),
        "type": Property(computed=True),
    },
    outputs=("arn",),
    create=_create_volume,
    read=_read_volume,
    update=_update_volume,
    delete=lambda aws, identifier, _state: aws.ec2.delete_volume(VolumeId=identifier),
)


def _create_attachment(aws: Aws, new: Values) -> str:
    volume, instance = new["volumeId"], new["instanceId"]
    found = _volume(aws, volume)
    placed = aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    zone = placed["Placement"]["AvailabilityZone"]
    # Error codes InvalidVolume.ZoneMismatch and VolumeInUse, which the emulator does not check.
    if found["AvailabilityZone"] != zone:
        raise ProviderError(
            f"{volume} is in {found['AvailabilityZone']}, {instance} in {zone}: they must share it"
        )
    if found["Attachments"]:
        raise ProviderError(f"{volume} is attached to {found['Attachments'][0]['InstanceId']}")
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=new["deviceName"])
    return f"vai-{volume[4:]}-{instance[2:]}"


def _read_attachment(aws: Aws, _identifier: str, state: Values) -> Values | None:
    for attachment in _volume(aws, state["volumeId"])["Attachments"]:
        if attachment["InstanceId"] == state["instanceId"]:
            return {"deviceName": attachment["Device"]}
    return None


def _delete_attachment(aws: Aws, _identifier: str, state: Values) -> None:
    if state.get("skipDestroy"):
        return
    instance = state["instanceId"]
    if state.get("stopInstanceBeforeDetaching"):
        aws.ec2.stop_instances(InstanceIds=[instance])
    aws.ec2.detach_volume(
        VolumeId=state["volumeId"], InstanceId=instance, Device=state["deviceName"]
    )


VOLUME_ATTACHMENT = Resource(
    token="aws:ec2/volumeAttachment:VolumeAttachment",
    inputs={
        "deviceName": Property(required=True, replaces=True),
        "forceDetach": Property(computed=True),
        "instanceId": Property(required=True, replaces=True),
        "skipDestroy": Property(computed=True),
        "stopInstanceBeforeDetaching": Property(computed=True),
        "volumeId": Property(required=True, replaces=True),
    },
    create=_create_attachment,
    read=_read_attachment,
    update=lambda _aws, _identifier, _old, _new, _changed: None,
    delete=_delete_attachment,
)

TYPES = (VOLUME, VOLUME_ATTACHMENT)
