"""Branches behind a Transit Gateway, added and removed while mail flows; and an office.

One lab for all: each test leaves it as the next one needs it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.queueing import queue_ids, without_postfix
from checks.ready import wait_ready
from checks.smtp import rcpt
from checks.suite import Scene, run_suite
from cli.main import main
from cli.twin import Twin
from lab import hosts
from lab.engine.deploy import Result
from lab.errors import LabError
from lab.waiting import wait_for
from tests.lab.session import flow
from tests.lab.session.bench import ASKING, Bench, comment_on, copy_project, edit
from tests.lab.session.flow import Flow, Message

PAUSE = 0.3
"""Seconds between two messages of a sender."""
LIMIT = 30.0
"""Seconds for a change to be in force or for mail to arrive, on a busy machine."""
TARO, HANAKO, JIRO, SABURO, SHIRO, GORO = (
    f"{name}@example.jp" for name in ("taro", "hanako", "jiro", "saburo", "shiro", "goro")
)
HUB, RELAY, BRANCH = "ms.example.jp", "dmz-ms.example.jp", "ms2.example.jp"
SECOND = "ms3.example.jp"
TABLES = "/var/lib/gatepost"


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    project = copy_project(tmp_path_factory.mktemp("branches") / "project")
    key = "  gatepost:environment:\n"
    edit(project / "stacks/Pulumi.dev.yaml", key, f"{key}    branch_link: transit-gateway\n")
    found = Bench.of(project, tmp_path_factory.mktemp("branches-lab") / "state")
    with found.up(["dev"]):
        yield found


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(Twin(bench.lab))


def counts(result: Result) -> tuple[int, int, int, int]:
    return result.created, result.updated, result.replaced, result.deleted


def boot_ids(bench: Bench) -> dict[str, str]:
    """The environment's machines: another id after every boot."""
    ids = bench.boot_ids()
    return {host: ids[host] for host in (HUB, RELAY)}


def steady(bench: Bench, log: Path) -> list[Flow]:
    """Mail in and out of the hub."""
    outside = Scene(Twin(bench.lab)).outside[0]
    inward = log / "inward"
    outward = log / "outward"
    return [
        Flow.start(
            bench.lab,
            outside.name,
            f"a@{outside.domain}",
            [TARO, HANAKO],
            pause=PAUSE,
            log=inward,
        ),
        Flow.start(bench.lab, HUB, TARO, [f"b@{outside.domain}", HANAKO], pause=PAUSE, log=outward),
    ]


def wait_arrived(scene: Scene, sent: list[Message]) -> None:
    """Every message has come exactly once."""
    wait_for(lambda: set(sent) <= set(flow.arrivals(scene)), LIMIT)
    found = flow.arrivals(scene)
    assert [message for message in sent if found[message] != 1] == []


def queued(scene: Scene, host: str, recipient: str) -> list[str]:
    """Why each message for a recipient waits in a host's queue."""
    lines = scene.run(host, ["postqueue", "-j"]).out.splitlines()
    return [
        item.get("delay_reason", "")
        for line in lines
        for item in json.loads(line)["recipients"]
        if item["address"] == recipient
    ]


def known(scene: Scene, recipient: str) -> bool:
    """Whether the edge takes mail for a recipient."""
    relay, outside = scene.relay, scene.outside[0]
    reply = rcpt(scene, outside.name, relay.public_ip, f"a@{outside.domain}", recipient)
    assert reply[:3] in ("250", "550"), reply
    return reply.startswith("250")


def wait_known(scene: Scene, recipient: str, *, wanted: bool) -> None:
    as_wanted = wait_for(lambda: known(scene, recipient) == wanted, LIMIT, interval=ASKING)
    assert as_wanted, f"{recipient}: not {wanted}"


def send(bench: Bench, recipient: str) -> Message:
    """One message from the Internet, with a subject as the flows' own."""
    word, outside = flow.word(), Scene(Twin(bench.lab)).outside[0]
    text = f"From: a@{outside.domain}\nTo: {recipient}\nSubject: {word}\n\nhello\n"
    argv = ["sendmail", "-i", "-f", f"a@{outside.domain}", recipient]
    done = hosts.run(bench.lab, outside.name, argv, stdin=text, limit=LIMIT)
    assert done.returncode == 0, done.stderr
    return word, recipient


def unchanged(bench: Bench) -> None:
    """The environment is as the engine remembers it, and as it is in AWS."""
    for refresh in (False, True):
        [dev] = bench.lab.apply(["dev"], refresh=refresh)
        assert (counts(dev), dev.changes) == ((0, 0, 0, 0), ())


