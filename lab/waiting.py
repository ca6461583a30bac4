"""Waiting for a condition, never for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")
"""Whatever a condition answers; what is falsy has not come true."""

INTERVAL = 0.02
"""Seconds between two looks: short beside anything the lab waits for, cheap beside a process."""


def wait_for(condition: Callable[[], Answer], limit: float, interval: float = INTERVAL) -> Answer:
    """What `condition` answered when it came true, or last, if it did not within `limit` seconds.

    It is asked every `interval` seconds. Whoever needs what was seen takes the answer: a second
    look may see something else.
    """
    end = time.monotonic() + limit
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(interval)
    return answer
