"""Puts a file on a loop device and holds it there: `python -m lab.machines.loop FILE NUMBER_FILE`.

The kernel takes the device away as soon as nothing has it open or mounted any more, whoever ended
how: LO_FLAGS_AUTOCLEAR (loop(4)) is set in the same call that takes the device.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import os
import signal
import struct
import sys
from pathlib import Path

CONTROL = "/dev/loop-control"
LOOP_CTL_GET_FREE, LOOP_CONFIGURE, LOOP_SET_CAPACITY = 0x4C82, 0x4C0A, 0x4C07
LO_FLAGS_AUTOCLEAR = 4
"""Numbers of linux/loop.h."""
CONFIG = "=II40x12xI176x64x"
"""struct loop_config of linux/loop.h: the file, the block size and, of loop_info64, the flags."""
ATTEMPTS = 100
"""How often another process may be quicker to take the free device."""


def hold(file: Path) -> int:
    """Put `file` on a free device; returns the descriptor that holds it. Raises OSError."""
    with file.open("r+b") as image, open(CONTROL, "rb") as control:
        config = struct.pack(CONFIG, image.fileno(), 0, LO_FLAGS_AUTOCLEAR)
        for _ in range(ATTEMPTS):
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
            device = os.open(f"/dev/loop{number}", os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
            else:
                return device
    raise OSError(errno.EBUSY, f"no free loop device after {ATTEMPTS} attempts", str(file))


def notice_size(device: Path) -> None:
    """Have the device take up the present size of its file. Raises OSError."""
    with device.open("rb") as opened:
        fcntl.ioctl(opened, LOOP_SET_CAPACITY)


def main() -> None:
    parser = argparse.ArgumentParser(prog="lab.machines.loop", description=__doc__)
    parser.add_argument("file", type=Path, help="what the device holds")
    parser.add_argument("number", type=Path, help="where to write the device's major:minor")
    arguments = parser.parse_args()
    try:
        number = os.fstat(hold(arguments.file)).st_rdev
    except OSError as error:
        sys.exit(
            f"{arguments.file}: no loop device (is the kernel's module `loop` there?): {error}"
        )
    partial = arguments.number.with_suffix(".partial")
    partial.write_text(f"{os.major(number)}:{os.minor(number)}\n")
    partial.replace(arguments.number)
    signal.pause()


if __name__ == "__main__":
    main()
