"""`python -m lab.emulator --port-file FILE [--image ID=ARCHITECTURE ...]`."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.emulator import server


def main() -> None:
    """Serve until a signal; the port file appears once requests may be sent."""
    parser = argparse.ArgumentParser(prog="lab.emulator", description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        type=server.image,
        metavar="ID=ARCHITECTURE",
        help="an AMI that may be launched, arm64 or x86_64; repeat for each",
    )
    parser.add_argument(
        "--images-file", type=Path, help="more of them as a JSON object, read again at each look"
    )
    parser.add_argument(
        "--faults-file", type=Path, help="what the lab breaks on purpose, read again at each look"
    )
    arguments = parser.parse_args()
    server.serve(
        arguments.port_file,
        tuple(arguments.image),
        arguments.images_file,
        arguments.faults_file,
    )


if __name__ == "__main__":
    main()
