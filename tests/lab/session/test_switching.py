"""The outbound mode is changed on a running environment, under a steady flow, and back again.

As docs/operations.md says to: the names of both ways out first, and some time later the mode. One
of the receivers is strict, and bounces what SPF, or a name that is not there yet, speaks against.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from checks.queueing import empty_queues
from checks.ready import wait_ready
from checks.suite import Scene
from cli.twin import Twin
from lab.faults import SOUND, Faults
from lab.internet.plan import INTERNET, INTERNET2, SMARTHOST
from lab.waiting import wait_for
from tests.lab.session import flow
from tests.lab.session.bench import Bench, copy_project, edit
from tests.lab.session.flow import Flow
from tests.lab.session.login import DNS, LOGIN, put

RELAY, HUB = "dmz-ms.example.jp", "ms.example.jp"
RELAYING = "    outbound: relay\n"
BOTH_WAYS = "    dns: {also_leaves_by: [relay, direct]}\n"
BY_SMARTHOST = f"""\
    smarthost: {{host: email-smtp.us-east-1.amazonaws.com, drain: true}}
{DNS}      also_leaves_by: [relay]
"""
REMEMBERED = Faults(dns_remembered=True)
"""What an Internet is like."""
PAUSE = 0.4
"""Seconds between two messages of a sender."""
MAIL_LIMIT = 30.0
"""Seconds for a few messages to be sent, on a busy machine."""
DEFER_LIMIT = 90.0
"""Seconds until Postfix gives up an attempt: 10 for a connection, and others may be before it."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    project = copy_project(tmp_path_factory.mktemp("switching") / "project")
    found = Bench.of(project, tmp_path_factory.mktemp("switching-lab") / "state")
    with found.up(["dev"]):
        yield found


def outward(bench: Bench, log: Path) -> Flow:
    """From the hub to two receivers; it ends with the hub's machine."""
    recipients = (f"flow@{INTERNET.domain}", f"flow@{INTERNET2.domain}")
    return Flow.start(bench.lab, HUB, "hanako@example.jp", recipients, pause=PAUSE, log=log)


def inward(bench: Bench, log: Path) -> Flow:
    """From the Internet to two people at the hub."""
    recipients = ("taro@example.jp", "hanako@example.jp")
    sender = f"flow@{INTERNET.domain}"
    name = INTERNET.namespace
    return Flow.start(bench.lab, name, sender, recipients, pause=PAUSE, log=log)


def test_no_message_is_lost_or_doubled_when_the_mode_changes_and_changes_back(
    bench: Bench, tmp_path: Path
) -> None:
    scene = Scene(Twin(bench.lab))
    noted = flow.bounces(scene)
    flows = [inward(bench, tmp_path / "in"), outward(bench, tmp_path / "out-1")]
    held = []
    try:
        judged_by_what_it_remembers(bench, flows[-1])
        rename(bench, RELAYING, RELAYING + BOTH_WAYS)
        # Its time is over: what the receivers remember now holds both ways out.
        bench.lab.break_on_purpose(SOUND)
        judged_by_what_it_remembers(bench, flows[-1])
        for mode, other, holder, faults in (
            ("relay", "direct", RELAY, REMEMBERED),
            # And if a receiver's time is over at the very moment of the change?
            ("direct", "relay", HUB, SOUND),
        ):
            assert wait_for(lambda: len(flows[-1].sent) >= 5, MAIL_LIMIT)
            bench.lab.break_on_purpose(replace(faults, port_25=(holder,)))
            held.append(hold_back(scene, holder))
            switch(bench, mode, other)
            wait_kept(scene, holder, held[-1])
            bench.lab.break_on_purpose(SOUND)
            flows.append(outward(bench, tmp_path / f"out-{other}"))
        assert wait_for(lambda: len(flows[-1].sent) >= 5, MAIL_LIMIT)
        rename(bench, RELAYING + BOTH_WAYS, RELAYING)
    finally:
        for each in flows:
            each.end()
    assert set(Scene(Twin(bench.lab)).environment["exits"]) == {RELAY}
    nothing_lost(scene, flows, *held)
    assert flow.bounces(scene) == noted


def judged_by_what_it_remembers(bench: Bench, outward: Flow) -> None:
    """From now on the strict receiver remembers the names by which it has judged our mail."""
    bench.lab.break_on_purpose(REMEMBERED)
    scene, before = Scene(Twin(bench.lab)), len(outward.sent)

    def judged() -> bool:
        strict = f"@{INTERNET2.domain}"
        later = {message for message in outward.sent[before:] if message[1].endswith(strict)}
        return bool(later & set(flow.arrivals(scene)))

    assert wait_for(judged, MAIL_LIMIT)


