"""Deploying again: a branch joins, nothing changes, a mistake is refused."""

from __future__ import annotations

import json

import pytest

from lab import hosts
from lab.engine.deploy import EngineError, Result
from lab.errors import LabError
from tests.lab.session.bench import Bench, declared, edit, gatepost
from tests.lab.session.conftest import Story

HOSTS = {"dev": {"ms.example.jp", "dmz-ms.example.jp"}, "dev-osaka": {"ms2.example.jp"}}


def changed(result: Result) -> int:
    return result.created + result.updated + result.replaced + result.deleted


def test_the_environment_comes_up_alone(story: Story) -> None:
    [dev] = story.alone
    assert (dev.stack, dev.created, changed(dev)) == ("dev", dev.created, dev.created)
    assert set(story.alone_ids) == HOSTS["dev"]


def test_a_branch_joins_and_the_environment_stays_as_it_is(story: Story) -> None:
    dev, osaka = story.joined
    assert (dev.stack, changed(dev), dev.same) == ("dev", 0, story.alone[0].created)
    assert (osaka.stack, osaka.created, changed(osaka)) == (
        "dev-osaka",
        osaka.created,
        osaka.created,
    )
    assert set(story.joined_ids) == HOSTS["dev"] | HOSTS["dev-osaka"]
    assert story.joined_ids.items() >= story.alone_ids.items()


def test_every_acceptance_check_passes(bench: Bench) -> None:
    lab = bench.lab
    done = gatepost(lab.project, lab.state, "check", "--json")
    verdicts = json.loads(done.stdout)
    assert [v for v in verdicts if not v["passed"]] == []
    assert done.returncode == 0
    assert len(verdicts) >= 24
    assert all(set(v) == {"check", "passed", "finding", "seconds"} for v in verdicts)
    assert all(v["check"] and v["finding"] for v in verdicts)


def test_nothing_changes_when_nothing_changed(story: Story) -> None:
    lab = story.bench.lab
    before = lab.world
    done = gatepost(lab.project, lab.state, "apply", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [
        {"stack": r.stack, "created": 0, "updated": 0, "replaced": 0, "deleted": 0, "same": same}
        for r in story.joined
        for same in [r.created + r.same]
    ]
    assert declared(lab.world) == declared(before)
    assert story.bench.boot_ids() == story.joined_ids


def test_the_real_state_is_what_the_engine_remembers(story: Story) -> None:
    results = story.bench.lab.apply([], refresh=True)
    assert [(r.stack, changed(r)) for r in results] == [("dev", 0), ("dev-osaka", 0)]
    assert story.bench.boot_ids() == story.joined_ids


def test_a_wrong_stack_file_is_refused_with_all_its_errors(bench: Bench) -> None:
    lab, before, ids = bench.lab, bench.lab.world, bench.boot_ids()
    file = lab.project / "stacks" / "Pulumi.dev.yaml"
    right = file.read_text()
    try:
        edit(file, "outbound: relay", "outbound: pigeon")
        edit(file, "10.1.0.0/16", "192.168.0.0/16")
        with pytest.raises(EngineError) as error:
            lab.apply([])
    finally:
        file.write_text(right)
    for said in ("up of dev failed", "environment.outbound", "'pigeon'", "environment.branches"):
        assert said in str(error.value)
    lab.follow()
    assert declared(lab.world) == declared(before)
    assert bench.boot_ids() == ids


def test_a_second_lab_in_the_same_folder_is_refused(bench: Bench) -> None:
    lab, ids = bench.lab, bench.boot_ids()
    done = gatepost(lab.project, lab.state, "up")
    assert done.returncode == 1
    assert f"a lab is up in {lab.state}: `gatepost lab apply` deploys again" in done.stderr
    assert bench.boot_ids() == ids


def test_hosts_have_full_names_short_names_and_ids(bench: Bench) -> None:
    relay = next(item for item in bench.lab.world.instances if item.role == "relay")
    for name in (relay.name, "dmz-ms", relay.id):
        assert hosts.find(bench.lab, name) == relay
    with pytest.raises(LabError, match="host nobody: not in this lab") as error:
        hosts.find(bench.lab, "nobody")
    for name in ("ms.example.jp", "dmz-ms.example.jp", "ms2.example.jp", "internet", "internet2"):
        assert name in str(error.value)
