"""Mail that waits because one of two hosts of our own could not prove who it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from .objects import Config

EVERY = 5.0
"""Seconds between two looks at the queue."""
PATIENCE = 20.0
"""Seconds after its arrival from which a message that waits so is an alarm: a machine that was
replaced has a new key, which the others learn within one look."""
FIRST_RETRY, LAST_RETRY = 5.0, 300.0
"""Seconds between two attempts, doubled each time; the last is Postfix's own (queue_run_delay)."""

UNPROVEN = "No known client certificate"
"""What a host of ours says to a client that it does not know."""
TROUBLE = re.compile(
    # Postfix's client (src/smtp/smtp_proto.c, src/smtp/smtp_connect.c).
    r"Server certificate not (verified|trusted)|TLS is required, but|Cannot start TLS"
    rf"|TLS configuration problem|{UNPROVEN}"
)


def reasons(queue: Iterable[dict[str, Any]], config: Config, before: float) -> set[str]:
    """Why messages that came `before` (Unix time) wait for a host of our own to be proved.

    `queue` is what postqueue(1) tells with -j.
    """
    return {
        reason
        for message in queue
        if message["arrival_time"] <= before
        for recipient, reason in _delayed(message)
        if TROUBLE.search(reason) and _inside(recipient, config)
    }


def _delayed(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for recipient in message["recipients"]:
        yield recipient["address"], recipient.get("delay_reason", "")


def _inside(recipient: str, config: Config) -> bool:
    """Whether mail for a recipient goes to a host of our own from here."""
    return config.hands_over or recipient.rpartition("@")[2].lower() in config.domains


class Waiting:
    """Looks at this host's queue now and then, and has what can go tried again."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.complaints: set[str] = set()
        """What waits, in the words of Postfix; and a queue that cannot be read."""
        self._next_look = 0.0
        self._next_try = 0.0
        self._pause = FIRST_RETRY

    def look(self) -> None:
        """Say what waits, and have it tried again: the other side may know better by now."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + EVERY
        if not _running():
            return
        done = _postqueue("-j")
        if done.returncode:
            self.complaints = {f"the queue cannot be read: {done.stderr.strip()}"}
            return
        queue = [json.loads(line) for line in done.stdout.splitlines()]
        late = reasons(queue, self.config, time.time() - PATIENCE)
        self.complaints = {f"mail waits for a host of our own: {reason}" for reason in late}
        if not reasons(queue, self.config, time.time()):
            self._next_try, self._pause = now, FIRST_RETRY
        elif now >= self._next_try:
            self._next_try = now + self._pause
            self._pause = min(2 * self._pause, LAST_RETRY)
            flush()

    def again(self) -> None:
        """Have all mail tried now, as another key is in force; look soon whether that helped."""
        self._next_try, self._pause = time.monotonic() + FIRST_RETRY, FIRST_RETRY
        flush()


def flush() -> None:
    """Have Postfix try all of its queue; one that starts tries it by itself."""
    if _running():
        done = _postqueue("-f")
        if done.returncode:
            print(f"postqueue -f: {done.stderr.strip()}", file=sys.stderr, flush=True)


def _running() -> bool:
    # Of a Postfix that is down its programs complain in the mail log.
    argv = ["systemctl", "is-active", "--quiet", "postfix.service"]
    return subprocess.run(argv, check=False).returncode == 0


def _postqueue(option: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["postqueue", option], capture_output=True, text=True, check=False)
