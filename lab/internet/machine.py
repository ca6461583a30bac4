"""Light machines: a Debian root of their own and their own processes, without systemd.

A machine has its own mount, PID and UTS namespaces and lives in a network namespace made before it.
It runs nothing but a first process that collects orphans; services are started in it by `popen`,
commands by `run`.
"""

from __future__ import annotations

import contextlib
import select
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lab.internet.netns import NETNS
from lab.logs import ends

RUNTIME = Path("/run/gatepost/internet")
"""On the lab's private /run: gone with the lab, so that no stale file is ever believed."""

SHARED = "/etc/lab"
"""In the machine: the folder that the outside writes its configuration into."""

ENVIRONMENT = (
    "HOME=/root",
    "LANG=C.UTF-8",
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)
BOOT_LIMIT = 20.0
"""Seconds; a boot takes some 0.05."""
_BOOTED = b"booted\n"

_BOOT = f"""
set -eu
root=$1 lower=$2 upper=$3 work=$4 shared=$5 name=$6 init=$7
# /proc is still the lab's, so that this is the number the lab knows the first process by.
read -r number rest < /proc/self/stat
echo "$number $(readlink "/proc/$number/ns/mnt")" > "$init"
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$upper,workdir=$work" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    : > "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for stream in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${{stream%%:*}}" "$root/dev/${{stream#*:}}"
done
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root{SHARED}"
mount --bind "$shared" "$root{SHARED}"
hostname "$name"
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old
echo {_BOOTED.decode().strip()}
exec sh -c 'while :; do sleep 3600 & wait $!; done' init >/dev/null
"""
"""The loop at the end is the first process: a shell's `wait` also collects adopted children."""

NOT_RUNNING = 125
"""Exit status of a command for a machine that does not run, as docker-run(1) has it."""
_ENTER = f"""
init=$1 name=$2 net=$3; shift 3
if ! read -r number mount < "$init" || [ "$(readlink "/proc/$number/ns/mnt")" != "$mount" ]; then
    echo "machine $name is not running" >&2
    exit {NOT_RUNNING}
fi
exec nsenter --target "$number" --mount --uts --pid --net="$net" -- "$@"
"""
"""The number alone could by now be another process's; the mount namespace tells."""


class MachineError(RuntimeError):
    """A light machine did not start."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A light machine in the network namespace `name`; `hostname` is what uname(2) says."""

    name: str
    hostname: str
    runtime: Path = field(default=RUNTIME)

    @property
    def folder(self) -> Path:
        return self.runtime / self.name

    @property
    def init(self) -> Path:
        """Where the first process is noted: its number and its mount namespace."""
        return self.folder / "init"

    @property
    def shared(self) -> Path:
        """What the machine sees as SHARED."""
        return self.folder / "shared"

    def seen_from_outside(self, path: str) -> Path:
        """Where a path below SHARED is found by the lab's other processes."""
        return self.shared / Path(path).relative_to(SHARED)

    def argv(
        self,
        command: Sequence[str],
        *,
        namespace: str | None = None,
        environment: Sequence[str] = (),
    ) -> list[str]:
        """The command line that runs `command` in the machine, from within the lab.

        `namespace` names another network namespace than the machine's own.
        """
        return [
            "sh",
            "-c",
            _ENTER,
            "enter",
            str(self.init),
            self.name,
            str(NETNS / (namespace or self.name)),
            "env",
            "-i",
            *ENVIRONMENT,
            *environment,
            *command,
        ]

    def run(
        self,
        command: Sequence[str],
        *,
        namespace: str | None = None,
        stdin: bytes = b"",
        limit: float = 60.0,
        check: bool = False,
    ) -> subprocess.CompletedProcess[bytes]:
        """Runs a command in the machine to its end and captures both outputs.

        Raises:
            subprocess.TimeoutExpired: not ended within `limit` seconds.
            MachineError: it failed and `check` is set.
        """
        done = subprocess.run(
            self.argv(command, namespace=namespace), input=stdin, capture_output=True, timeout=limit
        )
        if check and done.returncode:
            raise MachineError(
                f"machine {self.name}: {' '.join(command)} ended with {done.returncode}:"
                f" {(done.stderr or done.stdout).decode(errors='replace').strip()}"
            )
        return done

    def popen(
        self, command: Sequence[str], *, log: IO[bytes], namespace: str | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a long-lived command in the machine, both outputs going to `log`."""
        return subprocess.Popen(
            self.argv(command, namespace=namespace),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def boot(
    machine: Machine,
    *,
    lower: Sequence[Path],
    files: Mapping[str, tuple[bytes, int]],
    log: IO[bytes],
) -> subprocess.Popen[bytes]:
    """Starts a machine on the layers `lower` (top first) and waits until it is up.

    `files` maps absolute paths to contents and modes, put over the layers before the start. Ends
    with the process returned: killing it kills all that runs in the machine. To be called from a
    thread that lives as long as the machine shall.

    Raises:
        MachineError: it did not come up within BOOT_LIMIT.
    """
    if machine.folder.exists():  # of a machine that ran before, with its mail and its logs
        shutil.rmtree(machine.folder)
    for part in ("root", "upper", "work", "shared"):
        (machine.folder / part).mkdir(parents=True)
    for path, (content, mode) in files.items():
        place = machine.folder / "upper" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(mode)
    process = subprocess.Popen(
        _boot_argv(machine, lower), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
    )
    _wait_booted(machine, process, log)
    return process


def _boot_argv(machine: Machine, lower: Sequence[Path]) -> list[str]:
    folder = machine.folder
    return [
        # Nothing of it outlives the process that started it, however that ended (prctl(2)).
        *("setpriv", "--pdeathsig", "KILL"),
        *("nsenter", f"--net={NETNS / machine.name}"),
        *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child"),
        *("sh", "-c", _BOOT, "boot"),
        str(folder / "root"),
        ":".join(map(str, lower)),
        str(folder / "upper"),
        str(folder / "work"),
        str(machine.shared),
        machine.hostname,
        str(machine.init),
    ]


def _wait_booted(machine: Machine, process: subprocess.Popen[Any], log: IO[bytes]) -> None:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], BOOT_LIMIT)
    if readable and process.stdout.readline() == _BOOTED:
        return
    stop(process)
    reason = "its boot failed" if readable else f"it did not come up within {BOOT_LIMIT:g} s"
    raise MachineError(f"machine {machine.name}: {reason}{ends(Path(log.name))}")


def stop(process: subprocess.Popen[Any]) -> None:
    """Kills a process started here and waits for its end."""
    with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
        process.kill()
    process.wait()
