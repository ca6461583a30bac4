"""Data volumes on whole machines: late, formatted once, kept from instance to instance."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.holder import Holder
from lab.machines import boot, volumes
from lab.machines.boot import MachineError, execute
from lab.machines.image import Image, Images
from lab.session import cache_folder
from lab.waiting import wait_for
from lab.world.model import Instance, Volume, World
from tests.lab.machines import bench
from tests.lab.machines.bench import SUBNET, Bench, instance

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and loop devices"),
]

ROOT = Path(__file__).parents[3]
LIMIT = 60.0
QUEUE, MAIL = "vol-0123456789abcdef0", "vol-0123456789abcdef1"
LINK = "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0123456789abcdef0"
SCRIPT = textwrap.dedent(f"""\
    #!/bin/sh
    set -e
    until [ -b {LINK} ]; do sleep 0.1; done
    if blkid --probe {LINK}; then state=kept; else state=blank; mkfs.ext4 -q {LINK}; fi
    mount {LINK} /srv
    echo $state >>/srv/found
    hostname >>/srv/hosts
    """).encode()
IDLE = b"#cloud-config\n{}\n"


def volume(id: str = QUEUE, to: Instance | None = None, **more: object) -> Volume:
    """A volume of 1 GiB, attached to an instance or to none."""
    made = Volume(id=id, name="", size=1, zone=SUBNET.zone, encrypted=True)
    if to is not None:
        made = replace(made, instance=to.id, device="/dev/sdf", attached="2026-01-01T00:00:00")
    return replace(made, **more)


def world(*volumes: Volume) -> World:
    return replace(bench.world(), volumes=volumes)


@pytest.fixture(scope="module")
def base() -> Image:
    return Images(cache_folder(), print).base()


@pytest.fixture(scope="module")
def lab(base: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    holder = Holder.start(tmp_path_factory.mktemp("volumes"), tied=True)
    try:
        made = Bench(holder=holder)
        made.prepare()
        yield made
    finally:
        holder.stop()
    assert left_of(holder) == []


def left_of(holder: Holder) -> list[str]:
    """Loop devices that hold a file of this lab."""
    backed = volumes.loop_files().items()
    return [device.name for device, file in backed if file.is_relative_to(holder.state)]


@pytest.fixture(scope="module")
def idle(lab: Bench, base: Image) -> Instance:
    item = instance(4, IDLE)
    lab.start_alone(item, base)
    boot.wait_booted(lab.holder, item.id, LIMIT)
    return item


@pytest.fixture
def machine(lab: Bench, idle: Instance) -> Iterator[Instance]:
    """One that runs and has no volume."""
    yield idle
    sh(lab, idle, "! mountpoint -q /srv || umount /srv")
    volumes.release(lab.holder, world())


def end(lab: Bench, item: Instance) -> None:
    boot.terminate(lab.holder, item.id)
    volumes.release(lab.holder, world())
    lab.detach(item)


def give(lab: Bench, item: Instance, *wanted: Volume) -> World:
    """Attach volumes to the running machine."""
    made = world(*wanted)
    volumes.provide(lab.holder, made)
    volumes.attach_all(lab.holder, made, item.id)
    return made


def sh(lab: Bench, item: Instance, script: str) -> str:
    done = execute(lab.holder, item.id, ["sh", "-c", script])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_is_on_a_volume_outlives_the_instance(lab: Bench, base: Image) -> None:
    for item in (instance(1, SCRIPT), instance(2, SCRIPT)):
        lab.start_alone(item, base)
        wait_for(lambda item=item: boot.has_configured_disks(lab.holder, item.id), LIMIT)
        give(lab, item, volume(to=item))
        boot.wait_booted(lab.holder, item.id, LIMIT)
        found, hosts = (sh(lab, item, f"cat /srv/{name}").split() for name in ("found", "hosts"))
        assert boot.stop(lab.holder, item.id), "the shutdown was not clean"
        volumes.release(lab.holder, world(volume()))
        assert left_of(lab.holder) == []
        boot.terminate(lab.holder, item.id)
        lab.detach(item)
    assert found == ["blank", "kept"]
    assert len(set(hosts)) == 2
    volumes.release(lab.holder, world())
    assert not volumes.image(lab.holder, QUEUE).exists()


DAMAGES = {
    "random data": "dd if=/dev/urandom of=$device bs=4096 count=16 conv=notrunc",
    "a superblock lost": "mkfs.ext4 -q $device; dd if=/dev/zero of=$device bs=1024 seek=1 count=1",
    "its beginning lost": "mkfs.ext4 -q $device; dd if=/dev/zero of=$device bs=1M count=64",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_not_blank_is_not_formatted(lab: Bench, machine: Instance, damage: str) -> None:
    """The script of the program's own machines; what blkid does not know may still be mail."""
    give(lab, machine, volume(to=machine))
    sh(lab, machine, f"device={LINK}; {damage} 2>&1; sync")
    before = sh(lab, machine, f"sha256sum <{LINK}")
    done = prepare(lab, machine)
    assert (done.returncode, sh(lab, machine, f"sha256sum <{LINK}")) == (1, before)
    assert f"volume {QUEUE}: must be ext4 or blank to be used, got something" in done.stderr
    # As the message says, but for the reboot.
    sh(lab, machine, f"blkdiscard -z {LINK} && wipefs {LINK}")
    assert prepare(lab, machine).returncode == 0
    assert sh(lab, machine, "findmnt -no FSTYPE /mnt && umount /mnt") == "ext4"


