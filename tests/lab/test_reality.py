"""A whole lab of one host with a data volume: replaced, restarted, grown, and nothing left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from lab import hosts
from lab.machines.volumes import loop_devices
from lab.session import Lab, Says

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and loop devices"),
]

LIMIT = 30.0
REGION = "ap-northeast-1"
STACK_FILE = f"""
config:
  gatepost:settings:
    region: {REGION}
    image: ami-0123456789abcdef0
"""
PROGRAM = """
import json
import pulumi
import pulumi_aws as aws

WORD, SIZE = "first", 1
provider = aws.Provider("aws", region="ap-northeast-1")
options = pulumi.ResourceOptions(provider=provider)
vpc = aws.ec2.Vpc("vpc", cidr_block="10.1.0.0/16", opts=options)
subnet = aws.ec2.Subnet(
    "subnet", vpc_id=vpc.id, cidr_block="10.1.1.0/24", availability_zone="ap-northeast-1a",
    opts=options,
)
key = aws.kms.Key("key", enable_key_rotation=True, deletion_window_in_days=7, opts=options)
volume = aws.ebs.Volume(
    "queue", availability_zone="ap-northeast-1a", size=SIZE, encrypted=True, kms_key_id=key.arn,
    opts=options,
)
SCRIPT = '''
link=/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$(echo ID | tr -d -)
if [ "$1" = boot ]; then
    [ -b $link ] && echo early >>/root/came || echo late >>/root/came
    exit
fi
until [ -b $link ]; do sleep 0.1; done
if blkid --probe $link; then found=kept; else found=blank; mkfs.ext4 -q $link; fi
mount $link /srv
echo WORD $found >>/srv/found
'''

def user_data(identifier: str) -> str:
    script = SCRIPT.replace("WORD", WORD).replace("ID", identifier)
    boot, run = (["sh", "-c", script, "sh", step] for step in ("boot", "run"))
    return "#cloud-config\\n" + json.dumps({"bootcmd": [boot], "runcmd": [run]})

instance = aws.ec2.Instance(
    "host", ami="ami-0123456789abcdef0", instance_type="t4g.nano", subnet_id=subnet.id,
    private_ip="10.1.1.10", tags={"Name": "host"}, user_data=volume.id.apply(user_data),
    user_data_replace_on_change=True,
    opts=pulumi.ResourceOptions(provider=provider, delete_before_replace=True),
)
aws.ec2.VolumeAttachment(
    "queue", device_name="/dev/sdf", volume_id=volume.id, instance_id=instance.id,
    stop_instance_before_detaching=True, opts=options,
)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "stacks").mkdir()
    (folder / "Pulumi.yaml").write_text("name: gatepost\nruntime: python\nstackConfigDir: stacks\n")
    (folder / "stacks/Pulumi.dev.yaml").write_text(STACK_FILE)
    (folder / "__main__.py").write_text(PROGRAM)
    return folder


@pytest.fixture(scope="module")
def lab(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    state = tmp_path_factory.mktemp("lab") / "state"
    made = Lab(project, state, Says(phase=print, noise=lambda _line: None))
    try:
        made.up(["dev"], tied=True)
        file = image(made)
        yield made
    finally:
        made.down()
    assert loop_devices(file) == []
    assert not state.exists()


def image(lab: Lab) -> Path:
    """The file of the one volume there is."""
    [file] = (lab.state / "volumes").iterdir()
    return file


def edit(project: Path, old: str, new: str) -> None:
    program = project / "__main__.py"
    assert old in program.read_text()
    program.write_text(program.read_text().replace(old, new))


def sh(lab: Lab, script: str) -> str:
    done = hosts.run(lab, "host", ["sh", "-c", script], stdin="", limit=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def aws(lab: Lab) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "y"}
    return boto3.client("ec2", REGION, endpoint_url=lab.record["endpoint"], **keys)


def test_a_volume_comes_late_and_outlives_its_host(lab: Lab, project: Path) -> None:
    assert sh(lab, "cat /srv/found /root/came").splitlines() == ["first blank", "late"]
    [before] = lab.world.instances
    edit(project, '"first"', '"second"')
    [result] = lab.apply(["dev"])
    [after] = lab.world.instances
    assert (result.replaced, before.id == after.id) == (2, False)
    [volume] = lab.world.volumes
    assert (volume.instance, volume.encrypted) == (after.id, True)
    assert sh(lab, "cat /srv/found").splitlines() == ["first blank", "second kept"]
    assert sh(lab, "cat /root/came") == "late"


def test_a_stopped_host_keeps_its_disks(lab: Lab) -> None:
    [instance] = lab.world.instances
    sh(lab, "echo mine >/root/mine")
    aws(lab).stop_instances(InstanceIds=[instance.id])
    lab.follow()
    assert (lab.world.instances, lab.world.stopped) == ((), (instance.id,))
    assert loop_devices(image(lab)) == []
    aws(lab).start_instances(InstanceIds=[instance.id])
    lab.follow()
    # What is attached to an instance that starts is there from its first moment.
    assert sh(lab, "cat /root/mine; tail -n 1 /root/came").splitlines() == ["mine", "early"]
    assert len(loop_devices(image(lab))) == 1


def test_a_restart_is_one_even_if_nobody_looked(lab: Lab) -> None:
    [before] = hosts.statuses(lab)[:1]
    lab.follow()
    assert hosts.statuses(lab)[0] == before
    aws(lab).stop_instances(InstanceIds=[before.instance])
    aws(lab).start_instances(InstanceIds=[before.instance])
    lab.follow()
    [after] = hosts.statuses(lab)[:1]
    assert (after.instance, after.boot_id != before.boot_id) == (before.instance, True)
    assert sh(lab, "cat /root/mine") == "mine"


def test_a_volume_grows_without_a_restart(lab: Lab, project: Path) -> None:
    [before] = hosts.statuses(lab)[:1]
    edit(project, 'SIZE = "second", 1', 'SIZE = "second", 2')
    [result] = lab.apply(["dev"])
    assert (result.updated, result.replaced) == (1, 0)
    assert hosts.statuses(lab)[0] == before
    assert sh(lab, "blockdev --getsize64 /dev/nvme1n1") == str(2 * 2**30)


def test_a_volume_without_a_host_ends_with_its_resource(lab: Lab, project: Path) -> None:
    file = image(lab)
    text = (project / "__main__.py").read_text()
    kept, _, _ = text.partition("key = aws.kms.Key")
    (project / "__main__.py").write_text(kept)
    lab.apply(["dev"])
    assert lab.world.volumes == ()
    assert (file.exists(), loop_devices(file)) == (False, [])
