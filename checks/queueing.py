"""What happens when the hub is away: nothing is lost, nothing is doubled."""

from __future__ import annotations

import time
from collections.abc import Callable

from checks.mail import copies, send, wait_for
from checks.suite import Check, Failed, Scene, expect


def checks(_: Scene) -> list[Check]:
    """The hub's absence, then that nothing is left over."""
    return [hub_down, empty_queues]


def hub_down(scene: Scene) -> str:
    """with the hub down the relay queues, then delivers once"""
    sender, recipient = scene.outside[0], f"hanako@{scene.domains[0]}"
    relay, hub = scene.relay.name, scene.hub.name
    expect(scene.run(hub, ["systemctl", "stop", "postfix"], limit=100).code == 0, "stop failed")
    try:
        word = send(scene, sender.name, f"a@{sender.domain}", recipient)
        wait_until(
            scene, lambda: recipient in _queue(scene, relay), f"{relay} to queue for {recipient}"
        )
        expect(not copies(scene, word), "a copy was delivered though the hub was down")
    finally:
        scene.run(hub, ["systemctl", "start", "postfix"], limit=100)
    wait_until(
        scene,
        lambda: scene.run(hub, ["systemctl", "is-active", "postfix"]).out.strip() == "active",
        f"postfix on {hub}",
    )
    scene.run(relay, ["postqueue", "-f"])
    found = wait_for(scene, word, {recipient})
    wait_until(
        scene, lambda: recipient not in _queue(scene, relay), f"the queue of {relay} to empty"
    )
    found = copies(scene, word)
    expect(len(found) == 1, f"{recipient} should have one copy, has {len(found)}")
    return f"queued at {relay}, delivered once after the hub's return"


def empty_queues(scene: Scene) -> str:
    """no queue holds anything: no loop, no backscatter, nothing stuck"""
    for host in [*scene.hosts, *scene.outside]:
        wait_until(
            scene,
            lambda name=host.name: "empty" in _queue(scene, name),
            f"an empty queue on {host.name}; it holds {_queue(scene, host.name)!r}",
        )
    return f"{len(scene.hosts) + len(scene.outside)} queues"


def wait_until(scene: Scene, condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition, or fail by saying what did not come."""
    deadline = time.monotonic() + scene.limit
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"waited {scene.limit:g} s for {what}")
        time.sleep(0.1)


def _queue(scene: Scene, host: str) -> str:
    return scene.run(host, ["postqueue", "-p"]).out