def test_a_branch_joins_while_mail_flows(bench: Bench, scene: Scene, tmp_path: Path) -> None:
    ids, flows = boot_ids(bench), steady(bench, tmp_path)
    assert not known(scene, JIRO)
    dev, osaka = bench.lab.apply(["dev", "dev-osaka"])
    assert counts(dev) == (0, 0, 0, 0)
    assert counts(osaka) == (osaka.created, 0, 0, 0)
    wait_ready(Twin(bench.lab))
    wait_known(scene, JIRO, wanted=True)
    message = send(bench, JIRO)
    for each in flows:
        each.end()
    sent = [message, *(message for each in flows for message in each.sent)]
    assert len(sent) > 20
    wait_arrived(Scene(Twin(bench.lab)), sent)
    assert boot_ids(bench) == ids
    unchanged(bench)


def test_every_check_passes_over_the_transit_gateway_with_a_second_branch(
    bench: Bench, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name comes before the first one's, and the checks know nobody there."""
    assert [peering for peering in bench.lab.world.peerings if peering.active] == []
    monkeypatch.setattr("cli.commands.PROJECT", bench.lab.project)
    assert main(["branch", "new", "kobe", "--environment", "dev", "--host", SECOND]) == 0
    people = bench.lab.project / "stacks/people/dev-kobe.yaml"
    people.write_text(f"users: [{SHIRO}]\n")
    [kobe] = bench.lab.apply(["dev-kobe"])
    assert counts(kobe) == (kobe.created, 0, 0, 0)
    wait_ready(Twin(bench.lab))
    wait_known(scene, SHIRO, wanted=True)
    verdicts = list(run_suite(scene.deployment))
    assert [(each.check, each.finding) for each in verdicts if not each.passed] == []
    assert "2 messages, 1 more branches" in [each.finding for each in verdicts]
    bench.lab.remove(["dev-kobe"])
    wait_known(Scene(Twin(bench.lab)), SHIRO, wanted=False)


def test_no_message_is_lost_or_doubled_while_the_branch_is_replaced(
    bench: Bench, scene: Scene, tmp_path: Path
) -> None:
    """With mail in its queue and its mailboxes, as the environment's hosts in test_production."""
    ids, noted, outside = boot_ids(bench), flow.bounces(scene), scene.outside[0]
    inward = Flow.start(
        bench.lab,
        outside.name,
        f"a@{outside.domain}",
        [JIRO, SABURO, TARO],
        pause=PAUSE,
        log=tmp_path / "inward",
    )
    flows = [inward, of_branch(bench, tmp_path / "branch-1")]
    try:
        assert wait_for(lambda: len(flow.mailboxes(scene, BRANCH)) >= 5, LIMIT)
        boxes = flow.mailboxes(scene, BRANCH)
        with without_postfix(scene, HUB):
            waiting, number = defer(scene)
            comment_on(bench.lab.project / "userdata/templates/branch.cf.j2")
            [osaka] = bench.lab.apply(["dev-osaka"])
            # The instance, and its volumes' attachments.
            assert counts(osaka) == (0, 0, 3, 0)
            # cloud-init ends before the queue's volume is mounted.
            assert wait_for(lambda: number in flow.queue(scene, BRANCH), LIMIT)
        wait_ready(scene.deployment)
        assert boxes <= flow.mailboxes(scene, BRANCH)
        flows.append(of_branch(bench, tmp_path / "branch-2"))
        assert wait_for(lambda: len(flows[-1].sent) >= 5, LIMIT)
    finally:
        for each in flows:
            each.end()
    assert wait_for(lambda: flushed(scene), 3 * LIMIT, interval=ASKING), queue_ids(scene)
    assert all(len(each.sent) >= 5 for each in flows)
    wait_arrived(scene, [waiting, *(message for each in flows for message in each.sent)])
    assert {message: n for message, n in flow.arrivals(scene).items() if n != 1} == {}
    assert flow.bounces(scene) == noted
    assert boot_ids(bench) == ids


def of_branch(bench: Bench, log: Path) -> Flow:
    """From the branch to the hub, to itself and out; it ends with the branch's machine."""
    recipients = [TARO, SABURO, f"b@{Scene(Twin(bench.lab)).outside[0].domain}"]
    return Flow.start(bench.lab, BRANCH, JIRO, recipients, pause=PAUSE, log=log)


def defer(scene: Scene) -> tuple[Message, str]:
    """A message that the branch cannot hand over; with its queue id."""
    word = flow.word()
    text = f"From: {SABURO}\nTo: {HANAKO}\nSubject: {word}\n\nhello\n"
    done = scene.run(BRANCH, ["sendmail", "-i", "-f", SABURO, HANAKO], stdin=text)
    assert done.code == 0, done.err
    held = wait_for(lambda: flow.deferred(scene, BRANCH, SABURO), LIMIT)
    assert held, flow.queue(scene, BRANCH)
    return (word, HANAKO), held[0]


def flushed(scene: Scene) -> bool:
    """Whether nothing is in any queue, after every host has tried again: one may yet learn the
    branch's new key."""
    for host in (*scene.outside, *scene.hosts):
        scene.run(host.name, ["postqueue", "-f"])
    return not queue_ids(scene)


def test_a_branch_leaves_while_mail_flows(bench: Bench, scene: Scene, tmp_path: Path) -> None:
    """What waits for its people waits on, without a bounce; new mail hears 550 at the edge."""
    ids, bounced, flows = boot_ids(bench), flow.bounces(scene), steady(bench, tmp_path)
    scene.run(BRANCH, ["systemctl", "stop", "postfix"], limit=100)
    waiting = send(bench, JIRO)
    assert wait_for(lambda: queued(scene, HUB, JIRO), LIMIT), "not in the hub's queue"
    [gone] = bench.lab.remove(["dev-osaka"])
    assert gone.deleted > 40
    left = Scene(Twin(bench.lab))
    wait_known(left, JIRO, wanted=False)
    assert BRANCH not in bench.boot_ids()
    assert boot_ids(bench) == ids
    for each in flows:
        each.end()
    sent = [message for each in flows for message in each.sent]
    assert len(sent) > 20
    wait_arrived(left, sent)
    unchanged(bench)
    check_nothing_left(bench, left)
    why = "not in this host's directory"

    def tried_anew() -> bool:
        # A delivery that is still under way to the branch's address has to give up first.
        left.run(HUB, ["postqueue", "-f"])
        return [why in each for each in queued(left, HUB, JIRO)] == [True]

    assert wait_for(tried_anew, 3 * LIMIT, interval=ASKING), queued(left, HUB, JIRO)
    assert flow.bounces(left) == bounced
    # It comes back, and what has waited arrives.
    bench.lab.apply(["dev-osaka"])
    wait_ready(Twin(bench.lab))
    again = Scene(Twin(bench.lab))
    wait_known(again, JIRO, wanted=True)

    def delivered() -> bool:
        # Its queue manager may know the way from before for 30 s (docs/operations.md); and the hub
        # may have tried the new machine before that listened.
        again.run(HUB, ["postqueue", "-f"])
        return flow.arrivals(again)[waiting] > 0

    assert wait_for(delivered, 3 * LIMIT, interval=ASKING), queued(again, HUB, JIRO)
    wait_arrived(again, [waiting])


def check_nothing_left(bench: Bench, scene: Scene) -> None:
    """Neither the hub, nor the relay, nor AWS's state names the branch or its network."""
    for host in (HUB, RELAY):
        found = scene.run(host, ["grep", "-rlE", "192[.]168[.]10[.]|osaka|jiro@example.jp", TABLES])
        assert found.out == "", host
    world = bench.lab.world
    routes = [route for table in world.route_tables for route in table.routes]
    assert {r.destination for r in routes if r.destination.startswith("192.168.")} == {
        "192.168.0.0/16"
    }
    [table] = world.transit_tables
    assert [route.destination for route in table.routes] == ["10.1.0.0/16"]
    assert [each.name for each in world.vpcs] == ["gatepost-dev"]
    assert [volume.name for volume in world.volumes if "osaka" in volume.name] == []


def test_an_office_that_is_not_there_yet_has_its_mail_kept(
    bench: Bench, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = boot_ids(bench)
    monkeypatch.setattr("cli.commands.PROJECT", bench.lab.project)
    argv = ["branch", "new", "nagoya", "--environment", "dev", "--host", "ms9.example.jp"]
    assert main([*argv, "--gateway", "203.0.113.20", "--network", "192.168.99.0/24"]) == 0
    people = bench.lab.project / "stacks/people/dev-nagoya.yaml"
    people.write_text(f"users: [{GORO}]\n")
    [office] = bench.lab.apply(["dev-nagoya"])
    assert counts(office) == (office.created, 0, 0, 0)
    wait_known(scene, GORO, wanted=True)
    send(bench, GORO)
    # The hub may have learned of the office after the relay, which then asks again by itself.
    handed_over = wait_for(lambda: queued(scene, HUB, GORO), LIMIT, interval=ASKING)
    assert handed_over, "not in the hub's queue"
    bench.lab.remove(["dev-nagoya"])
    wait_known(scene, GORO, wanted=False)
    assert boot_ids(bench) == ids
    assert scene.run(HUB, ["grep", "-rl", "192.168.99", TABLES]).out == ""


def test_what_is_not_deployed_cannot_be_removed(bench: Bench) -> None:
    with pytest.raises(LabError, match="stack dev-nagoya: not deployed in this lab; deployed: dev"):
        bench.lab.remove(["dev-nagoya"])
