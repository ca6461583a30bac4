"""The production environment in its other outbound modes, a lab for each; `relay` is its own.

Of the small environment's modes tell test_apply.py, test_direct.py and test_smarthost.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from checks.alarms import standing
from checks.ready import wait_ready
from checks.suite import Scene, run_suite
from cli.twin import Twin
from lab.waiting import wait_for
from tests.lab.session import login
from tests.lab.session.bench import Bench, copy_project, edit

STACK, HUB = "prod", "ms.example.jp"


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    project = copy_project(tmp_path_factory.mktemp("modes") / "project")
    found = Bench.of(project, tmp_path_factory.mktemp("modes-lab") / "state")
    try:
        yield found
    finally:
        found.lab.down()


def up(bench: Bench) -> Scene:
    bench.lab.up([STACK])
    twin = Twin(bench.lab)
    wait_ready(twin)
    return Scene(twin)


def failures(scene: Scene) -> list[tuple[str, str]]:
    verdicts = list(run_suite(scene.deployment))
    assert len(verdicts) >= 50
    return [(each.check, each.finding) for each in verdicts if not each.passed]


def test_every_check_passes_where_the_hub_delivers_itself(bench: Bench) -> None:
    file = bench.lab.project / "stacks" / f"Pulumi.{STACK}.yaml"
    edit(file, "    outbound: relay\n", "    outbound: direct\n")
    scene = up(bench)
    assert scene.outbound == "direct"
    assert failures(scene) == []


def test_every_check_passes_where_a_smarthost_delivers(bench: Bench) -> None:
    login.use_smarthost(bench, STACK)
    scene = up(bench)
    assert scene.outbound == "smarthost"
    assert login.put(bench, STACK, login.LOGIN).returncode == 0
    assert wait_for(lambda: standing(scene.deployment, [HUB]) == {}, login.LOOK_LIMIT)
    assert failures(scene) == []
