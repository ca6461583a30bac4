"""One small Internet for all tests here that need a real one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.holder import Holder
from lab.internet.plan import PACKAGES
from lab.machines.image import Images
from tests.lab.internet.small_internet import SmallInternet, example_world

CACHE = Path.home() / ".cache" / "gatepost"


@pytest.fixture(scope="session")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallInternet]:
    """The services run on a bridge that stands for all networks."""
    if os.geteuid() != 0:
        pytest.skip("needs root for namespaces")
    layers = Images(CACHE, print).layer(PACKAGES).layers
    holder = Holder.start(tmp_path_factory.mktemp("internet"), tied=True)
    try:
        internet = SmallInternet(holder=holder, layers=layers)
        internet.start(example_world())
        yield internet
    finally:
        holder.stop()


@pytest.fixture
def trust() -> str:
    """Who may assume the roles that the tests make: anybody, they are about S3."""
    statement = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
