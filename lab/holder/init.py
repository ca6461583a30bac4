"""PID 1 of a lab: prepares its private mounts, says so, and from then on only reaps.

Started by Holder.start inside fresh mount and pid namespaces. Everything of the lab runs in this
pid namespace, so the kernel kills all of it when this process dies (pid_namespaces(7)).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from lab.holder.record import Record

MOUNTS = (
    ("tmpfs", "/run", "mode=755"),
    ("cgroup2", "/run/cgroup", ""),
)
"""Type, place and options. The tmpfs takes up to half of the memory: machines' disks are on it."""


def mount(kind: str, where: str, options: str) -> None:
    """Mount a filesystem of `kind`; raises CalledProcessError with mount(8)'s status."""
    Path(where).mkdir(parents=True, exist_ok=True)
    extra = ["-o", options] if options else []
    subprocess.run(["mount", "-t", kind, *extra, kind, where], check=True)


def reap_for_ever() -> None:
    """Wait for children as they end; without this every orphan of the lab stays a zombie."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        # Without any child there is nothing to do until the next one ends.
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                continue
        signal.sigwait({signal.SIGCHLD})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.holder.init", description=__doc__)
    parser.add_argument("record", type=Path, help="where to write pid and start time")
    parser.add_argument("ready", type=int, help="descriptor to write one line to when ready")
    arguments = parser.parse_args()
    # /proc is still the host's here: it shows the pid that others know this process by.
    record = Record.of(int(os.readlink("/proc/self")))
    for kind, where, options in MOUNTS:
        mount(kind, where, options)
    mount("proc", "/proc", "nosuid,nodev,noexec")
    record.write(arguments.record)
    os.write(arguments.ready, b"ready\n")
    os.close(arguments.ready)
    reap_for_ever()


if __name__ == "__main__":
    main()
