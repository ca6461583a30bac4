"""EBS volumes, and instances that stop and start with them, seen through boto3."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lab.waiting import wait_for
from tests.lab.emulator.test_corrections import launch, make_subnet, make_vpc, refused

ZONE = "ap-northeast-1a"


@pytest.fixture(scope="module")
def subnet(ec2: Any) -> str:
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.1.0/24", AvailabilityZone=ZONE)
    return made["Subnet"]["SubnetId"]


@pytest.fixture
def instance(ec2: Any, subnet: str) -> str:
    return launch(ec2, subnet)["InstanceId"]


def make_volume(ec2: Any, zone: str = ZONE, **more: Any) -> str:
    return ec2.create_volume(AvailabilityZone=zone, Size=10, **more)["VolumeId"]


def attach(ec2: Any, volume: str, instance: str, device: str = "/dev/sdf") -> None:
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)


def attachments(ec2: Any, volume: str) -> list[tuple[str, str]]:
    found = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]
    return [(attachment["InstanceId"], attachment["State"]) for attachment in found]


def described(ec2: Any, instance: str) -> dict[str, Any]:
    found = ec2.describe_instances(InstanceIds=[instance])
    return found["Reservations"][0]["Instances"][0]


def test_a_volume_is_attached_in_its_own_zone(ec2: Any, instance: str) -> None:
    elsewhere = make_volume(ec2, zone="ap-northeast-1c")
    with refused("InvalidVolume.ZoneMismatch"):
        attach(ec2, elsewhere, instance)
    assert attachments(ec2, elsewhere) == []


def test_a_volume_has_one_instance(ec2: Any, subnet: str, instance: str) -> None:
    volume, other = make_volume(ec2), launch(ec2, subnet)["InstanceId"]
    attach(ec2, volume, instance)
    with refused("VolumeInUse"):
        attach(ec2, volume, other)
    with refused("VolumeInUse"):
        ec2.delete_volume(VolumeId=volume)
    assert attachments(ec2, volume) == [(instance, "attached")]


@pytest.mark.parametrize("device", ["/dev/sdf", "/dev/xvda"])
def test_a_device_name_is_used_once(ec2: Any, instance: str, device: str) -> None:
    """The root volume has that of its image, /dev/xvda."""
    attach(ec2, make_volume(ec2), instance)
    with pytest.raises(ClientError, match=f"{device} is already in use"):
        attach(ec2, make_volume(ec2), instance, device)


@pytest.mark.parametrize("device", ["sdf", "/dev/nvme1n1", "/dev/sdf16", ""])
def test_not_every_device_name_is_one(ec2: Any, instance: str, device: str) -> None:
    with pytest.raises(ClientError, match="not a valid EBS device name"):
        attach(ec2, make_volume(ec2), instance, device)


def test_a_terminated_instance_takes_no_volume(ec2: Any, instance: str) -> None:
    ec2.terminate_instances(InstanceIds=[instance])
    with refused("IncorrectState"):
        attach(ec2, make_volume(ec2), instance)


def test_a_running_instance_keeps_its_volume_busy_until_it_stops(ec2: Any, instance: str) -> None:
    volume = make_volume(ec2)
    attach(ec2, volume, instance)
    assert ec2.detach_volume(VolumeId=volume)["State"] == "busy"
    assert attachments(ec2, volume) == [(instance, "busy")]
    ec2.stop_instances(InstanceIds=[instance])
    assert attachments(ec2, volume) == []
    with refused("IncorrectState"):
        ec2.detach_volume(VolumeId=volume)


def test_a_stopped_instance_lets_go(ec2: Any, instance: str) -> None:
    volume, kept = make_volume(ec2), make_volume(ec2)
    attach(ec2, volume, instance)
    attach(ec2, kept, instance, "/dev/sdg")
    ec2.stop_instances(InstanceIds=[instance])
    assert attachments(ec2, volume) == [(instance, "attached")]
    with refused("InvalidAttachment.NotFound"):
        ec2.detach_volume(VolumeId=volume, InstanceId="i-0")
    ec2.detach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    assert attachments(ec2, volume) == []
    ec2.terminate_instances(InstanceIds=[instance])
    assert attachments(ec2, kept) == []
    ec2.delete_volume(VolumeId=kept)


def test_a_detachment_can_be_forced(ec2: Any, instance: str) -> None:
    volume = make_volume(ec2)
    attach(ec2, volume, instance)
    ec2.detach_volume(VolumeId=volume, Force=True)
    assert attachments(ec2, volume) == []


def test_a_volume_grows_but_does_not_shrink(ec2: Any) -> None:
    volume = make_volume(ec2)
    ec2.modify_volume(VolumeId=volume, Size=12)
    with pytest.raises(ClientError, match="cannot be smaller than existing size: 11 and 12 GiB"):
        ec2.modify_volume(VolumeId=volume, Size=11)
    assert ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Size"] == 12


def test_a_volume_is_encrypted_by_a_key_that_works(ec2: Any, client: Callable[[str], Any]) -> None:
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]
    kms.create_alias(AliasName="alias/disks", TargetKeyId=key["KeyId"])
    for name in ("alias/disks", key["KeyId"], key["Arn"]):
        volume = make_volume(ec2, Encrypted=True, KmsKeyId=name)
        shown = ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]
        assert (shown["Encrypted"], shown["KmsKeyId"]) == (True, key["Arn"])
    kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
    for name in (key["Arn"], "alias/none", "none"):
        with refused("InvalidKMSKey.InvalidState"):
            make_volume(ec2, Encrypted=True, KmsKeyId=name)


def test_a_start_is_a_launch(ec2: Any, instance: str) -> None:
    before = described(ec2, instance)["LaunchTime"]
    ec2.stop_instances(InstanceIds=[instance])
    assert described(ec2, instance)["State"]["Name"] == "stopped"
    # The API tells whole seconds.
    next_second = before + timedelta(seconds=1)
    assert wait_for(lambda: datetime.now(UTC) >= next_second, 2)
    ec2.start_instances(InstanceIds=[instance])
    after = described(ec2, instance)
    assert after["State"]["Name"] == "running"
    assert after["LaunchTime"] > before
    ec2.start_instances(InstanceIds=[instance])
    assert described(ec2, instance)["LaunchTime"] == after["LaunchTime"]


def test_a_terminated_instance_does_not_come_back(ec2: Any) -> None:
    instance = launch(ec2, make_subnet(ec2, make_vpc(ec2)))["InstanceId"]
    ec2.terminate_instances(InstanceIds=[instance])
    for call in (ec2.start_instances, ec2.stop_instances):
        with refused("IncorrectInstanceState"):
            call(InstanceIds=[instance])
