"""EBS data volumes: a file for each, on a loop device while it is attached to a running machine.

A volume's file lasts as long as the volume does in AWS. Its device ends with the attachment, the
machine or the lab. No udev runs on a machine: the device node and the links that udev would make
(Debian's 60-persistent-storage.rules) are made here.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.holder import Holder, HolderError
from lab.machines.boot import Machine, MachineError, find, root, running
from lab.machines.loop import notice_size
from lab.waiting import wait_for
from lab.world.model import World

RECORDS = Path("/run/lab/volumes")
"""What is attached where, as the lab sees it; gone with the lab, as the devices are."""
GIB = 2**30
MODEL = "Amazon_Elastic_Block_Store"
"""An EBS volume's NVMe model, its blanks replaced as udev does; its serial number is the volume's
id without the hyphen ("Map Amazon EBS volumes to NVMe device names", EBS User Guide)."""
DISK_GROUP = 6
"""Group `disk` (base-passwd, users-and-groups), whose the nodes of disks are (50-udev-default)."""
ATTACH_LIMIT = 10.0
"""Seconds until the loop device is there: the start of a Python, on a busy host."""
RELEASE_LIMIT = 10.0
"""Seconds for the kernel to write a file system back and let its device go."""


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A volume in the /dev of one boot of a machine, as `node`."""

    volume: str
    instance: str
    boot_id: str
    node: str


def links(volume_id: str) -> list[str]:
    """The names that udev gives the volume below /dev/disk/by-id."""
    name = f"nvme-{MODEL}_{volume_id.replace('-', '')}"
    namespace = "_1"
    return [name, name + namespace]


def image(holder: Holder, volume_id: str) -> Path:
    """The volume's file, which is as large as the volume but sparse."""
    return holder.state / "volumes" / f"{volume_id}.img"


def loop_files() -> dict[Path, Path]:
    """The host's loop devices, whosever they are, and the file that each is on."""
    found = {}
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            backing = path.read_text().removesuffix("\n")
        except OSError:
            continue  # The kernel has taken the device away meanwhile.
        found[Path("/dev") / path.parts[3]] = Path(backing.removesuffix(" (deleted)"))
    return found


def loop_devices(file: Path) -> list[Path]:
    """The host's loop devices that `file` is on."""
    return [device for device, backing in loop_files().items() if backing == file]


def release(holder: Holder, world: World) -> None:
    """Detach what AWS does not attach, or not to that machine; drop the files of volumes gone.

    Raises MachineError if a machine has the volume's file system mounted.
    """
    wanted = {(volume.id, volume.instance) for volume in world.volumes}
    for attachment in list(attachments(holder)):
        machine = _machine(holder, attachment)
        if machine is None or (attachment.volume, attachment.instance) not in wanted:
            detach(holder, attachment.volume)
    kept = {image(holder, volume.id) for volume in world.volumes}
    for file in image(holder, "*").parent.glob("*.img"):
        if file not in kept:
            file.unlink()


def provide(holder: Holder, world: World) -> None:
    """Make the file of each new volume, blank, and enlarge that of a volume that has grown.

    As with EBS the device grows at once, its file system only when told (resize2fs(8)).
    """
    for volume in world.volumes:
        file = image(holder, volume.id)
        file.parent.mkdir(exist_ok=True)
        file.touch()
        if file.stat().st_size < volume.size * GIB:
            os.truncate(file, volume.size * GIB)
            for device in loop_devices(file):
                notice_size(device)


def attach_all(holder: Holder, world: World, instance_id: str) -> None:
    """Attach what AWS attaches to the running instance, in the order of its attachments."""
    mine = [volume for volume in world.volumes if volume.instance == instance_id]
    for volume in sorted(mine, key=lambda volume: (volume.attached or "", volume.id)):
        attach(holder, instance_id, volume.id)


