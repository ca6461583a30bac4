"""How checks are judged, and which of them apply."""

from __future__ import annotations

import pytest

from checks import alarms, logs, queueing, ready, suite
from checks.deployment import Result
from checks.suite import Failed, Scene, all_checks, expect, run_suite
from tests.checks.fakes import FakeDeployment, outputs

HOSTS = ("dmz-ms.example.jp", "ms.example.jp", "ms2.example.jp")


def judged(monkeypatch: pytest.MonkeyPatch, *checks: suite.Check) -> list[suite.Verdict]:
    monkeypatch.setattr(suite, "all_checks", lambda _scene: list(checks))
    return list(run_suite(FakeDeployment()))


def test_a_check_that_returns_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    def good(_: Scene) -> str:
        """all is well"""
        return "seen"

    [verdict] = judged(monkeypatch, good)
    assert (verdict.check, verdict.passed, verdict.finding) == ("all is well", True, "seen")
    assert 0 <= verdict.seconds < 1


def test_a_check_that_fails_or_breaks_has_not_passed_and_the_next_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def bad(_: Scene) -> str:
        """the moon

        is of cheese"""
        expect(False, "the moon is of stone")
        return "never"

    def broken(_: Scene) -> str:
        """this breaks"""
        raise KeyError("oops")

    def good(_: Scene) -> str:
        """this does not"""
        return "fine"

    first, second, third = judged(monkeypatch, bad, broken, good)
    assert (first.check, first.passed, first.finding) == ("the moon", False, "the moon is of stone")
    assert (second.check, second.passed) == ("this breaks", False)
    assert second.finding.startswith("the check broke: KeyError('oops') in ")
    assert "test_suite.py:" in second.finding
    assert third.passed


def test_ctrl_c_is_not_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_: Scene) -> str:
        """stopped"""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(monkeypatch, stopped)


def test_every_check_has_a_name_of_its_own_and_the_branch_has_more() -> None:
    whole = all_checks(Scene(FakeDeployment()))
    alone = all_checks(Scene(FakeDeployment(told=outputs(branch=False))))
    names = [check.__doc__ for check in whole]
    assert all(names)
    assert len(set(names)) == len(names) == len(alone) + 8
    assert set(alone) < set(whole)
    assert whole[-3:] == [logs.no_warning, logs.no_refusal, alarms.no_alarm]


def test_the_scene_knows_who_is_who() -> None:
    scene = Scene(FakeDeployment(told=outputs("direct")))
    assert [host.name for host in scene.hosts] == list(HOSTS)
    assert (scene.relay.name, scene.hub.name) == HOSTS[:2]
    assert scene.branch is not None
    assert (scene.branch.name, scene.branch.stack) == (HOSTS[2], "dev-osaka")
    assert scene.outbound == "direct"
    assert Scene(FakeDeployment()).outbound == "relay"
    assert scene.limit == suite.LIMIT


def journal(host: str, line: str) -> FakeDeployment:
    deployment = FakeDeployment()
    command = ("journalctl", "-q", "--no-pager", "-o", "short", "-b")
    for name in HOSTS:
        text = "Nov 24 04:00:00 h postfix/smtpd[1]: connect from a\n"
        deployment.replies[name, command] = Result(code=0, out=text, err="")
    text = f"Nov 24 04:00:00 h {line}\n"
    deployment.replies[host, command] = Result(code=0, out=text, err="")
    return deployment


@pytest.mark.parametrize("level", ["warning", "error", "fatal", "panic"])
def test_a_warning_in_a_mail_log_is_told(level: str) -> None:
    line = f"postfix/master[7]: {level}: the sky falls"
    with pytest.raises(Failed, match=f"ms2.example.jp warns 1 times, first: .*{level}: the sky"):
        logs.no_warning(Scene(journal(HOSTS[2], line)))


