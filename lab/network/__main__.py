"""`python -m lab.network --world FILE`, within the lab: make the network that of FILE.

`--faults FILE` names what is broken in it on purpose."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lab.faults import read_faults
from lab.network.errors import NetworkError
from lab.network.fabric import Fabric
from lab.world.read import from_json

RUNTIME = Path("/run/lab")
"""The lab's own tmpfs: what is recorded there ends with the network it tells of."""


def main() -> int:
    """Exit status 1, with the reason on standard error, if the network cannot be built."""
    parser = argparse.ArgumentParser(prog="python -m lab.network", description=__doc__)
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--faults", type=Path, required=True)
    arguments = parser.parse_args()
    world = from_json(arguments.world.read_text())
    try:
        Fabric(RUNTIME).apply(world, read_faults(arguments.faults))
    except NetworkError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