def test_a_blank_volume_is_formatted_once(lab: Bench, machine: Instance) -> None:
    give(lab, machine, volume(to=machine))
    assert prepare(lab, machine).returncode == 0
    sh(lab, machine, "echo x >/mnt/x && umount /mnt")
    assert prepare(lab, machine).returncode == 0
    assert sh(lab, machine, "cat /mnt/x && umount /mnt") == "x"


def prepare(lab: Bench, item: Instance) -> subprocess.CompletedProcess[str]:
    """Run the program's own script for the volume, which mounts it at /mnt."""
    script = (ROOT / "userdata" / "machine" / "gatepost-volume").read_text()
    execute(lab.holder, item.id, ["tee", "/run/gatepost-volume"], stdin=script)
    return execute(
        lab.holder,
        item.id,
        ["env", f"VOLUME={QUEUE}", "MOUNT=/mnt", "PURPOSE=mail", "sh", "/run/gatepost-volume"],
    )


def test_names_follow_the_order_of_attachment(lab: Bench, machine: Instance) -> None:
    second = volume(QUEUE, machine, device="/dev/sdf", attached="2026-01-01T00:00:02")
    first = volume(MAIL, machine, device="/dev/sdg", attached="2026-01-01T00:00:01", size=2)
    made = give(lab, machine, second, first)
    names = [f"basename $(readlink -f {LINK[:-1]}{digit})" for digit in "01"]
    assert sh(lab, machine, "; ".join(names)).split() == ["nvme2n1", "nvme1n1"]
    assert sh(lab, machine, f"readlink {LINK}_1") == "../../nvme2n1"
    assert sh(lab, machine, "blockdev --getsize64 /dev/nvme1n1") == str(2 * volumes.GIB)
    assert sh(lab, machine, "stat -c '%U %G %a %F' /dev/nvme1n1") == (
        "root disk 660 block special file"
    )
    before = list(volumes.attachments(lab.holder))
    give(lab, machine, second, first)
    assert list(volumes.attachments(lab.holder)) == before

    volumes.release(lab.holder, replace(made, volumes=(second, volume(MAIL))))
    assert sh(lab, machine, "cd /dev; ls -d nvme* disk/by-id/*1") == f"{LINK[5:]}_1\nnvme2n1"
    give(lab, machine, second, first)
    assert sh(lab, machine, "ls -d /dev/nvme*").split() == ["/dev/nvme1n1", "/dev/nvme2n1"]


def test_a_mounted_volume_is_not_taken_away(
    lab: Bench, machine: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volumes, "RELEASE_LIMIT", 0.5)
    give(lab, machine, volume(to=machine))
    sh(lab, machine, f"mkfs.ext4 -q {LINK} && mount {LINK} /srv && echo x >/srv/x")
    with pytest.raises(MachineError, match=rf"{QUEUE} is in use by {machine.id}"):
        volumes.release(lab.holder, world(volume()))
    assert sh(lab, machine, "cat /srv/x") == "x"
    with pytest.raises(MachineError, match="in use"):
        volumes.attach(lab.holder, machine.id, QUEUE)
    sh(lab, machine, "umount /srv")
    give(lab, machine, volume(to=machine))
    assert sh(lab, machine, f"mount {LINK} /srv && cat /srv/x") == "x"


def test_a_volume_grows_under_its_file_system(lab: Bench, machine: Instance) -> None:
    give(lab, machine, volume(to=machine))
    sh(lab, machine, f"mkfs.ext4 -q {LINK} && mount {LINK} /srv")
    give(lab, machine, volume(to=machine, size=3))
    assert sh(lab, machine, f"blockdev --getsize64 {LINK}") == str(3 * volumes.GIB)
    size = "df --block-size=1M --output=size /srv | tail -1"
    assert int(sh(lab, machine, size)) < 1024
    # Online this needs a capability (CAP_SYS_RESOURCE) that a container as host may lack.
    grow = f"umount /srv && e2fsck -fp {LINK} && resize2fs {LINK} && mount {LINK} /srv"
    sh(lab, machine, grow)
    assert int(sh(lab, machine, size)) > 2 * 1024
    used = volumes.image(lab.holder, QUEUE).stat().st_blocks * 512
    assert used < volumes.GIB / 4, "the file is not sparse"


