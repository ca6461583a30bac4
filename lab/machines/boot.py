"""Booting instances as whole machines inside a running lab, and dealing with them while they run.

A machine's disk is a directory on the lab's own tmpfs: it outlives a stop, as an instance's root
volume does, and ends with terminate() or the lab.
"""

from __future__ import annotations

import json
import shutil
import signal
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.holder import Holder, HolderError
from lab.holder.entered import entered
from lab.holder.holder import RUN_LIMIT, Completed
from lab.holder.record import start_time
from lab.machines.image import Image
from lab.machines.trust import Trust, install
from lab.waiting import wait_for
from lab.world.model import Instance

BOOT_SCRIPT = Path(__file__).with_name("boot.sh")
MACHINES = Path("/run/lab/machines")
"""Where machines have their directories, as the lab sees it."""
UNSHARE = (
    *("unshare", "--mount", "--uts", "--ipc", "--cgroup", "--pid"),
    *("--fork", "--kill-child"),
)
WITHHELD = ",".join(f"-{name}" for name in ("sys_time", "syslog", "sys_module", "sys_rawio"))
LIMITED = ("setpriv", f"--bounding-set={WITHHELD}", f"--inh-caps={WITHHELD}", "--")
"""Capabilities that would reach through to the host: its clock, log, modules and hardware
(capabilities(7)). Whatever runs on a machine runs without them."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Debian's PATH for root (login(1))."""
PID_LIMIT = 20.0
"""Seconds until PID 1 of a machine exists: some mounts, on a host that boots others meanwhile."""
STOP_LIMIT = 30.0
"""Seconds for a clean shutdown. EC2 gives an operating system minutes; nothing here takes long."""
KILL_LIMIT = 10.0
POWER_OFF = signal.SIGRTMIN + 4
"""Makes systemd start poweroff.target (systemd(1), "Signals")."""
STATUS = "run/cloud-init/status.json"
"""What each of cloud-init's stages has come to in this boot (cloud-init, "Reported status")."""
RESULT = "run/cloud-init/result.json"
"""Written at the very end of cloud-init's last stage (cloud-init, "Reported status")."""
LOWER = "lower"
"""The file of a machine's directory that tells what its disk lies on; there from its first boot."""
LOG_LINES = 30


class MachineError(LabError):
    """A machine did not do what was asked of it; the message names the instance and the reason."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One boot of an instance; `pid` is its PID 1 as the lab sees it."""

    instance_id: str
    pid: int
    started: int
    boot_id: str
    """Another one after every boot, as in /proc/sys/kernel/random/boot_id (random(4))."""


def boot(holder: Holder, instance: Instance, image: Image, trust: Trust | None = None) -> Machine:
    """Start the instance and return once its PID 1 runs; cloud-init goes on (see wait_booted).

    The network namespace named by the instance's id must hold its eth0. `trust` is what a new
    disk has of the lab's Internet. A machine that was stopped boots from the disk it had. Raises
    MachineError if it runs already or its PID 1 does not come up.
    """
    if find(holder, instance.id):
        raise MachineError(f"{instance.id} runs already: stop it first")
    directory = holder.inside(MACHINES / instance.id)
    _prepare(directory, image, trust)
    group = _group(holder, instance.id)
    holder.run(["mkdir", "-p", group])
    inner = MACHINES / instance.id
    lower = _lower(directory, image)
    # The group is entered first: the cgroup namespace shows it as its root (cgroup_namespaces(7)).
    enter = f'echo $$ >{group}/cgroup.procs && exec "$@"'
    script = ["sh", str(BOOT_SCRIPT), str(inner), lower, *LIMITED]
    try:
        process = holder.popen(
            f"machine-{instance.id}",
            ["sh", "-ec", enter, "sh", *UNSHARE, *script],
            netns=instance.id,
        )
    except HolderError as error:
        raise MachineError(f"{instance.id} cannot be started: {error}") from error
    wait_for(lambda: (directory / "pid").exists() or not process.alive(), PID_LIMIT)
    machine = find(holder, instance.id)
    if machine is None:
        said = holder.log(process.name).read_text()[-2000:].strip()
        raise MachineError(f"{instance.id} did not come up: {said}")
    return machine


