"""The process that runs the lab's Internet, within the lab.

`python -m lab.internet.services --help` tells the options. It follows the files of the world and of
its faults: each new content is applied without a restart, and what came of it is told in a status
file, which `lab.internet.control` waits for. It ends when it is told to or when a service of its
own ends; all it started then ends too.
"""

from __future__ import annotations

import argparse
import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from lab.errors import LabError
from lab.faults import faults_file, parse_faults
from lab.internet.control import Followed, Options, Status
from lab.internet.internet import Internet
from lab.internet.knot import NameServerError
from lab.internet.machine import MachineError
from lab.internet.processes import ServiceError
from lab.internet.zonefile import ZoneError
from lab.world.read import from_json

FOLLOW_INTERVAL = 0.05
"""Seconds between two looks at the world file."""

FAILURES = (
    ServiceError,
    NameServerError,
    MachineError,
    ZoneError,
    LabError,
    BotoCoreError,
    ClientError,
    OSError,
    subprocess.SubprocessError,
)
"""What a status can tell of; anything else is a fault of this program and ends it."""

log = logging.getLogger("services")


def main() -> int:
    """Runs until SIGTERM or SIGINT (exit status 0) or until a service ends (1)."""
    options = parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    internet = Internet(options)
    try:
        return _follow(internet, options, told)
    finally:
        internet.close()


def _follow(internet: Internet, options: Options, told: threading.Event) -> int:
    seen: tuple[object, ...] = ()
    started = False
    files = (options.world, faults_file(options.state))
    while not told.is_set():
        now = tuple(_signature(file) for file in files)
        if now != seen:
            seen = now
            error = _take_up(internet, options, started=started)
            if error is not None and not started:
                return 1
            started = True
        ended = internet.ended()
        if ended is not None:
            log.error("%s", ended)
            followed = Followed.read(options.state, options.world)
            Status(followed=followed.digest, error=ended).write(options.state)
            return 1
        told.wait(FOLLOW_INTERVAL)
    return 0


def _take_up(internet: Internet, options: Options, *, started: bool) -> str | None:
    """Applies what is followed; the status written, and returned, is the error or None."""
    followed = Followed.read(options.state, options.world)
    error = None
    try:
        world, faults = from_json(followed.world.decode()), parse_faults(followed.faults.decode())
        if not started:
            internet.start(world, faults)
        internet.apply(world, faults)
    except FAILURES as failure:
        log.exception("the world file cannot be applied")
        error = str(failure)
    Status(followed=followed.digest, error=error).write(options.state)
    return error


def _signature(file: Path) -> tuple[int, int] | None:
    """Changes whenever the file is made, replaced or written to."""
    if not file.exists():
        return None
    status = file.stat()
    return status.st_ino, status.st_mtime_ns


def parse(argv: list[str]) -> Options:
    """The options on the command line that `lab.internet.control.command` makes."""
    parser = argparse.ArgumentParser(prog="lab.internet.services", description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="the world file to follow")
    parser.add_argument("--state", type=Path, required=True, help="the lab's folder")
    parser.add_argument("--emulator", required=True, help="URL of the AWS API")
    parser.add_argument("--mirror", type=Path, required=True, help="folder of Debian packages")
    parser.add_argument(
        "--mirror-name", action="append", default=[], help="a host name of Debian's archive"
    )
    parser.add_argument(
        "--lower", type=Path, action="append", required=True, help="a root layer, topmost first"
    )
    given = parser.parse_args(argv)
    return Options(
        world=given.world,
        state=given.state,
        lower=tuple(given.lower),
        emulator=given.emulator,
        mirror=given.mirror,
        mirror_names=tuple(given.mirror_name),
    )


if __name__ == "__main__":
    sys.exit(main())
