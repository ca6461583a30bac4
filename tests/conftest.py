"""Fixtures shared by all tests of the program."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).parents[1]
LABS = "tests/lab/session/"
"""The tests of whole labs, one of which keeps a processor busy and listens to the clock."""
OWN = tuple(
    f"{LABS}test_{name}.py"
    for name in (
        *("production", "branches", "switching", "modes", "forwarding", "smarthost"),
        *("certificates", "clean", "interrupted"),
    )
)
"""Of them files with labs of their own, which share nothing with the others; the longest first."""

# A shell starts a background job with SIGINT ignored, and what is ignored is inherited: tests that
# interrupt a process would then wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, str(Path(__file__).parent))  # for `recording` and others that folders share


class Shares(LoadScopeScheduling):
    """Shares the tests out between processes: whole labs one after the other, the rest by files.

    What shares a fixture stays in one process.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return LABS if file.startswith(LABS) and file not in OWN else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Shares:
    return Shares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The shared lab comes first, as it takes longest; other labs last, for who is done first."""

    def place(item: pytest.Item) -> tuple[int, int]:
        file = item.nodeid.partition("::")[0]
        return (2, OWN.index(file)) if file in OWN else (not file.startswith(LABS), 0)

    items.sort(key=place)


def _settings(stack: str, kind: str) -> dict[str, Any]:
    text = (ROOT / "stacks" / f"Pulumi.{stack}.yaml").read_text()
    return yaml.safe_load(text)["config"][f"gatepost:{kind}"]


@pytest.fixture
def dev() -> dict[str, Any]:
    """The raw settings of the environment `dev`."""
    return _settings("dev", "environment")


@pytest.fixture
def osaka() -> dict[str, Any]:
    """The raw settings of its branch."""
    return _settings("dev-osaka", "branch")