@pytest.mark.parametrize(("seconds", "told"), [(1, False), (10, True)])
def test_clocks_that_differ_by_more_than_their_grain_are_told(seconds: int, told: bool) -> None:
    line = f"postfix/cleanup[7]: warning: file system clock is {seconds} seconds ahead of"
    scene = Scene(journal(HOSTS[0], f"{line} local clock"))
    if told:
        with pytest.raises(Failed, match="file system clock is 10 seconds"):
            logs.no_warning(scene)
    else:
        assert logs.no_warning(scene) == "3 lines on 3 hosts"


def test_other_lines_are_no_warnings_and_silence_is_suspicious() -> None:
    harmless = "postfix/cleanup[7]: 1: message-id=<warning: not@one>"
    assert logs.no_warning(Scene(journal(HOSTS[0], harmless))) == "3 lines on 3 hosts"
    with pytest.raises(Failed, match=r"ms.example.jp has no mail log at all"):
        logs.no_warning(Scene(journal(HOSTS[1], "sshd[2]: warning: nothing")))


STRANGER, FRIEND = "mx.example.net[192.0.2.10]", "ms.example.jp[10.1.11.5]"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([f"smtpd[1]: warning: non-SMTP command from {STRANGER}: GET /"], False),
        ([f"smtpd[1]: warning: non-SMTP command from {FRIEND}: GET /"], True),
        ([f"postscreen[1]: warning: getpeername: {STRANGER}: gone"], False),
        ([f"smtp[1]: warning: {STRANGER}:25 offered a broken certificate"], True),
        ([f"relay/smtp[1]: warning: {STRANGER}:25 is no host of our own"], True),
        ([f"qmgr[1]: warning: deferred {STRANGER}"], True),
        (
            [
                f"smtpd[1]: SSL_accept error from {STRANGER}: -1",
                "smtpd[1]: warning: TLS library problem: no shared cipher",
            ],
            False,
        ),
        (
            [
                f"smtpd[1]: SSL_accept error from {STRANGER}: -1",
                f"inside/smtpd[2]: SSL_accept error from {FRIEND}: -1",
                "inside/smtpd[2]: warning: TLS library problem: no shared cipher",
            ],
            True,
        ),
        (
            [f"smtpd[1]: connect from {STRANGER}", "smtpd[1]: warning: cdb:tables is unavailable"],
            True,
        ),
        (["strangers/cleanup[3]: warning: A1B2: queue file size limit exceeded"], False),
        (["cleanup[3]: warning: A1B2: queue file size limit exceeded"], False),
        (["inside/cleanup[3]: warning: A1B2: queue file size limit exceeded"], True),
    ],
)
def test_what_strangers_do_is_not_our_trouble(lines: list[str], told: bool) -> None:
    deployment = journal(HOSTS[0], "\n".join(f"postfix/{line}" for line in lines))
    if told:
        with pytest.raises(Failed, match=f"{HOSTS[0]} warns 1 times"):
            logs.no_warning(Scene(deployment))
    else:
        logs.no_warning(Scene(deployment))


def test_a_queue_that_does_not_empty_is_told() -> None:
    deployment = FakeDeployment()
    for host in (*HOSTS, "internet", "internet2"):
        answer = Result(code=0, out="Mail queue is empty\n", err="")
        deployment.replies[host, ("postqueue", "-p")] = answer
    assert queueing.empty_queues(Scene(deployment)) == "5 queues"
    stuck = Result(code=0, out="4ABC 300 taro@example.jp\n", err="")
    deployment.replies[HOSTS[1], ("postqueue", "-p")] = stuck
    with pytest.raises(Failed, match=r"waited 0.2 s for an empty queue on ms.example.jp; .*4ABC"):
        queueing.empty_queues(Scene(deployment, limit=0.2))


def test_hosts_without_mail_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "LIMIT", 0.2)
    deployment = FakeDeployment()
    command = ("systemctl", "is-active", "postfix")
    for name in HOSTS:
        deployment.replies[name, command] = Result(code=0, out="active\n", err="")
    ready.wait_ready(deployment)
    deployment.replies[HOSTS[1], command] = Result(code=3, out="activating\n", err="")
    with pytest.raises(Failed, match=r"no mail service after .* on ms.example.jp$"):
        ready.wait_ready(deployment)
