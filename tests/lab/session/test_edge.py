"""Drills at the edge that need faults in the lab's Internet, or another Postfix than the usual."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from checks import edge, leaving, sizes, strangers
from checks.mail import follow
from checks.sizes import Shape
from checks.smtp import dialogue, rcpt
from checks.strangers import forget
from checks.suite import Check, Scene
from lab.faults import SOUND, Faults
from lab.waiting import wait_for
from tests.lab.session.bench import SETTLE_LIMIT, Bench, wait_finding
from tests.lab.session.port25 import drill
from tests.lab.session.test_mutations import postfix, run

BACK = 30.0
"""Seconds for systemd to start Postfix again, after a pause of five."""


@pytest.fixture
def faulty(bench: Bench) -> Generator[Bench]:
    """The shared lab, mended afterwards."""
    before = bench.lab.faults
    try:
        yield bench
    finally:
        bench.lab.break_on_purpose(before)


def greeted(scene: Scene) -> str:
    """What the first outside host hears at RCPT from a relay that does not know it yet."""
    outside, relay = scene.outside[0], scene.relay
    forget(scene, relay, outside)
    recipient = f"taro@{scene.domains[0]}"
    return rcpt(scene, outside.name, relay.public_ip, f"a@{outside.domain}", recipient)


def test_who_is_listed_is_refused_by_name_of_the_list(faulty: Bench, scene: Scene) -> None:
    address = scene.outside[0].address
    assert greeted(scene).startswith("250 ")
    faulty.lab.break_on_purpose(Faults(listed=(address,)))
    wanted = f"550 5.7.1 Service unavailable; client [{address}] blocked using zen.spamhaus.org"
    said: list[str] = []

    def refused() -> bool:
        said.append(greeted(scene))
        return said[-1].startswith(wanted)

    # The relay's resolver may hold the former answer for as long as the list allows.
    assert wait_for(refused, 2 * SETTLE_LIMIT), said[-1]
    faulty.lab.break_on_purpose(SOUND)
    assert wait_for(lambda: greeted(scene).startswith("250 "), 2 * SETTLE_LIMIT)


@pytest.mark.parametrize("mode", ["nonsense", "everything"])
def test_a_list_that_answers_nonsense_stops_no_mail(faulty: Bench, scene: Scene, mode: str) -> None:
    faulty.lab.break_on_purpose(replace(SOUND, blocklist=mode))
    outside = scene.outside[0]
    query = ".".join(reversed(outside.address.split("."))) + ".zen.spamhaus.org"

    def answers() -> bool:
        return scene.run(scene.relay.name, ["getent", "ahostsv4", query]).out.startswith("127.")

    assert wait_for(answers, SETTLE_LIMIT)
    assert greeted(scene).startswith("250 ")


def test_a_blocked_port_25_is_named_by_who_sends(bench: Bench, scene: Scene) -> None:
    """The hub and the branch send to hosts of our own only."""
    drill(bench.lab, scene, scene.relay_names)


@pytest.mark.parametrize(
    "shape",
    [
        Shape(below=200, line=1000),
        Shape(below=200, line=78),
        Shape(below=8192, line=3),
        Shape(below=38_000, line=1000),
    ],
    ids=str,
)
@pytest.mark.parametrize("way", [sizes.inwards, sizes.outwards])
def test_no_shape_of_message_is_taken_and_then_returned(
    scene: Scene, shape: Shape, way: Callable[[Scene], sizes.Way]
) -> None:
    sizes.arrives_or_is_refused(scene, shape, way(scene))


def test_one_address_may_send_so_many_messages_a_minute(scene: Scene) -> None:
    outside, relay = scene.outside[0], scene.relay
    lines = ("EHLO check.test", f"MAIL FROM:<a@{outside.domain}>")

    def said() -> str:
        return dialogue(scene, outside.name, relay.public_ip, *lines)[-1]

    with postfix(scene, relay.name, "smtpd_client_message_rate_limit", "1"):
        # The one that is allowed may have been sent before, and new processes know the new limit.
        refusal = f"450 4.7.1 Error: too much mail from {outside.address}"
        assert wait_for(lambda: said() == refusal, SETTLE_LIMIT), said()
    assert wait_for(lambda: said().startswith("250 "), SETTLE_LIMIT), said()


def test_a_postfix_that_crashes_comes_back(scene: Scene) -> None:
    for host in (scene.relay.name, scene.hub.name):
        before = master(scene, host)
        run(scene, host, "kill", "-KILL", before)
        assert wait_for(
            lambda host=host, before=before: master(scene, host) not in ("0", before), BACK
        )
        assert run(scene, host, "systemctl", "is-active", "postfix").strip() == "active"
    [outside, _], domain = scene.outside, scene.domains[0]
    inwards = [outside.host, scene.relay.name, scene.hub.name]
    follow(scene, outside, f"a@{outside.domain}", f"hanako@{domain}", inwards)


def master(scene: Scene, host: str) -> str:
    """The process id of Postfix's master(8); 0 while there is none."""
    return run(scene, host, "systemctl", "show", "-P", "MainPID", "postfix").strip()