def find(holder: Holder, instance_id: str) -> Machine | None:
    """The machine as it runs now, or None if it does not."""
    directory = holder.inside(MACHINES / instance_id)
    try:
        pid, started = map(int, (directory / "pid").read_text().split())
    except FileNotFoundError:
        return None
    if start_time(pid, holder.inside("/proc")) != started:
        return None
    boot_id = (directory / "boot_id").read_text().strip()
    return Machine(instance_id=instance_id, pid=pid, started=started, boot_id=boot_id)


def running(holder: Holder, instance_id: str) -> Machine:
    """The machine as it runs now; raises MachineError if it does not."""
    machine = find(holder, instance_id)
    if machine is None:
        raise MachineError(f"{instance_id} is not running")
    return machine


def root(holder: Holder, machine: Machine) -> Path:
    """The machine's root directory, seen from outside."""
    return holder.inside(f"/proc/{machine.pid}/root")


def execute(
    holder: Holder,
    instance_id: str,
    argv: Sequence[str],
    *,
    stdin: str = "",
    check: bool = False,
    limit: float = RUN_LIMIT,
) -> Completed:
    """Run a command on the machine as its root; returns status and output as Holder.run does.

    Raises MachineError if the machine does not run, HolderError as Holder.run.
    """
    machine = running(holder, instance_id)
    return holder.run(entering(machine, argv), stdin=stdin, check=check, limit=limit)