def test_systemd_mounts_it_by_a_unit(lab: Bench, machine: Instance) -> None:
    give(lab, machine, volume(to=machine))
    unit = f"[Mount]\nWhat={LINK}\nWhere=/srv\nType=ext4\n"
    execute(lab.holder, machine.id, ["tee", "/etc/systemd/system/srv.mount"], stdin=unit)
    # systemd may know the place already, from other mounts there.
    sh(lab, machine, f"mkfs.ext4 -q {LINK} && systemctl daemon-reload && systemctl start srv.mount")
    assert sh(lab, machine, "findmnt --noheadings --output FSTYPE /srv") == "ext4"


def test_a_stop_keeps_the_volume_and_a_boot_has_a_new_dev(lab: Bench, base: Image) -> None:
    item = instance(3, IDLE)
    lab.start_alone(item, base)
    boot.wait_booted(lab.holder, item.id, LIMIT)
    attached = give(lab, item, volume(to=item))
    sh(lab, item, f"mkfs.ext4 -q {LINK} && mount {LINK} /srv && echo x >/srv/x")
    boot.kill(lab.holder, item.id)
    volumes.release(lab.holder, attached)
    assert left_of(lab.holder) == []
    assert volumes.image(lab.holder, QUEUE).exists()
    assert boot.has_disk(lab.holder, item.id)
    boot.boot(lab.holder, item, base)
    volumes.attach_all(lab.holder, attached, item.id)
    assert sh(lab, item, f"mount {LINK} /srv && cat /srv/x") == "x"
    end(lab, item)


def test_a_machine_that_does_not_run_gets_nothing(lab: Bench) -> None:
    volumes.provide(lab.holder, world(volume()))
    with pytest.raises(MachineError, match="i-0 is not running"):
        volumes.attach(lab.holder, "i-0", QUEUE)
    volumes.release(lab.holder, world())


def test_a_failed_loop_device_is_told(lab: Bench, machine: Instance) -> None:
    volumes.image(lab.holder, QUEUE).parent.mkdir(exist_ok=True)
    with pytest.raises(MachineError, match=rf"{QUEUE} cannot be attached.*No such file"):
        volumes.attach(lab.holder, machine.id, QUEUE)


def test_two_labs_do_not_meet(lab: Bench, machine: Instance, base: Image, tmp_path: Path) -> None:
    with_volume(tmp_path, base, tied=True)
    other = Holder.find(tmp_path)
    assert other is not None
    give(lab, machine, volume(to=machine))
    assert execute(other, instance(1).id, ["mount", LINK, "/srv"]).returncode == 0
    assert sh(lab, machine, f"blkid --probe {LINK} || echo blank") == "blank"
    assert len(left_of(other)) == len(left_of(lab.holder)) == 1
    other.stop()
    assert (left_of(other), len(left_of(lab.holder))) == ([], 1)


def with_volume(state: Path, image: Image, *, tied: bool) -> Holder:
    """A lab whose one machine has a file system mounted from a volume."""
    made = Bench(holder=Holder.start(state, tied=tied))
    made.prepare()
    item = instance(1, IDLE)
    made.start_alone(item, image)
    give(made, item, volume(to=item))
    sh(made, item, f"mkfs.ext4 -q {LINK} && mount {LINK} /mnt && echo x >/mnt/x")
    return made.holder


def test_no_device_stays_when_the_holder_is_killed(base: Image, tmp_path: Path) -> None:
    holder = with_volume(tmp_path, base, tied=True)
    assert len(left_of(holder)) == 1
    os.kill(holder.record.pid, signal.SIGKILL)
    assert wait_for(lambda: left_of(holder) == [], 5)
    holder.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_device_stays_when_the_command_ends(number: signal.Signals, tmp_path: Path) -> None:
    """The lab is tied to the command that started it, as that of `make lab` is."""
    command = [sys.executable, __file__, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"mounted\n"
        holder = Holder.find(tmp_path)
        assert holder is not None
        assert len(left_of(holder)) == 1
        process.send_signal(number)
    assert wait_for(lambda: left_of(holder) == [], 5)
    holder.stop()


if __name__ == "__main__":
    # What the test above starts and ends.
    with_volume(Path(sys.argv[1]), Images(cache_folder(), print).base(), tied=True)
    print("mounted", flush=True)
    signal.pause()
