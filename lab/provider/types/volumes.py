"""EBS volumes and their attachments. Registry pages: aws/ebs/volume, aws/ec2/volumeattachment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, ProviderError, retag, specification, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS
from lab.provider.types.instances import stop
from lab.provider.values import UNKNOWN, Values

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
        "createTime": volume["CreateTime"].isoformat(),
        "encrypted": volume["Encrypted"],
        "iops": volume.get("Iops"),
        "kmsKeyId": volume.get("KmsKeyId"),
        "size": volume["Size"],
        "tags": tag_map(volume.get("Tags")),
        "throughput": volume.get("Throughput"),
        "type": volume["VolumeType"],
    }


def _update_volume(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    request = {SETTINGS[name]: new[name] for name in MODIFIABLE if name in changed}
    if request:
        aws.ec2.modify_volume(VolumeId=identifier, **request)
    retag(aws, identifier, old, new)


def _volume_rules(new: Values) -> Iterable[str]:
    """Registry, kmsKeyId."""
    if "kmsKeyId" in new and new.get("encrypted") not in (True, UNKNOWN):
        yield "a volume with a kmsKeyId needs encrypted set to true"


VOLUME = Resource(
    token="aws:ebs/volume:Volume",
    inputs={
        "availabilityZone": Property(required=True, replaces=True),
        "encrypted": Property(computed=True, replaces=True),
        "iops": Property(computed=True),
        "kmsKeyId": Property(computed=True, replaces=True, check=checks.arn),
        "size": Property(required=True),
        "tags": TAGS,
        "throughput": Property(computed=True),
        "type": Property(computed=True),
    },
    outputs=("arn", "createTime"),
    create=_create_volume,
    read=_read_volume,
    update=_update_volume,
    delete=lambda aws, identifier, _state: aws.ec2.delete_volume(VolumeId=identifier),
    check=_volume_rules,
)


def _create_attachment(aws: Aws, new: Values) -> str:
    volume, instance = new["volumeId"], new["instanceId"]
    aws.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=new["deviceName"])
    return f"vai-{volume[4:]}-{instance[2:]}"


def _attachment(aws: Aws, state: Values) -> dict[str, Any] | None:
    for attachment in _volume(aws, state["volumeId"])["Attachments"]:
        if attachment["InstanceId"] == state["instanceId"]:
            return attachment
    return None


def _read_attachment(aws: Aws, _identifier: str, state: Values) -> Values | None:
    attachment = _attachment(aws, state)
    return None if attachment is None else {"deviceName": attachment["Device"]}


def _delete_attachment(aws: Aws, _identifier: str, state: Values) -> None:
    """As the real provider: an instance that was stopped for this stays stopped."""
    if state.get("skipDestroy"):
        return
    if state.get("stopInstanceBeforeDetaching"):
        stop(aws, state["instanceId"])
    if _attachment(aws, state) is None:
        return
    aws.ec2.detach_volume(
        VolumeId=state["volumeId"],
        InstanceId=state["instanceId"],
        Device=state["deviceName"],
        Force=state.get("forceDetach", False),
    )
    left = _attachment(aws, state)
    if left is not None:
        # The real provider waits for minutes, to fail in the same way.
        raise ProviderError(
            f"{state['volumeId']} stays attached to {state['instanceId']}, in state "
            f"{left['State']}: the instance runs, with the volume's file system mounted. Set "
            "stopInstanceBeforeDetaching on the attachment."
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
