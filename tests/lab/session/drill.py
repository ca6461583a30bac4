"""Mail straight to the relay, at a steady rate, while people change; each answer is judged."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from checks.deployment import MailHost
from checks.suite import Scene
from lab import hosts
from lab.session import Lab
from lab.waiting import wait_for
from tests.lab.session.bench import Bench

END_LIMIT = 30.0
FORCE_LIMIT = 60.0
"""Seconds for a change to be in force; what is measured is far less."""
ROUNDS = 6
ROUND_LIMIT = 15.0
"""How often all queues are told to try again, and seconds for them to be empty then."""
SENDER = "steady@example.net"
STATE = "/run/gatepost/directory.json"

_PROGRAM = r"""
import json, select, smtplib, sys, time, uuid
relay, sender, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
recipients, number = [], 0
while True:
    if select.select([sys.stdin], [], [], pause)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        recipients = json.loads(line)
        print(json.dumps({"list": len(recipients), "at": time.time()}), flush=True)
    if not recipients:
        continue
    recipient = recipients[number % len(recipients)]
    number += 1
    word = f"flow-{uuid.uuid4().hex}"
    detail = recipient.replace("@", "+drill@") if number % 5 == 0 else recipient
    text = f"From: {sender}\r\nTo: {detail}\r\nSubject: {word}\r\n\r\n{number}\r\n"
    begun = time.time()
    try:
        with smtplib.SMTP(relay, local_hostname="mx.example.net", timeout=20) as server:
            server.ehlo()
            server.mail(sender)
            code, said = server.rcpt(detail)
            if code == 250:
                code, said = server.data(text)
    except (OSError, smtplib.SMTPException) as error:
        code, said = 0, repr(error).encode()
    print(json.dumps({"word": word, "to": recipient, "code": code, "said": said.decode(),
                      "begun": begun, "at": time.time()}), flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One message and what the relay said of it; code 0 where it said nothing."""

    word: str
    to: str
    code: int
    said: str
    begun: float
    at: float


@dataclass
class Steady:
    """A sender on the Internet that hands each message to the relay itself."""

    process: subprocess.Popen[str]
    answers: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def start(cls, lab: Lab, relay: str, *, pause: float) -> Steady:
        """Begin to send to the address `relay`, with a pause (seconds) between messages."""
        program = ["python3", "-u", "-c", _PROGRAM, relay, SENDER, str(pause)]
        process = subprocess.Popen(
            hosts.argv(lab, "internet", program),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return cls(process=process)

    def to(self, recipients: Iterable[str]) -> None:
        """Send to these from now on, one after the other."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(sorted(recipients)) + "\n")
        self.process.stdin.flush()

    def end(self) -> list[Sent]:
        """Stop; returns all that was sent."""
        out, _ = self.process.communicate(timeout=END_LIMIT)
        found = [json.loads(line) for line in out.splitlines()]
        return [Sent(**each) for each in found if "word" in each]


def places(scene: Scene) -> Counter[tuple[str, str, str]]:
    """How often each message is where: by its word, the mailbox, and the host."""
    found: Counter[tuple[str, str, str]] = Counter()
    pattern = re.compile(r"^/var/mail/vhosts/([^/]+)/([^/]+)/(?:new|cur)/[^:]+:Subject: (flow-\w+)")
    for host in scene.hosts:
        if host.role == "relay":
            continue
        argv = ["grep", "-rE", "^Subject: flow-[0-9a-f]{32}$", "/var/mail/vhosts"]
        for line in scene.run(host.name, argv).out.splitlines():
            if match := pattern.match(line):
                domain, user, word = match.groups()
                found[word, f"{user}@{domain}", host.name] += 1
    return found


def returned(scene: Scene) -> list[str]:
    """Messages of a mail system to the steady sender, or anyone outside: there should be none."""
    argv = ["grep", "-rlE", "^(Return-Path: <>|From: .*MAILER-DAEMON)", "/var/mail"]
    return [
        f"{host.name}: {file}"
        for host in scene.outside
        for file in scene.run(host.name, argv).out.splitlines()
    ]


def drain(scene: Scene) -> str:
    """Have every host try all that it has queued until nothing is left; what is left after all."""
    left: dict[str, str] = {}

    def empty() -> bool:
        queues = {host.name: scene.run(host.name, ["postqueue", "-p"]).out for host in scene.hosts}
        left.clear()
        left.update({name: queue for name, queue in queues.items() if "is empty" not in queue})
        return not left

    for _ in range(ROUNDS):
        for host in scene.hosts:
            scene.run(host.name, ["postqueue", "-f"])
        if wait_for(empty, ROUND_LIMIT):
            break
    return "\n".join(f"{host}: {queue}" for host, queue in left.items())


@dataclass(frozen=True, kw_only=True)
class Force:
    """Seconds from an object's writing until it was in force, by host."""

    host: str
    seconds: float


def in_force(bench: Bench, scene: Scene, without: Iterable[str] = ()) -> list[Force]:
    """Wait until every host has the directory's newest objects in force; how long each took.

    S3 tells the time of writing in whole seconds, so that a figure is up to a second too large.
    `without` are hosts that nobody waits for.
    """
    s3 = bench.client("s3")
    listed = s3.list_objects_v2(Bucket=directory_bucket(bench))["Contents"]
    return [
        Force(host=host.name, seconds=_wait_in_force(scene, host, listed))
        for host in scene.hosts
        if host.name not in without
    ]


def directory_bucket(bench: Bench) -> str:
    """The name of the environment's directory."""
    buckets = bench.client("s3").list_buckets()["Buckets"]
    return next(each["Name"] for each in buckets if "directory" in each["Name"])


def _wait_in_force(scene: Scene, host: MailHost, listed: list[Any]) -> float:
    mine = [each for each in listed if _reads(host.role, each["Key"])]
    wanted = {each["Key"]: each["ETag"] for each in mine}
    state: dict[str, Any] = {}

    def taken() -> bool:
        state.update(json.loads(scene.run(host.name, ["cat", STATE]).out))
        return state["objects"] == wanted

    assert wait_for(taken, FORCE_LIMIT), f"{host.name} has {state}, should have {wanted}"
    written = max(each["LastModified"].timestamp() for each in mine)
    return max(0.0, state["since"] - written)


def _reads(role: str, key: str) -> bool:
    """Whether a host of a role reads an object (there is one branch)."""
    folder, _, rest = key.partition("/")
    if role == "branch":
        return folder == "people" and rest.startswith("branches/")
    return folder == ("addresses" if role == "relay" else "people")
