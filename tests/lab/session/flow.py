"""Mail at a steady rate, sent while hosts go and come, and counted afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.mail import INSIDE_MAIL, OUTSIDE_MAIL
from checks.suite import Scene
from lab import hosts
from lab.session import Lab

END_LIMIT = 30.0
"""Seconds for a sender to end; it may be in the middle of a message."""

Message = tuple[str, str]
"""A word that is a message's subject and no other's, and its recipient."""

_SENDER = r"""
import select, smtplib, sys, uuid
sender, pause, *recipients = sys.argv[1:]
number = 0
while not select.select([sys.stdin], [], [], float(pause))[0]:
    recipient = recipients[number % len(recipients)]
    number += 1
    word = f"flow-{uuid.uuid4().hex}"
    print("try", word, recipient, flush=True)
    text = f"From: {sender}\r\nTo: {recipient}\r\nSubject: {word}\r\n\r\n{number}\r\n"
    try:
        with smtplib.SMTP("127.0.0.1", local_hostname="localhost", timeout=20) as server:
            server.sendmail(sender, [recipient], text)
    except OSError as error:
        print("error", error, file=sys.stderr, flush=True)
    else:
        print("sent", word, recipient, flush=True)
"""
"""Hands messages to the host's own Postfix by SMTP: what has heard 250 is on the queue's disk, so
that it must arrive (RFC 5321 section 4.2.5). What has not may. It ends with its standard input."""


def word() -> str:
    """A subject as the flows' own are."""
    return f"flow-{uuid.uuid4().hex}"


@dataclass(frozen=True, kw_only=True)
class Flow:
    """A sender on one host, which ends when it is told to, or with its host."""

    host: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls, lab: Lab, host: str, sender: str, recipients: Sequence[str], *, pause: float, log: Path
    ) -> Flow:
        """Send from `host` to each of `recipients` in turn, with a pause (seconds) in between."""
        program = ["python3", "-c", _SENDER, sender, str(pause), *recipients]
        with log.open("wb") as out, log.with_suffix(".errors").open("wb") as errors:
            process = subprocess.Popen(
                hosts.argv(lab, host, program),
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
        return cls(host=host, process=process, log=log)

    def end(self) -> None:
        """Let the sender finish its message; a sender whose host is gone has ended already."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(END_LIMIT)

    @property
    def sent(self) -> list[Message]:
        """What Postfix has taken."""
        return self._said("sent")

    @property
    def tried(self) -> list[Message]:
        """What Postfix was given, whether it took it or not."""
        return self._said("try")

    def _said(self, verb: str) -> list[Message]:
        # Of a sender that was killed the last line may be cut short.
        pattern = rf"^{verb} (flow-[0-9a-f]{{32}}) (\S+@\S+)\n"
        return re.findall(pattern, self.log.read_text(), re.MULTILINE)


def arrivals(scene: Scene) -> Counter[Message]:
    """How often each message of a flow is in which mailbox of any host."""
    found: Counter[Message] = Counter()
    pattern = re.compile(r"^/([^/]+)/([^/]+)/(?:new|cur)/[^:]+:Subject: (flow-[0-9a-f]{32})$")
    for host, root in _mailboxes(scene):
        listed = scene.run(host, ["grep", "-rE", "^Subject: flow-[0-9a-f]{32}$", root])
        for line in listed.out.splitlines():
            if match := pattern.match(line.removeprefix(root)):
                domain, user, subject = match.groups()
                found[subject, f"{user}@{domain}"] += 1
    return found


def judge(
    scene: Scene, flows: Sequence[Flow], *also: Message, before: Iterable[Message] = ()
) -> None:
    """What was taken is there once; what may have been taken at most once; nothing else is.

    `also` are messages beside the flows' that were taken; what was there `before` is no matter.
    """
    sent = {message for each in flows for message in each.sent} | {*also}
    tried = {message for each in flows for message in each.tried} | {*also}
    assert all(len(each.sent) >= 5 for each in flows), [len(each.sent) for each in flows]
    found = arrivals(scene)
    for message in before:
        del found[message]
    assert {message: found[message] for message in sent if found[message] != 1} == {}
    assert {message: count for message, count in found.items() if count != 1} == {}
    assert set(found) <= tried


def queue(scene: Scene, host: str) -> dict[str, dict[str, Any]]:
    """What a host's queue holds, by queue id (postqueue(1), -j)."""
    lines = scene.run(host, ["postqueue", "-j"]).out.splitlines()
    return {item["queue_id"]: item for item in map(json.loads, lines)}


def deferred(scene: Scene, host: str, sender: str) -> list[str]:
    """The queue ids of a sender's messages that a host could not hand over."""
    return [
        number
        for number, item in queue(scene, host).items()
        if (item["sender"], item["queue_name"]) == (sender, "deferred")
    ]


def mailboxes(scene: Scene, host: str) -> set[str]:
    """Every message in a host's mailboxes: its file and digest."""
    script = f"find {INSIDE_MAIL} -type f -path '*/new/*' -exec sha256sum {{}} +"
    return set(scene.run(host, ["sh", "-c", script]).out.splitlines())


def bounces(scene: Scene) -> set[tuple[str, str]]:
    """Every message of a mail system in any mailbox, by host and file."""
    return {
        (host, file)
        for host, root in _mailboxes(scene)
        for file in scene.run(
            host, ["grep", "-rlE", "^(Return-Path: <>|From: .*MAILER-DAEMON)", root]
        ).out.splitlines()
    }


def _mailboxes(scene: Scene) -> list[tuple[str, str]]:
    inside = [(host.name, INSIDE_MAIL) for host in scene.hosts if host.role != "relay"]
    return inside + [(host.name, OUTSIDE_MAIL) for host in scene.outside]
