"""One small Internet for all tests here that need a real one."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.holder import Holder
from lab.internet.plan import PACKAGES
from lab.machines.image import Images
from lab.session import cache_folder
from tests.lab.internet.small_internet import SmallInternet, example_world


@contextmanager
def running(state: Path) -> Generator[SmallInternet]:
    if os.geteuid() != 0:
        pytest.skip("needs root for namespaces")
    layers = Images(cache_folder(), print).layer(PACKAGES).layers
    holder = Holder.start(state, tied=True)
    try:
        internet = SmallInternet(holder=holder, layers=layers)
        internet.start(example_world())
        yield internet
    finally:
        holder.stop()


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallInternet]:
    """The services run on a bridge that stands for all networks; leave it as you found it."""
    with running(tmp_path_factory.mktemp("internet")) as internet:
        yield internet


@pytest.fixture
def own_internet(tmp_path: Path) -> Iterator[SmallInternet]:
    """One to be broken."""
    with running(tmp_path) as internet:
        yield internet
