"""A data volume outlives its instance, if that is stopped before the volume is detached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.engine.deploy import EngineError, Result

PROGRAM = """
vpc = aws.ec2.Vpc("vpc", cidr_block="10.60.0.0/16", opts=options)
subnet = aws.ec2.Subnet(
    "subnet", vpc_id=vpc.id, cidr_block="10.60.1.0/24", availability_zone="ap-northeast-1a",
    opts=options,
)
instance = aws.ec2.Instance(
    "instance", ami="ami-0123456789abcdef0", instance_type="t4g.nano", subnet_id=subnet.id,
    private_ip="10.60.1.10", user_data="{word}", user_data_replace_on_change=True,
    opts=pulumi.ResourceOptions(provider=provider, delete_before_replace=True),
)
volume = aws.ebs.Volume(
    "volume", availability_zone="{zone}", size=1, encrypted=True, opts=options
)
aws.ec2.VolumeAttachment(
    "attachment", device_name="/dev/sdf", volume_id=volume.id, instance_id=instance.id,
    stop_instance_before_detaching={stop}, opts=options,
)
pulumi.export("volume", volume.id)
pulumi.export("instance", instance.id)
"""
SETTINGS = {"word": "first", "zone": "ap-northeast-1a", "stop": True}


def program(**changed: Any) -> str:
    return PROGRAM.format(**SETTINGS | changed)


def replaced(result: Result) -> list[tuple[str, str]]:
    """What was replaced, in the order of the engine's steps."""
    steps = ("delete-replaced", "create-replacement")
    return [(op, urn.rpartition("::")[2]) for op, urn in result.changes if op in steps]


def attached_to(client: Callable[[str], Any], volume: str) -> list[str]:
    [found] = client("ec2").describe_volumes(VolumeIds=[volume])["Volumes"]
    return [attachment["InstanceId"] for attachment in found["Attachments"]]


def test_the_volume_goes_to_the_next_instance(project: Any, client: Callable[[str], Any]) -> None:
    project.program(program(stop=False))
    first = project.engine.up("dev").outputs
    assert attached_to(client, first["volume"]) == [first["instance"]]

    project.program(program(stop=False, word="second"))
    with pytest.raises(EngineError, match=r"state busy.*Set stopInstanceBeforeDetaching"):
        project.engine.up("dev")

    project.program(program())
    assert project.engine.up("dev").replaced == 0
    project.program(program(word="second"))
    result = project.engine.up("dev")
    assert replaced(result) == [
        ("delete-replaced", "attachment"),
        ("delete-replaced", "instance"),
        ("create-replacement", "instance"),
        ("create-replacement", "attachment"),
    ]
    assert result.outputs["volume"] == first["volume"]
    assert result.outputs["instance"] != first["instance"]
    assert attached_to(client, first["volume"]) == [result.outputs["instance"]]

    project.engine.destroy("dev")
    assert not client("ec2").describe_volumes()["Volumes"]


def test_a_volume_of_another_zone_is_refused(project: Any) -> None:
    project.program(program(zone="ap-northeast-1c"))
    with pytest.raises(EngineError, match=r"ZoneMismatch.*ap-northeast-1c and ap-northeast-1a"):
        project.engine.up("dev")