def rename(bench: Bench, old: str, new: str) -> None:
    """Change the stack file in what the DNS follows from, and deploy; no machine is touched."""
    ids = bench.boot_ids()
    edit(stack_file(bench), old, new)
    bench.lab.apply(["dev"])
    assert bench.boot_ids() == ids


def switch(bench: Bench, mode: str, other: str) -> None:
    """Change the mode; both hosts get another main.cf, and mail then goes the other way."""
    ids = bench.boot_ids()
    edit(stack_file(bench), f"outbound: {mode}", f"outbound: {other}")
    bench.lab.apply(["dev"])
    twin = Twin(bench.lab)
    wait_ready(twin)
    assert Scene(twin).outbound == other
    renewed = bench.boot_ids()
    assert {host for host in ids if ids[host] != renewed[host]} == {RELAY, HUB}


def stack_file(bench: Bench) -> Path:
    return bench.lab.project / "stacks" / "Pulumi.dev.yaml"


def nothing_lost(
    scene: Scene, flows: list[Flow], *held: flow.Message, before: Iterable[flow.Message] = ()
) -> None:
    """All that was taken arrives, once."""
    for host in (*scene.outside, *scene.hosts):
        scene.run(host.name, ["postqueue", "-f"])
    empty_queues(scene)
    assert wait_for(lambda: not flow.queue(scene, SMARTHOST.namespace), MAIL_LIMIT)
    flow.judge(scene, flows, *held, before=before)


def hold_back(scene: Scene, holder: str) -> flow.Message:
    """A message that `holder` has taken and cannot send."""
    word, recipient = flow.word(), f"held-{holder.partition('.')[0]}@{INTERNET2.domain}"
    text = f"From: taro@example.jp\nTo: {recipient}\nSubject: {word}\n\n{word}\n"
    argv = ["sendmail", "-i", "-f", "taro@example.jp", recipient]
    assert scene.run(HUB, argv, stdin=text).code == 0
    assert wait_for(lambda: deferred(scene, holder, recipient), DEFER_LIMIT), holder
    return word, recipient


def wait_kept(scene: Scene, holder: str, message: flow.Message) -> None:
    """Wait until the new machine is seen to have the queue of the former one, which could not send
    the message: it holds it back, or has sent it the new way already."""

    def kept() -> bool:
        return deferred(scene, holder, message[1]) or message in flow.arrivals(scene)

    assert wait_for(kept, DEFER_LIMIT), (holder, flow.queue(scene, holder))


def test_no_message_is_lost_or_doubled_when_a_smarthost_takes_over_and_goes(
    bench: Bench, tmp_path: Path
) -> None:
    """What the relay has not sent is handed to it (`drain`), what the hub has not goes back."""
    scene = Scene(Twin(bench.lab))
    noted, before = flow.bounces(scene), flow.arrivals(scene)
    rename(bench, RELAYING, RELAYING + BY_SMARTHOST)
    assert put(bench, "dev", LOGIN).returncode == 0
    flows = [inward(bench, tmp_path / "in"), outward(bench, tmp_path / "out-1")]
    held = []
    try:
        for mode, other, holder, fault in (
            ("relay", "smarthost", RELAY, Faults(port_25=(RELAY,))),
            ("smarthost", "relay", HUB, Faults(wrong_certificate=("smarthost",))),
        ):
            assert wait_for(lambda: len(flows[-1].sent) >= 5, MAIL_LIMIT)
            bench.lab.break_on_purpose(fault)
            held.append(hold_back(scene, holder))
            switch(bench, mode, other)
            wait_kept(scene, holder, held[-1])
            bench.lab.break_on_purpose(SOUND)
            assert scene.run(holder, ["postqueue", "-f"]).code == 0
            assert wait_for(lambda: held[-1] in flow.arrivals(scene), MAIL_LIMIT), held[-1]
            flows.append(outward(bench, tmp_path / f"out-{other}"))
        assert wait_for(lambda: len(flows[-1].sent) >= 5, MAIL_LIMIT)
        rename(bench, RELAYING + BY_SMARTHOST, RELAYING)
    finally:
        for each in flows:
            each.end()
    nothing_lost(scene, flows, *held, before=before)
    assert flow.bounces(scene) == noted


def deferred(scene: Scene, host: str, recipient: str) -> bool:
    """Whether the host's queue holds a message for `recipient` back."""
    return any(
        item["queue_name"] == "deferred"
        and recipient in [each["address"] for each in item["recipients"]]
        for item in flow.queue(scene, host).values()
    )
