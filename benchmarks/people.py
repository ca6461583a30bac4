"""What people cost who change: random changes of them under steady mail.

A lab of the demonstration's three machines, on a copy of the project. Its changes are deployed by
the real engine; a figure of a machine is read on that machine.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from checks.ready import wait_ready
from checks.suite import Scene
from cli.twin import Twin
from tests.lab.session.bench import Bench, copy_project
from tests.lab.session.company import FILES, Company, Move
from tests.lab.session.drill import CACHED, PAUSE, Drill, Steady, copy_mailbox, in_force, wrong

SEED = 6
SIZE = 10
"""People at each server when it begins, beside the demonstration's."""
AT_ONCE = 10
"""Changes between two deployments, as someone who edits a file makes them."""
MOVERS = 2
"""Of them steps of as many mailboxes that are moved."""


@dataclass
class Changes:
    """What was changed, and the seconds from the end of each `up` until in force on every host."""

    made: list[str] = field(default_factory=list)
    moved: int = 0
    in_force: list[float] = field(default_factory=list)
    from_writing: list[float] = field(default_factory=list)
    """The same from the object's writing, which is before the end of `up`."""
    ups: list[float] = field(default_factory=list)
    """Seconds of each `up`."""
    deployed: float = 0.0
    """When the last change was in force everywhere (monotonic)."""


def report(changes: int) -> dict[str, float]:
    """Figures of `changes` random changes.

    Raises SystemExit if a message was lost, doubled or sent back: then speed means nothing.
    """
    with lab() as drill:
        return _changes(drill, changes)


@contextmanager
def lab() -> Generator[Drill]:
    """A lab of `dev` and its branch with a company whose people change."""
    with tempfile.TemporaryDirectory() as folder:
        project = copy_project(Path(folder) / "project")
        bench = Bench.of(project, Path(folder) / "state")
        company = Company.start(project, seed=SEED, size=SIZE)
        company.write()
        try:
            bench.lab.up(list(FILES))
            twin = Twin(bench.lab)
            wait_ready(twin)
            yield Drill(bench=bench, scene=Scene(twin), company=company)
        finally:
            bench.lab.down()


def _changes(drill: Drill, count: int) -> dict[str, float]:
    done, company = Changes(), drill.company
    movers: list[Iterator[Move]] = [_moves(drill, done) for _ in range(MOVERS)]
    stable = company.takes_mail()
    relay, log = drill.scene.relay.public_ip, drill.bench.lab.project.parent / "steady"
    steady = Steady.start(drill.bench.lab, relay, pause=PAUSE, log=log)
    try:
        steady.to(stable)
        while len(done.made) < count or company.moving:  # what is held would stay queued
            steps = [next(mover) for mover in movers]
            done.made += [f"move {step.user}" for step in steps]
            done.made += [company.change() for _ in range(AT_ONCE - MOVERS)]
            _deploy(drill, done)
            stable &= company.takes_mail()
            steady.to(company.takes_mail() | company.refuses_mail())
        sent = steady.end()
    finally:
        steady.kill()
    if problems := wrong(drill, sent, stable):
        raise SystemExit(f"{len(problems)} things are wrong, first: {problems[:5]}")
    cuts, written = _percentiles(done.in_force), _percentiles(done.from_writing)
    return {
        "changes": len(done.made),
        "mailboxes moved": done.moved,
        "messages sent": len(sent),
        "messages taken, each in one mailbox once": sum(each.code == 250 for each in sent),
        "lost, doubled, or sent back": len(problems),
        "up with changed people, median": median(done.ups),
        "end of up to in force on every host: samples": len(done.in_force),
        "end of up to in force on every host: p50": cuts[49],
        "end of up to in force on every host: p99": cuts[98],
        "end of up to in force on every host: most": max(done.in_force),
        "writing to in force on every host (up to 1 s too large): p50": written[49],
        "writing to in force on every host (up to 1 s too large): p99": written[98],
    }


def _percentiles(values: list[float]) -> list[float]:
    """The 1st to the 99th, none beyond what was measured."""
    return quantiles(values, n=100, method="inclusive")


def _moves(drill: Drill, done: Changes) -> Iterator[Move]:
    """Moves one mailbox after the other; every step is deployed before the next is asked for."""
    while True:
        steps = drill.company.move()
        yield next(steps)
        # The queue manager may know the old way for so long; mail goes on.
        time.sleep(max(0.0, done.deployed + CACHED - time.monotonic()))
        step = next(steps)
        copy_mailbox(drill, step.user, step.source, step.target)
        yield step
        done.moved += 1
        yield next(steps)


def _deploy(drill: Drill, done: Changes) -> None:
    """`up` of each stack, and when its objects came in force on the hosts that read them."""
    drill.company.write()
    engine = drill.bench.engine()
    for stack in FILES:
        begun = time.time()
        changed = engine.up(stack).changes
        ended = time.time()
        done.ups.append(ended - begun)
        found = in_force(drill)
        new = [force for force in found if force.since > begun]
        if changed and new:
            # The last host counts: before it has them, the change is not in force.
            done.in_force.append(max(0.0, *(force.since - ended for force in new)))
            done.from_writing.append(max(force.seconds for force in new))
    done.deployed = time.monotonic()
