"""Mail that a host gives up, with a queue that moves while it is looked at."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from checks.deployment import Result
from checks.queueing import give_up, wait_until
from checks.suite import Failed, Scene
from tests.checks.fakes import FakeDeployment

HOST, SENDER, NUMBER = "dmz-ms.example.jp", "a@example.net", "62817400"


class Queue(FakeDeployment):
    """Each look at the host's queue finds its message in the next of these states.

    An expiry counts only if the queue manager opens the message after it (postsuper(1), -f).
    """

    def __init__(self, *states: str) -> None:
        super().__init__()
        self.states = list(states)
        self.expired = False

    def run(self, host: str, argv: Sequence[str], *, stdin: str = "", limit: float = 60) -> Result:
        self.asked.append((host, tuple(argv)))
        out = ""
        if tuple(argv) == ("postqueue", "-j") and host == HOST and not self.expired:
            state = self.states.pop(0)
            item = {"queue_id": NUMBER, "queue_name": state, "sender": SENDER}
            out = json.dumps(item) + "\n"
        if tuple(argv) == ("postqueue", "-i", NUMBER):
            self.expired = self.states[:1] != ["active"]
        return Result(code=0, out=out, err="")


@pytest.mark.parametrize(
    "states",
    [
        ("deferred", "deferred"),
        # Its host has begun to try it again just after the first look, or before the second.
        ("deferred", "active", "deferred"),
        ("active", "deferred", "active", "active", "deferred"),
        # An attempt begins as its time is declared over.
        ("deferred", "deferred", "active", "deferred"),
    ],
)
def test_a_message_is_given_up_though_its_host_tries_it_again_meanwhile(
    states: tuple[str, ...],
) -> None:
    queue = Queue(*states)
    assert give_up(Scene(queue, limit=5), ["other.example.jp", HOST], SENDER) == HOST
    assert (HOST, ("postsuper", "-f", NUMBER)) in queue.asked
    assert queue.expired
    assert queue.states == []


def test_a_message_that_stays_is_named() -> None:
    queue = Queue("deferred", *["active"] * 100)
    with pytest.raises(Failed, match=f"waited 0.3 s for {HOST} to give up {NUMBER}"):
        give_up(Scene(queue, limit=0.3), [HOST], SENDER)


def test_the_answer_is_what_was_seen() -> None:
    answers = [[], [], ["first"], ["second"]]
    assert wait_until(Scene(FakeDeployment(), limit=5), lambda: answers.pop(0), "one") == ["first"]
    assert answers == [["second"]]
