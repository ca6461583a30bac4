"""`python -m benchmarks [PART…] [--json]`: measure the main job, people, and branches."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from benchmarks import branches, crowd, job, people
from cli.words import table

PARTS = {
    "job": lambda arguments: job.report(arguments.runs),
    "people": lambda arguments: people.report(arguments.changes),
    "crowd": lambda arguments: crowd.report(arguments.users),
    "branches": lambda arguments: branches.report(arguments.branches),
}


def main() -> None:
    """Print each part's figures as soon as it has them; times in seconds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--runs", type=int, default=3, help="of the main job")
    parser.add_argument("--changes", type=int, default=200, help="of people, at random")
    parser.add_argument("--users", type=int, default=100_000, help="at the hub")
    parser.add_argument("--branches", type=int, default=200, help="deployed one after another")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"must be of {', '.join(PARTS)}, got {', '.join(sorted(unknown))}")
    for part in arguments.parts or PARTS:
        found = PARTS[part](arguments)
        if arguments.json:
            print(json.dumps({part: found}), flush=True)
            continue
        rows = [[part, ""], *([name, f"{value:.2f}"] for name, value in found.items())]
        print(table(rows), end="\n\n", flush=True)


if __name__ == "__main__":
    # Told to end, it takes down what it has brought up, as at Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    main()
