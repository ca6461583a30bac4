"""What happens when a host is away: nothing is lost, nothing is doubled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from checks.mail import copies, follow, only, send, still_once
from checks.suite import Check, Failed, Scene, expect
from model.outbound import RELAY

Seen = TypeVar("Seen")

STOP_LIMIT = 100
"""Seconds for systemd to start or stop Postfix; its own limit is 90 (systemd.service(5))."""


def checks(scene: Scene) -> list[Check]:
    """A host's absence, then that nothing is left over."""
    several = [relay_down] if len(scene.relays) > 1 else []
    return [*several, hub_down, empty_queues, still_once]


def relay_down(scene: Scene) -> str:
    """with one relay down mail still comes in and goes out"""
    domain, outside = scene.domains[0], scene.outside[0]
    for down in scene.relays:
        others = scene.relay_names - {down.name}
        with without_postfix(scene, down.name):
            inwards = [outside.host, others, scene.hub.name]
            follow(scene, outside, f"a@{outside.domain}", f"hanako@{domain}", inwards)
            if scene.outbound == RELAY:
                outwards = [others, outside.host]
                follow(scene, scene.hub, f"taro@{domain}", f"e@{outside.domain}", outwards)
    return f"each of {len(scene.relays)} in turn, both ways"


def hub_down(scene: Scene) -> str:
    """with the hub down the relay queues, then delivers once"""
    sender, recipient = scene.outside[0], f"hanako@{scene.domains[0]}"
    with without_postfix(scene, scene.hub.name):
        word = send(scene, sender.name, f"a@{sender.domain}", recipient)
        where = wait_until(scene, lambda: _queued(scene, recipient), f"a queue with {recipient}")
        expect(not copies(scene, word), "a copy was delivered though the hub was down")
    for relay in where:
        scene.run(relay, ["postqueue", "-f"])
    only(scene, word, {recipient})
    wait_until(scene, lambda: not _queued(scene, recipient), f"{where} to have no {recipient}")
    found = copies(scene, word)
    expect(len(found) == 1, f"{recipient} should have one copy, has {len(found)}")
    return f"queued at {', '.join(where)}, delivered once after the hub's return"


def empty_queues(scene: Scene) -> str:
    """no queue holds anything: no loop, no backscatter, nothing stuck"""
    for host in [*scene.hosts, *scene.outside]:
        wait_until(
            scene,
            lambda name=host.name: "empty" in _queue(scene, name),
            f"an empty queue on {host.name}; it holds {_queue(scene, host.name)!r}",
        )
    return f"{len(scene.hosts) + len(scene.outside)} queues"


@contextmanager
def without_postfix(scene: Scene, host: str) -> Generator[None]:
    """A host whose Postfix is stopped; it runs again afterwards."""
    expect(
        scene.run(host, ["systemctl", "stop", "postfix"], limit=STOP_LIMIT).code == 0,
        f"postfix on {host} did not stop",
    )
    try:
        yield
    finally:
        # Some starts in a row are no reason to give up (systemd.unit(5), StartLimitBurst=).
        scene.run(host, ["systemctl", "reset-failed", "postfix"])
        started = scene.run(host, ["systemctl", "start", "postfix"], limit=STOP_LIMIT)
    expect(started.code == 0, f"postfix on {host} did not start: {started.err}")
    wait_until(
        Scene(scene.deployment, limit=max(scene.limit, STOP_LIMIT)),
        lambda: scene.run(host, ["systemctl", "is-active", "postfix"]).out.strip() == "active",
        f"postfix on {host}",
    )


def wait_until(scene: Scene, condition: Callable[[], Seen], what: str) -> Seen:
    """What a condition answered when it came true; or fail by saying what did not come."""
    deadline = time.monotonic() + scene.limit
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise Failed(f"waited {scene.limit:g} s for {what}")
        time.sleep(0.1)
    return answer


def queue_ids(scene: Scene) -> set[tuple[str, str]]:
    """Every message in any queue, inside and outside, by host and queue id."""
    return {
        (host.name, message["queue_id"])
        for host in [*scene.hosts, *scene.outside]
        for message in queue(scene, host.name)
    }


def settle(scene: Scene, before: set[tuple[str, str]]) -> None:
    """Wait until no queue holds more than `before`, twice in turn: what moves is seen once."""
    wait_until(
        scene,
        lambda: queue_ids(scene) | queue_ids(scene) <= before,
        "every queue to be as before",
    )


def queue(scene: Scene, host: str) -> list[dict[str, Any]]:
    """A host's queue (postqueue(1), -j)."""
    return [json.loads(line) for line in scene.run(host, ["postqueue", "-j"]).out.splitlines()]


def give_up(scene: Scene, hosts: Sequence[str], sender: str) -> str:
    """Have a message of `sender` that one of the `hosts` cannot deliver returned; that host.

    As if the message's lifetime were over (postsuper(1), -f).
    """

    def deferred() -> list[tuple[str, str]]:
        return [
            (host, message["queue_id"])
            for host in hosts
            for message in queue(scene, host)
            if (message["sender"], message["queue_name"]) == (sender, "deferred")
        ]

    def gone() -> bool:
        # The host itself tries such a message now and then, and an attempt that is under way does
        # not see that the time is over: once more, after it.
        kept = [each for each in queue(scene, host) if each["queue_id"] == number]
        if any(each["queue_name"] == "deferred" for each in kept):
            scene.run(host, ["postsuper", "-f", number])
            scene.run(host, ["postqueue", "-i", number])
        return not kept

    [(host, number)] = wait_until(scene, deferred, f"mail of {sender} to be deferred")
    wait_until(scene, gone, f"{host} to give up {number}")
    return host


def _queued(scene: Scene, recipient: str) -> list[str]:
    """The relays whose queue holds mail for `recipient`."""
    return [relay.name for relay in scene.relays if recipient in _queue(scene, relay.name)]


def _queue(scene: Scene, host: str) -> str:
    return scene.run(host, ["postqueue", "-p"]).out
