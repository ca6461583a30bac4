"""One whole lab for most of the tests here: `dev` first, its branch added later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from checks.ready import wait_ready
from checks.suite import Scene
from cli.twin import Twin
from lab.engine.deploy import Result
from lab.host import missing
from tests.lab.session.bench import Bench, copy_project


@dataclass(frozen=True, kw_only=True)
class Story:
    """How the shared lab came to be: what each step did, and who ran after it."""

    bench: Bench
    alone: list[Result]
    alone_ids: dict[str, str]
    joined: list[Result]
    joined_ids: dict[str, str]


@pytest.fixture(scope="session", autouse=True)
def _can_run() -> None:
    problems = missing()
    if problems:
        pytest.skip("; ".join(problems))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy of the project that the shared lab deploys; a test puts back what it edits."""
    return copy_project(tmp_path_factory.mktemp("shared") / "project")


@pytest.fixture(scope="session")
def story(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    bench = Bench.of(project, tmp_path_factory.mktemp("shared-lab") / "state")
    lab = bench.lab
    try:
        alone = lab.up(["dev"])
        alone_ids = bench.boot_ids()
        joined = lab.apply(["dev", "dev-osaka"])
        wait_ready(Twin(lab))
        yield Story(
            bench=bench,
            alone=alone,
            alone_ids=alone_ids,
            joined=joined,
            joined_ids=bench.boot_ids(),
        )
    finally:
        lab.down()


@pytest.fixture
def bench(story: Story) -> Bench:
    """The shared lab with `dev` and `dev-osaka`."""
    return story.bench


@pytest.fixture
def scene(bench: Bench) -> Scene:
    """The checks' view of the shared lab; what does not come soon does not come."""
    # More than the 6 s for which postscreen(8) watches a client that it has not seen before.
    return Scene(Twin(bench.lab), limit=15.0)
