"""Waiting for a condition, never for luck."""

from __future__ import annotations

import time
from collections.abc import Callable

INTERVAL = 0.02
"""Seconds between two looks: short beside anything the lab waits for, cheap beside a process."""


def wait_for(condition: Callable[[], bool], limit: float, interval: float = INTERVAL) -> bool:
    """Whether `condition` came true within `limit` seconds; it is asked every `interval`."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(interval)
    return True
