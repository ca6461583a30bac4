"""Mail that waits for a host of our own, to be proved or to learn: what is noticed and done."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from directories import BRANCH, HUB, RELAY

from userdata.machine.gatepost_directory import waiting
from userdata.machine.gatepost_directory.objects import Config
from userdata.machine.gatepost_directory.tables import HOLDING
from userdata.machine.gatepost_directory.waiting import Waiting, lagging, reasons, stuck

UNVERIFIED = "Server certificate not verified"
REFUSED = (
    "host 10.1.11.5[10.1.11.5] said: 450 4.7.0 <unknown[10.1.1.4]>: Client host rejected: "
    f"{waiting.UNPROVEN} (in reply to RCPT TO command)"
)
UNKNOWN = (
    "host 10.1.11.5[10.1.11.5] said: 450 4.1.1 <jiro@example.jp>: Recipient address rejected: "
    "User unknown in relay recipient table (in reply to RCPT TO command)"
)
DOWN = "connect to 10.1.11.5[10.1.11.5]:25: Connection refused"
DIRECT = replace(HUB, hands_over=False)


def message(
    reason: str, recipient: str = "jiro@example.jp", arrived: float = 0, number: str = "1"
) -> dict[str, Any]:
    told = {"address": recipient} | ({"delay_reason": reason} if reason else {})
    return {"queue_id": number, "arrival_time": arrived, "recipients": [told]}


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
        self.tried: list[tuple[float, str]] = []
        """When each single message was tried again."""
        self.now = 0.0
        monkeypatch.setattr(waiting.subprocess, "run", self.run)
        monkeypatch.setattr(waiting.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(waiting.time, "time", lambda: self.now)

    def run(self, argv: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if argv[0] == "systemctl":
            return subprocess.CompletedProcess(argv, 0 if self.running else 3, "", "")
        assert self.running, "what is down is not asked"
        self.flushed += argv[1] == "-f"
        if argv[1] == "-i":
            self.tried.append((self.now, argv[2]))
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
    postfix.queue = [message(DOWN), message(UNKNOWN, "b@example.com", number="2")]
    for postfix.now in range(0, 100, 5):
        watched.look()
    assert (postfix.flushed, postfix.tried, watched.complaints) == (0, [], set())


def test_a_postfix_that_is_down_is_not_asked(postfix: Postfix) -> None:
    postfix.running = False
    watched = Waiting(RELAY)
    watched.look()
    watched.again()
    assert (postfix.flushed, watched.complaints) == (0, set())
    postfix.now = waiting.DOWN
    watched.look()
    assert watched.complaints == {"Postfix does not run: systemctl status postfix"}
    postfix.running = True
    postfix.now += waiting.EVERY
    watched.look()
    assert watched.complaints == set()


def test_a_queue_that_cannot_be_read_is_told(postfix: Postfix) -> None:
    postfix.broken = "postqueue: fatal: no\n"
    watched = Waiting(RELAY)
    watched.look()
    assert watched.complaints == {"the queue cannot be read: postqueue: fatal: no"}


def test_another_key_has_everything_tried(postfix: Postfix) -> None:
    Waiting(RELAY).again()
    assert postfix.flushed == 1


@pytest.mark.parametrize(
    ("recipient", "reason", "counts"),
    [
        ("jiro@example.jp", UNKNOWN, True),
        ("JIRO+x@EXAMPLE.JP", UNKNOWN, True),
        ("jiro@example.jp", waiting.UNLISTED, True),
        ("jiro@example.jp", 'unknown user: "jiro@example.jp"', True),
        ("jiro@example.jp", HOLDING.partition(" ")[2], True),
        ("jiro@example.jp", DOWN, False),
        ("jiro@example.jp", UNVERIFIED, False),
        ("jiro@example.jp", "", False),
        # What strangers do not know is theirs to say.
        ("b@example.com", UNKNOWN, False),
    ],
)
@pytest.mark.parametrize("config", [RELAY, HUB, BRANCH], ids=lambda c: c.role)
def test_mail_for_who_is_not_known_everywhere_yet_counts(
    config: Config, recipient: str, reason: str, counts: bool
) -> None:
    assert lagging([message(reason, recipient)], config) == ({"1"} if counts else set())


def test_what_met_a_lag_is_tried_again_by_itself_and_nothing_else_is(postfix: Postfix) -> None:
    watched = Waiting(RELAY)
    postfix.queue = [message(UNKNOWN), message("Try later", "b@example.com", number="2")]
    for postfix.now in range(0, 700, 5):
        watched.look()
    assert postfix.tried == [(now, "1") for now in (0, 5, 15, 35, 75, 155, 315, 615)]
    assert (postfix.flushed, watched.complaints) == (0, set())


def test_one_message_that_waits_for_long_holds_up_no_other(postfix: Postfix) -> None:
    watched = Waiting(RELAY)
    postfix.queue = [message(UNKNOWN)]
    for postfix.now in range(0, 650, 5):
        watched.look()
    postfix.queue.append(message(UNKNOWN, number="2"))
    for postfix.now in range(650, 670, 5):
        watched.look()
    assert [at for at, number in postfix.tried if number == "2"] == [650, 655, 665]


def test_a_message_that_is_just_under_way_is_not_new_again(postfix: Postfix) -> None:
    watched = Waiting(RELAY)
    for postfix.now in range(0, 100, 5):
        postfix.queue = [message("" if postfix.now in (20, 40) else UNKNOWN)]
        watched.look()
    assert [at for at, _ in postfix.tried] == [0, 5, 15, 35, 75]


def test_changed_tables_have_it_tried_once_postfix_goes_by_them(postfix: Postfix) -> None:
    watched = Waiting(HUB)
    postfix.queue = [message(waiting.UNLISTED)]
    for postfix.now in range(0, 400, 5):
        watched.look()
    postfix.tried.clear()
    watched.settle()
    for postfix.now in range(400, 500, 5):
        watched.look()
    # The tables changed at 395; trivial-rewrite knows it at 405, the queue manager at 425.
    assert [at for at, _ in postfix.tried] == [410, 415, 425, 445, 485]


def test_many_that_wait_are_tried_in_turn(postfix: Postfix) -> None:
    watched = Waiting(RELAY)
    count = 2 * waiting.MOST_TRIES
    postfix.queue = [message(UNKNOWN, number=f"{number:04}") for number in range(count)]
    watched.look()
    assert len(postfix.tried) == waiting.MOST_TRIES
    postfix.now += 1
    watched.look()
    assert len(postfix.tried) == waiting.MOST_TRIES, "not yet looked again"
    postfix.now = waiting.EVERY
    watched.look()
    assert {number for _, number in postfix.tried} == {each["queue_id"] for each in postfix.queue}


def test_mail_to_our_own_that_waits_for_an_hour_is_an_alarm(postfix: Postfix) -> None:
    watched = Waiting(HUB)
    postfix.queue = [
        message(UNKNOWN),
        message(UNKNOWN.replace("jiro", "goro"), "goro@example.jp", number="2"),
        message(DOWN, number="3"),
        message("", number="4"),
        message("Try later", "b@example.com", number="5"),
    ]
    postfix.now = waiting.LONG - 1
    watched.look()
    assert watched.complaints == set()
    postfix.now += waiting.EVERY
    watched.look()
    said = "mail to our own domains has waited for an hour: "
    unknown = UNKNOWN.replace("<jiro@example.jp>", "…")
    assert watched.complaints == {said + unknown, said + DOWN}, "one a reason, not one a person"
    postfix.queue = []
    postfix.now += waiting.EVERY
    watched.look()
    assert watched.complaints == set()


def test_reasons_without_end_fill_no_alarm() -> None:
    queue = [message(f"Try later ({number})") for number in range(1000)]
    assert len(stuck(queue, HUB, before=1.0)) == waiting.MOST_REASONS
