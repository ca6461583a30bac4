"""What a branch costs beside many others.

Deploys generated branches one after another by the real engine into an emulator; no machine is
booted. It tells the time of `up` of the last branches against a smaller company's first, and how
much of it is the emulator's: there more objects make every answer slower, as they do not at AWS.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli import branch
from cli.commands import PROJECT
from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine
from lab.engine.project import mirror
from lab.environment import remembered
from lab.reality import aws_environment
from lab.session import cache_folder
from lab.stackfile import image_architectures, region, stack_file
from lab.waiting import wait_for

ENVIRONMENT = "dev"
REPEATS = 5
"""Branches that are timed in either account; the median counts."""
QUOTAS = "vpcs=1000,internet_gateways=1000,elastic_ips=200,transit_gateways=5"
"""What a company with so many branches has asked AWS for."""
START_LIMIT = 60.0
"""Seconds for the emulator to answer."""


@dataclass(frozen=True, kw_only=True)
class Account:
    """An emulator with an environment, and the engine that deploys its branches there."""

    engine: Engine
    emulator: int
    """The emulator's process."""
    stacks: list[str]

    def timed(self, stack: str) -> tuple[float, float]:
        """Seconds of one `up`, and of the emulator's processor within."""
        used, begun = _processor(self.emulator), time.monotonic()
        self.engine.up(stack)
        return time.monotonic() - begun, _processor(self.emulator) - used


@contextmanager
def account(folder: Path, count: int) -> Generator[Account]:
    """An account with a company of `count` branches, of which the last REPEATS are to be made."""
    project = folder / "project"
    stacks = generate(project, count)
    with emulator(folder, project) as (endpoint, process):
        engine, quick = (
            Engine(
                engine=ensure_engine(cache_folder(), lambda _: None),
                state=folder / "state",
                project=project,
                endpoint=endpoint,
                region=region(project, [ENVIRONMENT]),
                checkpoints=checkpoints,
            )
            for checkpoints in (True, False)
        )
        *before, warm = stacks[:-REPEATS]
        quick.up_all([ENVIRONMENT, *before])
        # The first run after those fills caches, and is not counted.
        engine.up(warm)
        yield Account(engine=engine, emulator=process, stacks=stacks[-REPEATS:])


def measure(folder: Path, count: int) -> dict[str, float]:
    """Seconds of `up`, and of the emulator's processor, for the first and the last branches.

    The first are another company's, made in turns with the last: a machine may be a tenth faster
    or slower than it was a quarter of an hour ago.
    """
    with account(folder / "many", count) as many, account(folder / "few", 1 + REPEATS) as few:
        pairs = zip(few.stacks, many.stacks, strict=True)
        timed = [(few.timed(first), many.timed(last)) for first, last in pairs]
        changed = many.engine.up(ENVIRONMENT).changes
        refreshed = many.engine.up(ENVIRONMENT, refresh=True).changes
    if changed or refreshed:
        raise SystemExit(f"the branches changed their environment: {changed or refreshed}")
    first, last = zip(*timed, strict=True)
    return {
        "up, first branches": statistics.median(seconds for seconds, _ in first),
        "up, last branches": statistics.median(seconds for seconds, _ in last),
        "emulator, first branches": statistics.median(cpu for _, cpu in first),
        "emulator, last branches": statistics.median(cpu for _, cpu in last),
    }


def generate(project: Path, count: int) -> list[str]:
    """A copy of the project with `count` branches of `dev`, which joins them by a Transit Gateway;
    their stacks."""
    mirror(PROJECT, project)
    for path in (project / "stacks").glob(f"Pulumi.{ENVIRONMENT}-*.yaml"):
        path.unlink()
    file = stack_file(project, ENVIRONMENT)
    key = "  gatepost:environment:\n"
    file.write_text(file.read_text().replace(key, f"{key}    branch_link: transit-gateway\n"))
    names = [f"branch-{number}" for number in range(1, count + 1)]
    for name in names:
        arguments = argparse.Namespace(
            name=name,
            environment=ENVIRONMENT,
            host=f"{name}.example.jp",
            network=None,
            gateway=None,
            address=None,
        )
        for path, text in branch.files(arguments, project).items():
            path.write_text(text.replace("users: []", f"users: [someone.{name}@example.jp]"))
    return [f"{ENVIRONMENT}-{name}" for name in names]


@contextmanager
def emulator(folder: Path, project: Path) -> Generator[tuple[str, int]]:
    """A running emulator: its URL and its process."""
    port_file, images = folder / "emulator.port", folder / "images.json"
    images.write_text(json.dumps(image_architectures(project)))
    command = [sys.executable, "-m", "lab.emulator", "--port-file", str(port_file)]
    environment = {**remembered(os.environ), **aws_environment(region(project, [ENVIRONMENT]))}
    process = subprocess.Popen(
        [*command, "--images-file", str(images)],
        env={**environment, "GATEPOST_EMULATOR_QUOTAS": QUOTAS},
        cwd=PROJECT,
    )
    try:
        if not wait_for(port_file.exists, START_LIMIT):
            raise SystemExit("the AWS emulator did not start")
        yield f"http://127.0.0.1:{port_file.read_text().strip()}", process.pid
    finally:
        process.terminate()
        process.wait()


def _processor(process: int) -> float:
    """Seconds of processor time that a process has used (proc_pid_stat(5), utime and stime)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(count: int) -> dict[str, float]:
    """Seconds of the first and the last of `count` branches, and the two ratios.

    Raises SystemExit for too few.
    """
    if count <= REPEATS:
        raise SystemExit(f"--branches: must be more than {REPEATS}, got {count}")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), count)
    whole, emulated = (found[f"{what}, last branches"] for what in ("up", "emulator"))
    before, emulated_before = (found[f"{what}, first branches"] for what in ("up", "emulator"))
    return found | {
        f"ratio: up of branch {count} / of the first": whole / before,
        "ratio: the same without the emulator": (whole - emulated) / (before - emulated_before),
    }
