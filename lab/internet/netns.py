"""Sockets inside named network namespaces (ip-netns(8)), for processes that live outside them.

A socket belongs to the namespace in which it was made, whoever uses it later; setns(2) moves one
thread only. So a short-lived thread enters the namespace and hands the socket over.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

NETNS = Path("/run/netns")
"""Where `ip netns` keeps its namespaces."""
CLONE_NEWNET = 0x40000000
"""sched.h; setns(2) refuses a file of another kind of namespace then."""
BACKLOG = 128
"""Waiting connections; somaxconn's default before Linux 5.4 (listen(2))."""

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


def within_namespace(namespace: str, action: Callable[[], T]) -> T:
    """What `action` returns when run by a thread inside the network namespace.

    Raises:
        FileNotFoundError: there is no such namespace.
        OSError: it cannot be entered, or what `action` raises.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def enter_and_act() -> None:
        try:
            with open(NETNS / namespace) as handle:
                if _libc.setns(handle.fileno(), CLONE_NEWNET) != 0:
                    error = ctypes.get_errno()
                    raise OSError(error, f"setns: {os.strerror(error)}", str(NETNS / namespace))
            outcome.append(action())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            failure.append(error)

    thread = threading.Thread(target=enter_and_act)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def listen(namespace: str, address: str, port: int) -> socket.socket:
    """A TCP socket that listens in the namespace.

    Raises:
        OSError: no such namespace, or the address is not there or taken.
    """

    def make() -> socket.socket:
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, port))
        server.listen(BACKLOG)
        return server

    return within_namespace(namespace, make)


def connect(namespace: str, address: str, port: int, *, limit: float) -> socket.socket:
    """A TCP connection made from within the namespace; `limit` in seconds, also for later reads.

    Raises:
        OSError: no such namespace or no connection within the limit.
    """
    return within_namespace(
        namespace, lambda: socket.create_connection((address, port), timeout=limit)
    )
