"""Mail that waits for hosts of our own: one cannot prove who it is, or knows an address later."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .objects import Config
from .tables import HOLDING

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
UNLISTED = "not in this host's directory"
"""What a hub's queue says of an address that it does not know."""
LAG = re.compile(
    # smtpd(8) behind the edge (src/smtpd/smtpd_check.c), the hub's own ways, virtual(8).
    rf"User unknown in relay recipient table|{UNLISTED}|{HOLDING.partition(' ')[2]}|^unknown user"
)
"""An address that one host has learned of before another, or a way that is about to change."""
SETTLED = 11.0
"""Seconds after which Postfix goes by changed tables: trivial-rewrite(8) looks every 10."""
MOST_TRIES = 50
"""Messages that are tried again one by one in a look: each takes a program of some milliseconds."""
DOWN = 60.0
"""Seconds from which a Postfix that does not run is an alarm: systemd tries again every five."""
LONG = 3600.0
"""Seconds from which mail to our own domains that still waits is an alarm: in five days it goes
back to its sender (postconf(5), maximal_queue_lifetime)."""
MOST_REASONS = 20
"""Reasons that such an alarm names: other servers choose their words."""


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


def lagging(queue: Iterable[dict[str, Any]], config: Config) -> set[str]:
    """The queue ids of messages that wait until a host of our own knows an address."""
    return {
        message["queue_id"]
        for message in queue
        if any(LAG.search(reason) and _ours(to, config) for to, reason in _delayed(message))
    }


def stuck(queue: Iterable[dict[str, Any]], config: Config, before: float) -> list[str]:
    """Why messages to our own domains that came `before` (Unix time) wait, without addresses."""
    found = {
        re.sub(r'<[^>]*>|"[^"]*"', "…", reason)
        for message in queue
        if message["arrival_time"] <= before
        for to, reason in _delayed(message)
        if reason and _ours(to, config)
    }
    return sorted(found)[:MOST_REASONS]


def _ours(recipient: str, config: Config) -> bool:
    return recipient.rpartition("@")[2].lower() in config.domains


def _inside(recipient: str, config: Config) -> bool:
    """Whether mail for a recipient goes to a host of our own from here."""
    return config.hands_over or _ours(recipient, config)


@dataclass
class Retry:
    """When a message is tried again, and how long after that, on the clock of `monotonic`."""

    at: float
    pause: float = FIRST_RETRY


class Waiting:
    """Looks at this host's queue now and then, and has what can go tried again."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.complaints: set[str] = set()
        """What waits, in the words of Postfix; a Postfix that does not run, a queue that cannot be
        read."""
        self._ran = time.monotonic()
        """When Postfix was last seen to run; at first, when the looks began."""
        self._next_look = 0.0
        self._next_try = 0.0
        self._pause = FIRST_RETRY
        self._retries: dict[str, Retry] = {}
        """Of messages that have waited for another host to know an address, by queue id."""

    def look(self) -> None:
        """Say what waits, and have it tried again: the other side may know better by now."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + EVERY
        if not _running():
            if now - self._ran >= DOWN:
                self.complaints = {"Postfix does not run: systemctl status postfix"}
            return
        self._ran = now
        done = _postqueue("-j")
        if done.returncode:
            self.complaints = {f"the queue cannot be read: {done.stderr.strip()}"}
            return
        queue = [json.loads(line) for line in done.stdout.splitlines()]
        late = reasons(queue, self.config, time.time() - PATIENCE)
        self.complaints = {f"mail waits for a host of our own: {reason}" for reason in late}
        self.complaints |= {
            f"mail to our own domains has waited for an hour: {reason}"
            for reason in stuck(queue, self.config, time.time() - LONG)
        }
        self._hurry(queue, now)
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

    def settle(self) -> None:
        """Have what waits for the directory tried once Postfix goes by the tables that came now."""
        soon = time.monotonic() + SETTLED
        for retry in self._retries.values():
            retry.at, retry.pause = min(retry.at, soon), FIRST_RETRY

    def _hurry(self, queue: list[dict[str, Any]], now: float) -> None:
        """Have each message that waits for the directory tried again, less and less often.

        By itself Postfix would wait for five minutes first (postconf(5), minimal_backoff_time). All
        else in the queue is left alone: strangers' hosts are not to be pressed.
        """
        known = self._retries
        here = {message["queue_id"] for message in queue}
        waits = lagging(queue, self.config)
        # While a message is under way nobody tells why it waited.
        self._retries = {number: known.get(number) or Retry(now) for number in waits} | {
            number: retry for number, retry in known.items() if number in here
        }
        due = [(self._retries[number].at, number) for number in waits]
        for at, number in sorted(due)[:MOST_TRIES]:
            if at <= now:
                retry = self._retries[number]
                retry.at, retry.pause = now + retry.pause, min(2 * retry.pause, LAST_RETRY)
                _press("-i", number)


def flush() -> None:
    """Have Postfix try all of its queue; one that starts tries it by itself."""
    if _running():
        _press("-f")


def _press(*options: str) -> None:
    done = _postqueue(*options)
    if done.returncode:
        said = f"postqueue {' '.join(options)}: {done.stderr.strip()}"
        print(said, file=sys.stderr, flush=True)


def _running() -> bool:
    # Of a Postfix that is down its programs complain in the mail log.
    argv = ["systemctl", "is-active", "--quiet", "postfix.service"]
    return subprocess.run(argv, check=False).returncode == 0


def _postqueue(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["postqueue", *options], capture_output=True, text=True, check=False)
