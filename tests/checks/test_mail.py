"""Finding messages and reading their way, with mailboxes that exist in memory only."""

from __future__ import annotations

from email import message_from_string

import pytest

from checks import mail
from checks.deployment import Result
from checks.mail import INSIDE_MAIL, Copy, copies, follow, send, wait_for
from checks.suite import Failed, Scene
from tests.checks.fakes import FakeDeployment

ROUTED = """\
Delivered-To: taro@example.jp
Received: from dmz-ms.example.jp (dmz-ms.example.jp [10.1.1.4])
\tby ms.example.jp (Postfix) with ESMTPS id 3
\tfor <taro@example.jp>; Tue, 24 Nov 2026 04:00:02 +0000 (UTC)
Received: from mx.example.net (mx.example.net [192.0.2.10])
\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))
\tby dmz-ms.example.jp (Postfix) with ESMTPS id 2; Tue, 24 Nov 2026 04:00:01 +0000 (UTC)
Received: by mx.example.net (Postfix, from userid 0)
\tid 1; Tue, 24 Nov 2026 04:00:00 +0000 (UTC)
Subject: word
"""
HOPS = ["mx.example.net", "dmz-ms.example.jp", "ms.example.jp"]


def copy(text: str) -> Copy:
    return Copy(host="ms.example.jp", address="taro@example.jp", message=message_from_string(text))


def ok(out: str) -> Result:
    return Result(code=0, out=out, err="")


class Mailbox(FakeDeployment):
    """A deployment where every message sent lies in some files at once."""

    def __init__(self, files: dict[str, str], host: str = "ms.example.jp") -> None:
        super().__init__()
        self.files = files
        self.host = host

    def run(self, host: str, argv: object, *, stdin: str = "", limit: float = 60) -> Result:
        command = list(argv) if isinstance(argv, (list, tuple)) else []
        if host == self.host and command[0] == "grep":
            return ok("".join(f"{name}\n" for name in self.files))
        if command[0] == "cat":
            return ok(self.files[command[1]])
        if command[0] == "postqueue":
            return ok("Mail queue is empty\n")
        return super().run(host, command, stdin=stdin, limit=limit)


def box(user: str, domain: str = "example.jp", folder: str = "new") -> str:
    return f"{INSIDE_MAIL}/{domain}/{user}/{folder}/1.V1.ms"


def test_hops_are_read_from_the_first_to_the_last() -> None:
    assert copy(ROUTED).hops == HOPS


def test_a_message_without_received_headers_has_no_hops() -> None:
    assert copy("Subject: x\n\nReceived: by nobody\n").hops == []


def test_a_received_header_without_by_is_no_hop() -> None:
    assert copy("Received: from a.example\nReceived: by b.example\n\n").hops == ["b.example"]


def test_send_fails_with_what_sendmail_said() -> None:
    deployment = FakeDeployment()
    scene = Scene(deployment)
    assert send(scene, "ms.example.jp", "a@b", "c@d").startswith("gatepost-")
    assert send(scene, "ms.example.jp", "a@b", "c@d") != send(scene, "ms.example.jp", "a@b", "c@d")
    command = ("sendmail", "-i", "-f", "a@b", "c@d")
    deployment.replies["ms.example.jp", command] = Result(code=75, out="", err="no disk\n")
    with pytest.raises(Failed, match=r"sendmail on ms.example.jp ended with 75: no disk"):
        send(scene, "ms.example.jp", "a@b", "c@d")


def test_copies_are_told_with_their_mailbox() -> None:
    files = {box("taro"): ROUTED, box("taro", folder="tmp"): ROUTED, box("jiro"): ROUTED}
    found = copies(Scene(Mailbox(files)), "word")
    assert [(each.host, each.address) for each in found] == [
        ("ms.example.jp", "taro@example.jp"),
        ("ms.example.jp", "jiro@example.jp"),
    ]


def test_what_does_not_come_is_told_with_the_queues() -> None:
    with pytest.raises(Failed) as failure:
        wait_for(Scene(Mailbox({}), limit=0.1), "word", {"taro@example.jp"})
    assert str(failure.value) == (
        "nothing came to taro@example.jp within 0.1 s; all queues are empty"
    )


def test_follow_requires_one_copy_by_the_right_way() -> None:
    scene = Scene(Mailbox({box("taro"): ROUTED}), limit=0.1)

    def followed(scene: Scene, hops: list[str]) -> Copy:
        return follow(scene, scene.outside[0], "a@example.net", "taro@example.jp", hops)

    assert followed(scene, HOPS).hops == HOPS
    with pytest.raises(Failed, match=r"to taro@example.jp: should go .* went "):
        followed(scene, HOPS[1:])
    double = Scene(Mailbox({box("taro"): ROUTED, box("jiro"): ROUTED}), limit=0.1)
    with pytest.raises(Failed, match=r"taro@example.jp should have one copy, found .*jiro"):
        followed(double, HOPS)
    rewritten = ROUTED.replace("Delivered-To: taro@example.jp", "Delivered-To: taro@ms.example.jp")
    with pytest.raises(Failed, match=r"taro@example.jp became taro@ms.example.jp on its way"):
        followed(Scene(Mailbox({box("taro"): rewritten}), limit=0.1), HOPS)
    untold = ROUTED.replace("Delivered-To: taro@example.jp\n", "")
    with pytest.raises(Failed, match=r"taro@example.jp became None on its way"):
        followed(Scene(Mailbox({box("taro"): untold}), limit=0.1), HOPS)


@pytest.mark.parametrize(
    ("late", "said"),
    [
        ((), None),
        ((box("taro", folder="cur"),), "now ['taro@example.jp', 'taro@example.jp'] have it"),
        ((box("jiro"),), "now ['jiro@example.jp', 'taro@example.jp'] have it"),
        (None, "now [] have it"),
    ],
)
def test_a_copy_that_comes_late_or_goes_is_told(
    monkeypatch: pytest.MonkeyPatch, late: tuple[str, ...] | None, said: str | None
) -> None:
    mailbox = Mailbox({box("taro"): ROUTED})
    scene = Scene(mailbox, limit=0.1)
    word = follow_one(scene)
    there = () if late is None else (box("taro"), *late)
    lines = "".join(f"{file}:Subject: {word}\n" for file in there)
    other = f"{box('hanako')}:Subject: gatepost-{32 * '0'}\n"
    argv = ("grep", "-rE", "^Subject: gatepost-[0-9a-f]{32}$", INSIDE_MAIL)

    def run(host: str, command: object, **_: object) -> Result:
        return ok(lines + other if (host, command) == ("ms.example.jp", [*argv]) else "")

    monkeypatch.setattr(scene, "run", run)
    if said is None:
        assert mail.still_once(scene) == "1 messages"
        return
    with pytest.raises(Failed) as failure:
        mail.still_once(scene)
    assert str(failure.value).endswith(said)


def follow_one(scene: Scene) -> str:
    """Follow a message to taro; its word."""
    follow(scene, scene.outside[0], "a@example.net", "taro@example.jp", HOPS)
    [word] = scene.followed
    return word


def test_tokens_are_never_the_same() -> None:
    assert len({mail.token() for _ in range(100)}) == 100
