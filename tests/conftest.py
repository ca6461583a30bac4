"""Fixtures shared by all tests of the program."""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LABS = Path(__file__).parent / "lab" / "session"
"""The tests of whole labs, one of which keeps a processor busy and listens to the clock."""

# A shell starts a background job with SIGINT ignored, and what is ignored is inherited: tests that
# interrupt a process would then wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, str(Path(__file__).parent))  # for `recording` and others that folders share


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Share the tests out: whole labs one after the other, beside them the rest by their files.

    Files of one group stay in one process, and so do the fixtures that they share. The labs take
    longest, so they come first.
    """
    for item in items:
        alone = LABS in item.path.parents
        item.add_marker(pytest.mark.xdist_group(LABS.name if alone else str(item.path)))
    items.sort(key=lambda item: LABS not in item.path.parents)
    # Before the plugin's own hook, which goes by the marks.
    return (yield)


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
