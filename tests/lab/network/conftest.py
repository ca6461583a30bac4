"""Fixtures of the network's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.network.kernel import Kernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A holder of namespaces with nothing in it yet."""
    holder = Kernel()
    yield holder
    holder.stop()
