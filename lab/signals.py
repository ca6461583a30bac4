"""The signals by which a person or a system ends a command."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, kill(1) and a terminal that is closed."""


@contextmanager
def undisturbed() -> Generator[None]:
    """Whoever signals meanwhile is not heard: what cleans up is not to be ended half way.

    Only the main thread hears signals at all; any other is undisturbed as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # Not SIG_IGN, which children would inherit.
    former = {number: signal.signal(number, _unheard) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _unheard(*_: object) -> None:
    pass
