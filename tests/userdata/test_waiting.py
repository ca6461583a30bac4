"""Mail that waits because a host of our own could not be proved: what is noticed, what is done."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from directories import BRANCH, HUB, RELAY

from userdata.machine.gatepost_directory import waiting
from userdata.machine.gatepost_directory.objects import Config
from userdata.machine.gatepost_directory.waiting import Waiting, reasons

UNVERIFIED = "Server certificate not verified"
REFUSED = (
    "host 10.1.11.5[10.1.11.5] said: 450 4.7.0 <unknown[10.1.1.4]>: Client host rejected: "
    f"{waiting.UNPROVEN} (in reply to RCPT TO command)"
)
DIRECT = replace(HUB, hands_over=False)


def message(reason: str, recipient: str = "jiro@example.jp", arrived: float = 0) -> dict[str, Any]:
    told = {"address": recipient} | ({"delay_reason": reason} if reason else {})
    return {"queue_id": "1", "arrival_time": arrived, "recipients": [told]}


@pytest.mark.parametrize(
    ("config", "recipient", "reason", "counts"),
    [
        (RELAY, "jiro@example.jp", UNVERIFIED, True),
        (RELAY, "jiro@example.jp", REFUSED, True),
        (RELAY, "jiro@example.jp", "TLS is required, but was not offered by host 10.1.11.5", True),
        (RELAY, "jiro@example.jp", "Cannot start TLS: handshake failure", True),
        (RELAY, "jiro@example.jp", "connect to 10.1.11.5:25: Connection refused", False),
        (RELAY, "jiro@example.jp", "", False),
        # What strangers cannot prove is theirs to mend.
        (RELAY, "b@example.com", UNVERIFIED, False),
        (DIRECT, "b@example.com", UNVERIFIED, False),
        (DIRECT, "JIRO@EXAMPLE.JP", UNVERIFIED, True),
        # By a relay, or by the hub.
        (HUB, "b@example.com", UNVERIFIED, True),
        (replace(BRANCH, hands_over=True), "b@example.com", UNVERIFIED, True),
    ],
)
def test_only_hosts_of_our_own_count(
    config: Config, recipient: str, reason: str, counts: bool
) -> None:
    found = reasons([message(reason, recipient)], config, before=1.0)
    assert found == ({reason} if counts else set())
    assert reasons([message(reason, recipient, arrived=2.0)], config, before=1.0) == set()


class Postfix:
    """Answers for systemctl and postqueue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue: list[dict[str, Any]] = []
        self.running = True
        self.broken = ""
        self.flushed = 0
        self.now = 0.0
        monkeypatch.setattr(waiting.subprocess, "run", self.run)
        monkeypatch.setattr(waiting.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(waiting.time, "time", lambda: self.now)

    def run(self, argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if argv[0] == "systemctl":
            return subprocess.CompletedProcess(argv, 0 if self.running else 3, "", "")
        assert self.running, "what is down is not asked"
        self.flushed += argv[1] == "-f"
        out = "".join(f"{json.dumps(item)}\n" for item in self.queue)
        return subprocess.CompletedProcess(argv, 1 if self.broken else 0, out, self.broken)


@pytest.fixture
def postfix(monkeypatch: pytest.MonkeyPatch) -> Postfix:
    return Postfix(monkeypatch)


def test_what_waits_is_tried_again_less_and_less_often_and_is_an_alarm(postfix: Postfix) -> None:
    watched = Waiting(RELAY)
    postfix.queue = [message(UNVERIFIED)]
    tries = []
    for postfix.now in range(0, 700, 5):
        before = postfix.flushed
        watched.look()
        if postfix.flushed > before:
            tries.append(postfix.now)
        alarmed = postfix.now >= waiting.PATIENCE
        said = {f"mail waits for a host of our own: {UNVERIFIED}"} if alarmed else set()
        assert watched.complaints == said, postfix.now
    assert tries == [0, 5, 15, 35, 75, 155, 315, 615]
    postfix.queue = []
    postfix.now += waiting.EVERY
    watched.look()
    assert watched.complaints == set()


def test_a_queue_without_such_mail_is_left_alone(postfix: Postfix) -> None:
    watched = Waiting(RELAY)
    postfix.queue = [message("connect to 10.1.11.5[10.1.11.5]:25: Connection refused")]
    for postfix.now in range(0, 100, 5):
        watched.look()
    assert (postfix.flushed, watched.complaints) == (0, set())


def test_a_postfix_that_is_down_is_not_asked(postfix: Postfix) -> None:
    postfix.running = False
    watched = Waiting(RELAY)
    watched.look()
    watched.again()
    assert (postfix.flushed, watched.complaints) == (0, set())


def test_a_queue_that_cannot_be_read_is_told(postfix: Postfix) -> None:
    postfix.broken = "postqueue: fatal: no\n"
    watched = Waiting(RELAY)
    watched.look()
    assert watched.complaints == {"the queue cannot be read: postqueue: fatal: no"}


def test_another_key_has_everything_tried(postfix: Postfix) -> None:
    Waiting(RELAY).again()
    assert postfix.flushed == 1
