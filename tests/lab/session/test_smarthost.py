"""`outbound: smarthost`, from the first boot without a login to a changed one; in this order."""

from __future__ import annotations

import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks import alarms, routes
from checks.mail import send, token, wait_for
from checks.smtp import identity, rcpt
from checks.suite import Scene, run_suite
from cli.twin import Twin
from lab.faults import SOUND, Faults
from lab.internet.smarthost import PASSWORD, USER
from lab.waiting import wait_for as wait_until
from tests.lab.session import flow
from tests.lab.session.bench import Bench, copy_project
from tests.lab.session.login import LOGIN, LOOK_LIMIT, put, use_smarthost

HUB, RELAY = "ms.example.jp", "dmz-ms.example.jp"
PARAMETER = "/gatepost/dev/hub/smarthost"
FOLDER = "/var/lib/gatepost-smarthost"
LIMIT = 30.0
"""Seconds for mail to be deferred, or to leave again, on a busy machine."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    project = copy_project(tmp_path_factory.mktemp("smarthost") / "project")
    found = Bench.of(project, tmp_path_factory.mktemp("smarthost-lab") / "state")
    use_smarthost(found, "dev")
    with found.up(["dev", "dev-osaka"]):
        yield found


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(Twin(bench.lab))


def alarm(scene: Scene) -> str:
    """What the hub's alarm says; empty if none stands."""
    found = alarms.standing(scene.deployment, [HUB])
    return found.get(HUB, {}).get("smarthost", "")


def test_without_a_login_mail_waits_and_the_alarm_tells_what_to_do(
    bench: Bench, scene: Scene
) -> None:
    recipient = f"early@{scene.outside[0].domain}"
    word = send(scene, HUB, "taro@example.jp", recipient)
    assert wait_until(lambda: "no login" in repr(flow.queue(scene, HUB)), LIMIT)
    assert alarm(scene) == (
        f"{PARAMETER} is missing: gatepost secret put dev smarthost; mail waits in the queue"
    )
    done = put(bench, "dev", LOGIN)
    assert (done.returncode, done.stderr) == (0, "")
    assert wait_until(lambda: not alarm(scene), LOOK_LIMIT)
    [copy] = wait_for(scene, word, {recipient})
    assert copy.hops == ["example.jp", scene.environment["smarthost"], scene.outside[0].host]


def test_every_acceptance_check_passes(scene: Scene) -> None:
    verdicts = list(run_suite(scene.deployment))
    assert [each for each in verdicts if not each.passed] == []
    assert routes.seen_by_smarthost.__doc__ in {each.check for each in verdicts}


def test_the_hub_takes_a_relay_s_bounces_for_anywhere_and_defers_the_rest(scene: Scene) -> None:
    recipient = f"x@{scene.outside[1].domain}"
    for sender, code in (("", "250 "), (f"a@{scene.outside[0].domain}", "450 4.7.1 ")):
        mine = identity(scene, RELAY)
        reply = rcpt(scene, RELAY, scene.hub.private_ip, sender, recipient, identity=mine)
        assert reply.startswith(code), (sender, reply)


def test_where_it_takes_nothing_without_a_sender_the_operator_has_it(
    bench: Bench, scene: Scene
) -> None:
    word, operator = token(), "taro@example.jp"
    text = f"From: {operator}\nSubject: {word}\nAuto-Submitted: auto-replied\n\naway\n"
    argv = ["sendmail", "-i", "-f", "<>", f"a@{scene.outside[0].domain}"]
    bench.lab.break_on_purpose(Faults(null_sender_refused=True))
    try:
        assert scene.run(HUB, argv, stdin=text).code == 0
        [copy] = wait_for(scene, word, {operator})
    finally:
        bench.lab.break_on_purpose(SOUND)
    assert "501 5.1.7 <>: Sender address rejected: Invalid MAIL FROM" in " ".join(
        copy.message.as_string().split()
    )


def test_only_the_hub_may_read_it(scene: Scene) -> None:
    script = (
        "import boto3, sys; print(boto3.client('ssm', region_name='us-east-1')"
        f".get_parameter(Name='{PARAMETER}', WithDecryption=True)['Parameter']['Type'])"
    )
    assert scene.run(HUB, ["python3", "-c", script]).out == "SecureString\n"
    for host in scene.hosts:
        if host.name != HUB:
            refused = scene.run(host.name, ["python3", "-c", script])
            assert refused.code != 0
            assert "AccessDenied" in refused.err, refused.err[-300:]


