"""Aliases that lead outside: SRS on the way out, bounces on the way back; in this order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from checks.leaving import tells_nothing
from checks.mail import Copy, copies, send, token, wait_for
from checks.queueing import empty_queues, queue_ids, settle, without_postfix
from checks.ready import wait_ready
from checks.smtp import deliver, rcpt
from checks.suite import Scene, run_suite
from cli.twin import Twin
from lab.engine.deploy import EngineError
from lab.internet.hosts import VERDICTS
from lab.internet.plan import INTERNET, INTERNET2
from lab.waiting import wait_for as wait_until
from tests.lab.session import flow
from tests.lab.session.bench import Bench, copy_project, edit
from tests.lab.session.test_smarthost import in_files, places

HUB = "ms.example.jp"
TEAM, GONE, LOOP = "team@example.jp", "gone@example.jp", "loop@example.jp"
HANAKO = "hanako@example.jp"
ABROAD, BACK = f"abroad@{INTERNET2.domain}", f"back@{INTERNET.domain}"
ALIASES = f"""\
  {TEAM}: [{HANAKO}, {ABROAD}]
  {GONE}: [{HANAKO}, nobody@{INTERNET2.domain}]
  {LOOP}: [{HANAKO}, {BACK}]
"""
KEPT = "/var/spool/postfix/gatepost/srs.secret"
USED = "/etc/postsrsd.secret"
TRACES = {
    *("received", "return-path", "delivered-to", "x-original-to", "x-loop"),
    "authentication-results",
}
"""Header fields that hosts write as a message passes them."""
NULL = "<MAILER-DAEMON>"
"""What pipe(8) writes at an outside host for the null sender (null_sender)."""
ASKED_LIMIT = 120.0
"""Seconds for a relay to ask again for what nobody could tell: a minute, and the asking."""
LIMIT = 30.0
"""Seconds for mail to be deferred on a busy machine."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    project = copy_project(tmp_path_factory.mktemp("forwarding") / "project")
    mode = "    outbound: relay\n"
    edit(project / "stacks" / "Pulumi.dev.yaml", mode, mode + "    forwarding: srs\n")
    edit(project / "stacks" / "people" / "dev.yaml", "\naliases:\n", "\naliases:\n" + ALIASES)
    found = Bench.of(project, tmp_path_factory.mktemp("forwarding-lab") / "state")
    with found.up(["dev", "dev-osaka"]):
        yield found


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(Twin(bench.lab))


def stranger() -> str:
    """Someone whose domain lets nobody but its own MX send (SPF, `-all`)."""
    return f"{token()}@{INTERNET.domain}"


def verdict(scene: Scene, copy: Copy) -> dict[str, Any]:
    """What the strict receiver found of a message that it took."""
    text = scene.run(INTERNET2.namespace, ["cat", VERDICTS]).out
    found = [json.loads(line) for line in text.splitlines()]
    sender = copy.message["Return-Path"].strip("<>")
    return next(line for line in found if line["sender"] == sender)


def forwarded(scene: Scene, sender: str) -> Copy:
    """Have a stranger's message forwarded; the copy outside."""
    word = send(scene, INTERNET.namespace, sender, TEAM)
    found = wait_for(scene, word, {HANAKO, ABROAD})
    return next(copy for copy in found if copy.address == ABROAD)


def return_address(copy: Copy) -> str:
    return copy.message["Return-Path"].strip("<>")


def bounce(scene: Scene, to: str, sender: str = "") -> str:
    """Have the strict receiver send a bounce; its subject."""
    word, host = token(), INTERNET2.namespace
    text = f"From: MAILER-DAEMON@{INTERNET2.host}\r\nSubject: {word}\r\n\r\n{word}\r\n"
    reply = deliver(scene, host, scene.relay.public_ip, sender, [to], text)
    assert reply.startswith("250 "), reply
    return word


def heard(scene: Scene, to: str, sender: str = "") -> str:
    """What the strict receiver hears at RCPT."""
    return rcpt(scene, INTERNET2.namespace, scene.relay.public_ip, sender, to)


def test_every_acceptance_check_passes(scene: Scene) -> None:
    verdicts = list(run_suite(scene.deployment))
    assert [each for each in verdicts if not each.passed] == []
    assert len(verdicts) >= 50


def test_a_strict_receiver_takes_what_is_forwarded_and_mailboxes_keep_the_sender(
    scene: Scene,
) -> None:
    sender = stranger()
    word = send(scene, INTERNET.namespace, sender, TEAM)
    found = {copy.address: copy for copy in wait_for(scene, word, {HANAKO, ABROAD})}
    assert set(found) == {HANAKO, ABROAD}
    assert found[HANAKO].message["Return-Path"] == f"<{sender}>"
    seen = verdict(scene, found[ABROAD])
    local, _, domain = sender.partition("@")
    assert seen["sender"].startswith("SRS0=")
    assert seen["sender"].endswith(f"={domain}={local}@example.jp")
    assert (seen["code"], seen["spf"], seen["from"]) == ("250", "example.jp", domain)
    # A signature of its author's would still be right.
    inside, outside = (_untraced(found[address]) for address in (HANAKO, ABROAD))
    assert inside == outside
    tells_nothing(scene, found[ABROAD])


