"""A strict receiver's findings, as they stand in a message."""

from __future__ import annotations

from email import message_from_string

import pytest

from checks import accepted
from checks.deployment import Result
from checks.suite import Failed, Scene
from tests.checks.fakes import FakeDeployment

RECEIVER = "mx.example.com"
GOOD = (
    f"{RECEIVER}; iprev=pass policy.iprev=198.51.100.25 (dmz-ms.example.jp);\n"
    "\tspf=pass smtp.mailfrom=example.jp;\n"
    "\tdmarc=pass (policy quarantine) header.from=example.jp"
)


def judge(results: str, kind: str = "mailfrom") -> str:
    message = message_from_string(f"Authentication-Results: {results}\n\n")
    return accepted.judge(message, RECEIVER, kind)


def test_the_identity_for_which_spf_passed_is_told() -> None:
    assert judge(GOOD) == "example.jp"
    assert judge(GOOD.replace("mailfrom=example.jp", "helo=dmz-ms.example.jp"), "helo") == (
        "dmz-ms.example.jp"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dmarc=pass", "dmarc=fail", "all should pass"),
        ("spf=pass", "spf=neutral", "all should pass"),
        ("iprev=pass policy.iprev=198.51.100.25 (dmz-ms.example.jp);\n\t", "", "all should pass"),
        (RECEIVER, "mx.example.net", "mx.example.com should have judged it"),
        ("smtp.mailfrom", "smtp.helo", "SPF should be of mailfrom"),
    ],
)
def test_anything_less_is_a_finding(old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(Failed, match=said):
        judge(GOOD.replace(old, new))


def test_a_message_that_nobody_judged_is_a_finding() -> None:
    with pytest.raises(Failed, match="should have judged it: None"):
        accepted.judge(message_from_string("Subject: x\n\n"), RECEIVER, "helo")


def test_what_does_not_come_is_told_with_the_receivers_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepted, "token", lambda: "word")
    deployment = FakeDeployment()
    refused = "4A: to=<word@example.com>, status=bounced (550 5.7.26 DMARC policy reject)"
    command = ("journalctl", "-q", "-b", "-o", "cat", "--no-pager")
    deployment.replies["ms.example.jp", command] = Result(code=0, out=f"{refused}\n", err="")
    with pytest.raises(Failed, match=r"nothing came to word@example.com .*; ms.example.jp: 4A"):
        accepted.vacation_replies(Scene(deployment, limit=0.1))
