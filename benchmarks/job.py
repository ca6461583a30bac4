"""Time and memory of the main job on the demonstration's three machines, and its ratios.

Times are medians over the runs, in seconds, with caches warm (the first run fills them and is not
counted). A ratio is taken within each run, so that it holds where the machine's speed drifts.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.memory import lab_memory
from checks.mail import send, wait_for
from checks.ready import wait_ready
from checks.suite import Scene, run_suite
from cli.commands import PROJECT
from cli.twin import Twin
from lab.session import Lab, Says
from lab.stackfile import family

RATIOS = {
    "apply unchanged / deploy": ("apply unchanged", "deploy"),
    "boot / up and first mail": ("boot", "up and first mail"),
    "checks / up and first mail": ("checks", "up and first mail"),
}


def measure(state: Path) -> dict[str, float]:
    """One run of the main job on the demonstration's three machines: seconds, and MiB."""
    phases: list[tuple[float, str]] = []
    begun = time.monotonic()
    says = Says(
        phase=lambda text: phases.append((time.monotonic() - begun, text)), noise=lambda _: None
    )
    lab = Lab(PROJECT, state, says)
    try:
        lab.up(family(PROJECT, "dev"), tied=True)
        booted = time.monotonic() - begun
        twin = Twin(lab)
        wait_ready(twin)
        _first_mail(Scene(twin))
        first_mail = time.monotonic() - begun
        memory = lab_memory(lab.holder.record.pid)
        checks = _seconds(lambda: _all_pass(twin))
        apply = _seconds(lambda: lab.apply([]))
    finally:
        lab.down()
    deploy, network, boot = (_at(phases, word) for word in ("pulumi up", "building", "booting"))
    return {
        "start": deploy,
        "deploy": network - deploy,
        "network and Internet": boot - network,
        "boot": booted - boot,
        "up and first mail": first_mail,
        "checks": checks,
        "apply unchanged": apply,
        "memory, MiB": memory,
    }


def _first_mail(scene: Scene) -> None:
    """A message from the Internet to a mailbox inside."""
    sender, recipient = scene.outside[0], f"taro@{scene.domains[0]}"
    word = send(scene, sender.name, f"a@{sender.domain}", recipient)
    wait_for(scene, word, {recipient})


def _all_pass(twin: Twin) -> None:
    failed = [verdict.check for verdict in run_suite(twin) if not verdict.passed]
    if failed:
        raise SystemExit(f"the lab is not sound, so its speed means nothing: {failed}")


def _at(phases: list[tuple[float, str]], word: str) -> float:
    return next(when for when, text in phases if text.startswith(word))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def report(count: int) -> dict[str, float]:
    """Medians of `count` runs, and of the ratios within each."""
    runs = []
    for _ in range(count + 1):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(measure(Path(folder) / "lab"))
    counted = runs[1:]
    medians = {name: statistics.median(run[name] for run in counted) for name in counted[0]}
    return medians | {
        f"ratio: {name}": statistics.median(run[above] / run[below] for run in counted)
        for name, (above, below) in RATIOS.items()
    }