@pytest.mark.parametrize(
    ("faults", "why"),
    [
        (Faults(wrong_certificate=("smarthost",)), "Server certificate not verified"),
        (Faults(smarthost_plain=True), "TLS is required, but was not offered"),
    ],
)
def test_who_does_not_prove_to_be_the_smarthost_gets_neither_mail_nor_login(
    bench: Bench, scene: Scene, faults: Faults, why: str
) -> None:
    log, recipient = bench.lab.state / "logs" / "smarthost-postfix.log", f"{token()}@example.net"
    bench.lab.break_on_purpose(faults)
    try:
        before = len(log.read_text())
        word = send(scene, HUB, "taro@example.jp", recipient)
        assert wait_until(lambda: why in repr(flow.queue(scene, HUB)), LIMIT)
        # What a client has asked for is counted when it goes (smtpd(8)).
        gone = r"disconnect from (?!localhost)"
        assert wait_until(lambda: re.search(gone, log.read_text()[before:]) is not None, LIMIT)
        met = log.read_text()[before:]
        assert not re.search(r"auth=|sasl_username=|mail=", met), met
    finally:
        bench.lab.break_on_purpose(SOUND)
    scene.run(HUB, ["postqueue", "-f"])
    assert [copy.address for copy in wait_for(scene, word, {recipient})] == [recipient]


def test_a_changed_login_is_in_force_without_a_restart_and_nowhere_else(
    bench: Bench, scene: Scene
) -> None:
    """Last: Postfix warns of the login that the smarthost refuses."""
    recipient, ids = f"later@{scene.outside[0].domain}", bench.boot_ids()
    main = ["systemctl", "show", "-p", "MainPID", "postfix"]
    before, wrong = scene.run(HUB, main).out, f"wrong-{uuid.uuid4().hex}"
    assert put(bench, "dev", f"{USER}:{wrong}").returncode == 0
    assert wait_until(lambda: wrong in table(scene), LOOK_LIMIT)
    word = send(scene, HUB, "taro@example.jp", recipient)
    assert wait_until(lambda: "authentication failed" in repr(flow.queue(scene, HUB)), LIMIT)
    assert places(scene, wrong) == {HUB: {f"{FOLDER}/login", f"{FOLDER}/login.cdb"}}
    assert in_files(bench, wrong) <= {"login", "login.cdb"}
    assert put(bench, "dev", LOGIN).returncode == 0
    assert wait_until(lambda: PASSWORD in table(scene), LOOK_LIMIT)
    scene.run(HUB, ["postqueue", "-f"])
    assert [copy.address for copy in wait_for(scene, word, {recipient})] == [recipient]
    assert scene.run(HUB, main).out == before
    assert bench.boot_ids() == ids


def table(scene: Scene) -> str:
    return scene.run(HUB, ["cat", f"{FOLDER}/login"]).out


def places(scene: Scene, secret: str) -> dict[str, set[str]]:
    """The files of each host that hold the secret, processes' command lines among them."""
    script = (
        "cat > /run/wanted; grep -rlF -f /run/wanted --exclude=wanted --devices=skip "
        "/etc /home /root /run /tmp /usr/local /var /proc/[0-9]*/cmdline /proc/[0-9]*/environ "
        "2>/dev/null; rm /run/wanted"
    )
    found = {
        host.name: set(scene.run(host.name, ["sh", "-c", script], stdin=secret).out.split())
        for host in scene.hosts
    }
    return {host: files for host, files in found.items() if files}


def in_files(bench: Bench, secret: str) -> set[str]:
    """The names of the lab's files that hold it: Pulumi's state, AWS's, user data, logs, disks."""
    argv = ["grep", "-rlF", "-f", "-", str(bench.lab.state)]
    done = subprocess.run(argv, input=secret, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1, 2), done
    # 2 is for files that it could not read: machines remove and rename some under its hands.
    gone = "No such file or directory"
    assert [line for line in done.stderr.splitlines() if not line.endswith(gone)] == []
    return {Path(line).name for line in done.stdout.splitlines()}