def attach(holder: Holder, instance_id: str, volume_id: str) -> Attachment:
    """Have the volume appear in the /dev of the running machine, if it is not there.

    Its name is the first free one, whatever device name AWS was given: on Nitro instances the
    order in which volumes answer decides. Raises MachineError if the machine does not run or has
    the volume in use under another attachment.
    """
    machine = running(holder, instance_id)
    dev = root(holder, machine) / "dev"
    present = _read(holder, volume_id)
    if present and present.boot_id == machine.boot_id and _by_id(dev, volume_id)[0].is_symlink():
        return present
    detach(holder, volume_id)
    number = _start_loop(holder, volume_id)
    attachment = Attachment(
        volume=volume_id, instance=instance_id, boot_id=machine.boot_id, node=_free_node(dev)
    )
    _record(holder, volume_id).write_text(json.dumps(asdict(attachment)))
    _make_node(dev / attachment.node, number)
    for link in _by_id(dev, volume_id):
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("../..") / attachment.node)
    return attachment


def detach(holder: Holder, volume_id: str) -> None:
    """Take the volume out of its machine's /dev, if it is in one, and its file off the device.

    Raises MachineError if something has the device in use for longer than RELEASE_LIMIT.
    """
    attachment = _read(holder, volume_id)
    machine = _machine(holder, attachment) if attachment else None
    if attachment and machine:
        dev = root(holder, machine) / "dev"
        for path in (*_by_id(dev, volume_id), dev / attachment.node):
            path.unlink(missing_ok=True)
    process = holder.process(_process_name(volume_id))
    if process:
        process.signal(signal.SIGKILL)
    file = image(holder, volume_id)

    def released() -> bool:
        # The process lets go of its device before it has ended; until then its name is taken.
        return not loop_devices(file) and not (process and process.alive())

    if not wait_for(released, RELEASE_LIMIT):
        where = attachment.instance if attachment else "a machine that has ended"
        raise MachineError(
            f"{volume_id} is in use by {where} {RELEASE_LIMIT:g} s after it was detached: its "
            "file system must be unmounted, or the instance stopped, before"
        )
    _record(holder, volume_id).unlink(missing_ok=True)


def attachments(holder: Holder) -> Iterator[Attachment]:
    """All attachments of the lab, those to machines that have ended included."""
    for path in sorted(holder.inside(RECORDS).glob("*.json")):
        yield Attachment(**json.loads(path.read_text()))


def _record(holder: Holder, volume_id: str) -> Path:
    return holder.inside(RECORDS) / f"{volume_id}.json"


def _read(holder: Holder, volume_id: str) -> Attachment | None:
    path = _record(holder, volume_id)
    return Attachment(**json.loads(path.read_text())) if path.exists() else None


def _machine(holder: Holder, attachment: Attachment) -> Machine | None:
    """The machine, if it still is in the boot that the volume was attached to."""
    machine = find(holder, attachment.instance)
    return machine if machine and machine.boot_id == attachment.boot_id else None


def _by_id(dev: Path, volume_id: str) -> list[Path]:
    return [dev / "disk/by-id" / name for name in links(volume_id)]


def _process_name(volume_id: str) -> str:
    return f"volume-{volume_id}"


def _start_loop(holder: Holder, volume_id: str) -> int:
    """Put the volume's file on a loop device; returns the device's number (makedev(3))."""
    holder.inside(RECORDS).mkdir(parents=True, exist_ok=True)
    number = RECORDS / f"{volume_id}.device"
    written = holder.inside(number)
    written.unlink(missing_ok=True)
    file = image(holder, volume_id)
    command = [sys.executable, "-m", "lab.machines.loop", str(file), str(number)]
    try:
        process = holder.popen(_process_name(volume_id), command)
    except HolderError as error:
        raise MachineError(f"{volume_id} cannot be attached: {error}") from error
    wait_for(lambda: written.exists() or not process.alive(), ATTACH_LIMIT)
    if not written.exists():
        said = holder.log(process.name).read_text()[-2000:].strip()
        raise MachineError(f"{volume_id} cannot be attached: {said or 'no loop device'}")
    major, minor = map(int, written.read_text().split(":"))
    return os.makedev(major, minor)


def _free_node(dev: Path) -> str:
    """The next NVMe name; nvme0 is the root volume."""
    number = 1
    while (dev / f"nvme{number}n1").exists():
        number += 1
    return f"nvme{number}n1"


def _make_node(path: Path, number: int) -> None:
    """Make the block device's node as udev would: for root and the group disk."""
    os.mknod(path, stat.S_IFBLK | 0o600, number)
    os.chown(path, 0, DISK_GROUP)
    path.chmod(0o660)