def _untraced(copy: Copy) -> list[Any]:
    fields = [(name, text) for name, text in copy.message.items() if name.lower() not in TRACES]
    return [*fields, copy.message.get_payload()]


def test_our_own_people_s_mail_keeps_its_sender(scene: Scene) -> None:
    for word in (
        send(scene, HUB, "taro@example.jp", TEAM),
        send(scene, HUB, "taro@example.jp", ABROAD),
    ):
        [copy] = [copy for copy in wait_for(scene, word, {ABROAD}) if copy.address == ABROAD]
        assert copy.message["Return-Path"] == "<taro@example.jp>"
        assert copy.message["X-Loop"] is None


def test_a_bounce_comes_back_to_the_sender_once(scene: Scene) -> None:
    sender = stranger()
    address = return_address(forwarded(scene, sender))
    before = queue_ids(scene)
    for to in (address, address.lower()):
        word = bounce(scene, to)
        [copy] = wait_for(scene, word, {sender})
        assert copy.message["Return-Path"] == NULL
        settle(scene, before)
        assert len(copies(scene, word)) == 1


def test_what_the_outside_refuses_is_reported_to_the_sender_once(scene: Scene) -> None:
    sender, before = stranger(), queue_ids(scene)
    word = send(scene, INTERNET.namespace, sender, GONE)
    wait_for(scene, word, {HANAKO, sender})
    settle(scene, before)
    found = {copy.address: copy for copy in copies(scene, word)}
    assert len(copies(scene, word)) == 2
    assert found[sender].message.get_content_type() == "multipart/report"
    assert "No such user here" in found[sender].message.as_string()
    tells_nothing(scene, found[sender])


def test_a_forged_return_address_is_refused_at_the_edge_and_nothing_arrives(scene: Scene) -> None:
    sender = stranger()
    address = return_address(forwarded(scene, sender))
    tag, digest, day, rest = address.split("=", 3)
    hash_of_another = "".join("B" if char in "aA" else "a" for char in digest)
    other_day = "A" + day[1:] if day[0] != "A" else "B" + day[1:]
    before, queued = flow.arrivals(scene), queue_ids(scene)
    for altered in (
        f"{tag}={hash_of_another}={day}={rest}",
        f"{tag}={digest}={other_day}={rest}",
        f"{tag}={digest}={day}={rest.replace('gatepost', 'Gatepast')}",
        f"{tag}={digest[:4]}={day}={rest}",
        f"SRS1={digest}={INTERNET.domain}=={digest}={day}={rest}",
        f"{tag}=@example.jp",
    ):
        assert heard(scene, altered).startswith("550 5.1.1 "), altered
        assert "10.1." not in heard(scene, altered)
    assert heard(scene, address, ABROAD).startswith("550 5.7.1 ")
    assert heard(scene, address.replace("example.jp", "example.co.jp")).startswith("550 5.1.1 ")
    assert heard(scene, address).startswith("250 ")
    settle(scene, queued)
    assert flow.arrivals(scene) == before


def test_while_the_hub_is_away_no_bounce_is_taken_or_refused(scene: Scene) -> None:
    address = return_address(forwarded(scene, stranger()))
    with without_postfix(scene, HUB):
        assert heard(scene, address).startswith("450 4.1.1 ")


def test_spam_is_delivered_and_not_forwarded(scene: Scene) -> None:
    """Marked inside; a stranger's own mark is removed at the edge."""
    sender, before = stranger(), queue_ids(scene)
    marks = {"X-Spam: Yes": False, "X-Spam-Flag: YES": False, "X-Spam-Flag: NO": True}
    for mark, goes in marks.items():
        word = token()
        text = f"From: {sender}\nTo: {TEAM}\nSubject: {word}\n{mark}\n\n{word}\n"
        assert scene.run(HUB, ["sendmail", "-i", "-f", sender, TEAM], stdin=text).code == 0
        wait_for(scene, word, {HANAKO, ABROAD} if goes else {HANAKO})
        settle(scene, before)
        assert len(copies(scene, word)) == 1 + goes, mark
        if not goes:
            log = scene.run(HUB, ["journalctl", "-q", "-b", "-t", "postfix/forward/cleanup"]).out
            assert f"discard: header {mark}" in log
    word = token()
    text = f"From: {sender}\r\nSubject: {word}\r\nX-Spam: Yes\r\n\r\n{word}\r\n"
    relay = scene.relay.public_ip
    assert deliver(scene, INTERNET.namespace, relay, sender, [TEAM], text).startswith("250 ")
    assert len(wait_for(scene, word, {HANAKO, ABROAD})) == 2