@contextmanager
def service(scene: Scene, host: str, option: str, value: str) -> Generator[None]:
    """Another value of one service's option in a host's master.cf (postconf(1), -P)."""
    former = run(scene, host, "postconf", "-Ph", option).strip()
    assert former, f"{option} is not given in the master.cf of {host}"

    def change(to: str) -> None:
        run(scene, host, "postconf", "-P", f"{option}={to}")
        run(scene, host, "postfix", "reload")

    change(value)
    try:
        yield
    finally:
        change(former)


@pytest.mark.parametrize(
    ("role", "option", "value", "check", "said"),
    [
        (
            "relay",
            "smtp/unix/smtp_header_checks",
            "",
            leaving.messages,
            "on internet2 reads ms.example.jp in ",
        ),
        (
            "relay",
            "defer/unix/cleanup_service_name",
            "cleanup",
            leaving.relay_bounce,
            "on internet reads 10.1.11.5 in ",
        ),
        (
            "hub",
            "cleanup-inside/unix/force_mime_input_conversion",
            "yes",
            sizes.just_under,
            "fill='x') should be with ['jiro@example.jp', 'taro@example.jp'], is with ['a@",
        ),
        (
            "relay",
            "cleanup-strangers/unix/header_checks",
            "",
            strangers.forged_headers,
            "should be gone from the copy of taro@example.jp: ['authentication-results', ",
        ),
    ],
)
def test_a_changed_service_is_noticed(
    scene: Scene, role: str, option: str, value: str, check: Check, said: str
) -> None:
    host = next(host.name for host in scene.hosts if host.role == role)
    # Some of these checks stop and start Postfix.
    patient = Scene(scene.deployment)
    with service(scene, host, option, value):
        wait_finding(check, patient, said)
    wait_finding(check, patient)


@pytest.mark.parametrize(
    ("role", "name", "value", "check", "said"),
    [
        (
            "relay",
            "smtpd_discard_ehlo_keywords",
            "",
            strangers.offers,
            "dmz-ms.example.jp should offer ",
        ),
        (
            "relay",
            "postscreen_greet_action",
            "ignore",
            strangers.early_talker,
            "should say 550 5.5.1 ",
        ),
        ("relay", "message_size_limit", "40000000", strangers.too_large, "552 5.3.4 , said '250 "),
        ("branch", "message_size_limit", "37000000", sizes.own_programs, "552 5.3.4 , said '250 "),
        (
            "relay",
            "virtual_alias_maps",
            "",
            edge.machines_write,
            "mail to root@dmz-ms.example.jp on dmz-ms.example.jp came back",
        ),
        (
            "hub",
            "force_mime_input_conversion",
            "no",
            leaving.seven_bits,
            "it should be quoted-printable, is 8bit",
        ),
    ],
)
def test_a_changed_edge_is_noticed(
    scene: Scene, role: str, name: str, value: str, check: Check, said: str
) -> None:
    host = next(host.name for host in scene.hosts if host.role == role)
    brief = Scene(scene.deployment, limit=2.0)
    with postfix(scene, host, name, value):
        wait_finding(check, brief, said)
    wait_finding(check, scene)