def entering(machine: Machine, argv: Sequence[str]) -> list[str]:
    """The command that, inside the lab, runs `argv` on the machine with a clean environment."""
    clean = ["env", "-i", "--chdir=/", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"]
    return ["nsenter", f"--target={machine.pid}", "--all", "--", *clean, *LIMITED, *argv]


def has_disk(holder: Holder, instance_id: str) -> bool:
    """Whether the instance has been booted before, and has not been terminated since."""
    return holder.inside(MACHINES / instance_id).exists()


def has_configured_disks(holder: Holder, instance_id: str) -> bool:
    """Whether cloud-init is past its network stage, in which it sets up and mounts disks.

    Raises MachineError if the machine is not running.
    """
    status = root(holder, running(holder, instance_id)) / STATUS
    if not status.exists():
        return False
    return json.loads(status.read_text())["v1"]["init"]["finished"] is not None


def is_ready(holder: Holder, instance_id: str) -> bool:
    """Whether cloud-init has ended on the machine; raises MachineError if that is not running."""
    return (root(holder, running(holder, instance_id)) / RESULT).exists()


def wait_booted(holder: Holder, instance_id: str, limit: float) -> None:
    """Wait until cloud-init has ended and require that it had nothing to complain of.

    Raises MachineError after `limit` seconds, if the machine ends meanwhile, and if the status is
    anything but `done` without errors and recoverable errors (cloud-init status(1): a misspelt or
    failing user data is `degraded done` at most).
    """
    if not wait_for(lambda: is_ready(holder, instance_id), limit):
        raise MachineError(
            f"{instance_id}: cloud-init has not ended after {limit:g} s:\n"
            + _journal(holder, instance_id)
        )
    if not _complains(holder, instance_id):
        return
    status = _cloud_init_status(holder, instance_id)
    if status["extended_status"] == "done" and not status["errors"]:
        return
    complaints = list(status["errors"])
    for level, texts in status["recoverable_errors"].items():
        complaints += [f"{level}: {text}" for text in texts]
    raise MachineError(
        f"{instance_id}: cloud-init is {status['extended_status']!r}, not 'done':\n"
        + "\n".join(f"  {complaint}" for complaint in complaints)
        + f"\n{_details(holder, instance_id)}"
    )


def stop(holder: Holder, instance_id: str, limit: float = STOP_LIMIT) -> bool:
    """Shut the machine down and wait; after `limit` seconds kill it. Its disk stays.

    Returns whether the shutdown was clean. A machine that does not run is left alone.
    """
    machine = find(holder, instance_id)
    if machine is None:
        return True
    # systemd-shutdown stops every process before it kills them, and nsenter(1) stops itself with
    # the command that it waits for: nobody would wake it again.
    for guest in entered(holder.inside("/proc"), machine.pid):
        if guest != machine.pid:
            holder.run(["kill", "-KILL", str(guest)], check=False)
    _signal(holder, machine, POWER_OFF)
    clean = wait_for(lambda: find(holder, instance_id) is None, limit)
    kill(holder, instance_id)
    return clean


def kill(holder: Holder, instance_id: str) -> None:
    """End the machine at once, as if its power failed; its disk stays.

    Raises MachineError if it does not end.
    """
    machine = find(holder, instance_id)
    if machine:
        _signal(holder, machine, signal.SIGKILL)
    process = holder.process(f"machine-{instance_id}")
    if process:
        # It may not have come as far as a PID 1; that, if there is one, dies with it.
        process.signal(signal.SIGKILL)
    group = _group(holder, instance_id)
    remove = ["find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"]

    def gone() -> bool:
        """The kernel lets a group go once nothing runs in it."""
        outside = holder.inside(group)
        return not outside.exists() or holder.run(remove, check=False).returncode == 0

    if not wait_for(gone, KILL_LIMIT):
        raise MachineError(f"{instance_id} lives on {KILL_LIMIT:g} s after SIGKILL")


def terminate(holder: Holder, instance_id: str) -> None:
    """End the machine at once and drop its disk."""
    kill(holder, instance_id)
    directory = holder.inside(MACHINES / instance_id)
    if directory.exists():
        shutil.rmtree(directory)


def _group(holder: Holder, instance_id: str) -> str:
    return f"/run/cgroup/{holder.group}/{instance_id}"


def _signal(holder: Holder, machine: Machine, number: int) -> None:
    holder.run(["kill", f"-{int(number)}", str(machine.pid)], check=False)


def _lower(directory: Path, image: Image) -> str:
    """What the disk lies on, for overlayfs: whatever image the first boot was from."""
    kept = directory / LOWER
    if not kept.exists():
        kept.write_text(":".join(str(path) for path in image.layers))
    return kept.read_text()


def _prepare(directory: Path, image: Image, trust: Trust | None) -> None:
    """Make the machine's directory ready for a boot."""
    for name in ("upper", "work", "root"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "net").mkdir(exist_ok=True)
    (directory / "pid").unlink(missing_ok=True)
    (directory / "boot_id").write_text(f"{uuid.uuid4()}\n")
    uuid_file = directory / "hypervisor_uuid"
    if not uuid_file.exists():
        uuid_file.write_text("ec2" + str(uuid.uuid4())[3:] + "\n")
    if trust and not (directory / LOWER).exists():
        install(trust, directory / "upper", image.layers)


def _complains(holder: Holder, instance_id: str) -> bool:
    """Whether any of cloud-init's stages has said anything, by the files that its command reads.

    The command itself takes half a second of processor on each machine, while others boot.
    """
    run = root(holder, running(holder, instance_id))
    stages = json.loads((run / STATUS).read_text())["v1"].values()
    said = [stage for stage in stages if isinstance(stage, dict)]
    said.append(json.loads((run / RESULT).read_text())["v1"])
    return any(each["errors"] or each.get("recoverable_errors") for each in said)


def _cloud_init_status(holder: Holder, instance_id: str) -> dict:
    done = execute(holder, instance_id, ["cloud-init", "status", "--format", "json"])
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise MachineError(f"{instance_id}: cloud-init status says: {done.stderr}") from error


def _journal(holder: Holder, instance_id: str) -> str:
    argv = ["journalctl", "--no-pager", "--output=cat", f"--lines={LOG_LINES}"]
    return execute(holder, instance_id, argv).stdout


def _details(holder: Holder, instance_id: str) -> str:
    """What the schema says against the user data, and the end of what cloud-init printed."""
    schema = execute(holder, instance_id, ["cloud-init", "schema", "--system"])
    log = "/var/log/cloud-init-output.log"
    output = execute(holder, instance_id, ["tail", f"--lines={LOG_LINES}", log]).stdout
    found = f"{schema.stdout}{schema.stderr}".strip() if schema.returncode != 0 else "valid"
    return f"The user data by its schema: {found}\nThe end of the output:\n{output}"