@pytest.mark.parametrize("rewrites", [False, True])
def test_what_comes_back_to_its_alias_is_sent_out_once(scene: Scene, rewrites: bool) -> None:
    """Two systems that forward to each other; the other keeps the sender, or rewrites it too."""
    sender, own, before = stranger(), f"own@{INTERNET.domain}", queue_ids(scene)
    settings = [f"virtual_alias_maps=inline:{{{{{BACK}={LOOP}}}}}"]
    if rewrites:
        settings.append(f"sender_canonical_maps=regexp:{{{{/@example.jp$$/ {own}}}}}")
        settings.append("sender_canonical_classes=envelope_sender")
    names = [setting.partition("=")[0] for setting in settings]
    run = scene.run
    try:
        assert run(INTERNET.namespace, ["postconf", "-e", *settings]).code == 0
        assert run(INTERNET.namespace, ["postfix", "reload"]).code == 0
        word = send(scene, INTERNET2.namespace, f"a@{INTERNET2.domain}", LOOP)
        reported = own if rewrites else f"a@{INTERNET2.domain}"
        wait_for(scene, word, {HANAKO, reported})
        settle(scene, before)
    finally:
        run(INTERNET.namespace, ["postconf", "-X", *names])
        run(INTERNET.namespace, ["postfix", "reload"])
    found = [copy.address for copy in copies(scene, word)]
    assert sorted(found) == sorted([*[HANAKO] * (1 + rewrites), reported])
    assert sender not in found


def test_the_secret_is_the_hub_s_alone(bench: Bench, scene: Scene) -> None:
    secret = scene.run(HUB, ["cat", KEPT]).out.strip()
    assert len(secret) == 32
    modes = scene.run(HUB, ["stat", "-c", "%U %a", KEPT, KEPT.rpartition("/")[0], USED]).out
    assert modes.splitlines() == ["root 600", "root 700", "root 600"]
    assert places(scene, secret) == {HUB: {KEPT, USED}}
    volumes = {item["VolumeId"] for item in bench.client("ec2").describe_volumes()["Volumes"]}
    files = {name.partition(".")[0] for name in in_files(bench, secret)}
    assert files <= {"postsrsd", "srs"} | volumes


def test_while_postsrsd_is_away_mailboxes_get_their_mail_and_the_rest_waits(scene: Scene) -> None:
    sender, before = stranger(), queue_ids(scene)
    scene.run(HUB, ["systemctl", "stop", "postsrsd"])
    try:
        word = send(scene, INTERNET.namespace, sender, TEAM)
        [copy] = wait_for(scene, word, {HANAKO})
        assert copy.address == HANAKO
        assert wait_until(lambda: "451 4.3.0" in repr(flow.queue(scene, HUB)), 2 * LIMIT)
    finally:
        scene.run(HUB, ["systemctl", "start", "postsrsd"])
    scene.run(HUB, ["postqueue", "-f"])
    assert len(wait_for(scene, word, {HANAKO, ABROAD})) == 2
    settle(scene, before)


def test_a_bounce_still_comes_back_when_the_hub_has_been_replaced(
    bench: Bench, scene: Scene
) -> None:
    sender = stranger()
    address = return_address(forwarded(scene, sender))
    empty_queues(scene)
    ids = bench.boot_ids()
    template = bench.lab.project / "userdata" / "templates" / "hub.cf.j2"
    template.write_text("# Another one.\n" + template.read_text())
    bench.lab.apply([])
    twin = Twin(bench.lab)
    wait_ready(twin)
    changed = bench.boot_ids()
    assert {host for host in ids if ids[host] != changed[host]} == {HUB}
    # The relay may have asked while the new hub's key was not known yet, and remembers that: 450
    # then, and the receiver's own Postfix tries again.
    renewed = Scene(twin, limit=ASKED_LIMIT)
    [copy] = wait_for(renewed, send(renewed, INTERNET2.namespace, "<>", address), {sender})
    assert copy.message["Return-Path"] == NULL


def test_without_the_setting_the_preview_refuses_by_its_name(bench: Bench) -> None:
    file = bench.lab.project / "stacks" / "Pulumi.dev.yaml"
    edit(file, "    forwarding: srs\n", "")
    with pytest.raises(EngineError) as error:
        bench.lab.apply([])
    said = " ".join(str(error.value).split())
    assert f"aliases.{TEAM}: must not lead outside the mail domains" in said
    assert f"without environment.forwarding: srs (docs/decisions/forwarding.md), got {ABROAD}" in (
        said
    )
