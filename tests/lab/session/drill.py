"""Mail straight to the relay, at a steady rate, while people change; each answer is judged."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.deployment import MailHost
from checks.suite import Scene
from lab import hosts
from lab.session import Lab
from lab.waiting import wait_for
from tests.lab.session.bench import Bench
from tests.lab.session.company import Company

END_LIMIT = 30.0
FORCE_LIMIT = 60.0
"""Seconds for a change to be in force; what is measured is far less."""
ROUNDS_LIMIT = 180.0
"""Seconds for a sender to write to everyone some times."""
ROUNDS = 6
ROUND_LIMIT = 15.0
"""How often all queues are told to try again, and seconds for them to be empty then."""
PAUSE = 0.15
"""Seconds between two messages: a relay takes 600 connections a minute from one address."""
CACHED = 31
"""Seconds for which Postfix's queue manager may know an address's old way (resolve_clnt.c keeps
its last answer for 30)."""
FEWEST = 20
"""Messages below which a flow shows nothing."""
SENDER = "steady@example.net"
OSAKA_KEY = "people/branches/osaka.json"
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


@dataclass
class Drill:
    """A lab, its people, and what happened to whom and when."""

    bench: Bench
    scene: Scene
    company: Company

    def apply(self) -> None:
        """The real program, with the files as they are now."""
        self.company.write()
        self.bench.lab.apply([])


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
    """A sender on the Internet that hands each message to the relay itself.

    Its answers go to a file: a pipe that nobody reads would fill up, and stop it.
    """

    process: subprocess.Popen[str]
    log: Path
    recipients: int = 0
    lists: int = 0

    @classmethod
    def start(cls, lab: Lab, relay: str, *, pause: float, log: Path) -> Steady:
        """Begin to send to the address `relay`, with a pause (seconds) between messages."""
        program = ["python3", "-u", "-c", _PROGRAM, relay, SENDER, str(pause)]
        with log.open("w") as out:
            process = subprocess.Popen(
                hosts.argv(lab, "internet", program),
                stdin=subprocess.PIPE,
                stdout=out,
                text=True,
                start_new_session=True,
            )
        return cls(process=process, log=log)

    def to(self, recipients: Iterable[str]) -> None:
        """Send to these from now on, one after the other."""
        listed = sorted(recipients)
        self.recipients = len(listed)
        self.lists += 1
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(listed) + "\n")
        self.process.stdin.flush()

    def wait_rounds(self, rounds: int = 2) -> None:
        """Wait until each of the recipients has been written to so often."""
        wanted = rounds * self.recipients
        assert wait_for(lambda: self._since_list() >= wanted, ROUNDS_LIMIT), "it does not send"

    def _since_list(self) -> int:
        """Messages since the last list was taken up; a line that is being written counts not."""
        *lines, _ = self.log.read_text().split("\n")
        starts = [number for number, line in enumerate(lines) if line.startswith('{"list"')]
        return len(lines) - 1 - starts[-1] if len(starts) == self.lists else 0

    def end(self) -> list[Sent]:
        """Stop; returns all that was sent."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait(END_LIMIT) == 0
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [Sent(**each) for each in found if "word" in each]

    def kill(self) -> None:
        """End it if it still runs."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def retry_limit(lag: float) -> float:
    """Seconds for what met a lag (seconds) to be delivered without anybody's help.

    The synchroniser doubles the pauses between attempts, so that a message may wait as long again
    as it is old; a look at the queue, and the way itself on a busy machine, come on top.
    """
    return 2 * lag + 60


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
    """Messages of a mail system to the steady sender, or anyone outside: there should be none.

    Each with its first lines that tell why.
    """
    argv = ["grep", "-rlE", "^(Return-Path: <>|From: .*MAILER-DAEMON)", "/var/mail"]
    reason = ["grep", "-hA4", "-m2", "^<[^>]*>:\\|^Diagnostic-Code"]
    return [
        f"{host.name}: {file}: {scene.run(host.name, [*reason, file]).out}"
        for host in scene.outside
        for file in scene.run(host.name, argv).out.splitlines()
    ]


def queued(scene: Scene) -> str:
    """What is in the hosts' queues."""
    queues = {host.name: scene.run(host.name, ["postqueue", "-p"]).out for host in scene.hosts}
    return "\n".join(f"{host}: {each}" for host, each in queues.items() if "is empty" not in each)


def drain(scene: Scene) -> str:
    """Have every host try all that it has queued until nothing is left; what is left after all."""
    for _ in range(ROUNDS):
        for host in scene.hosts:
            scene.run(host.name, ["postqueue", "-f"])
        if wait_for(lambda: not queued(scene), ROUND_LIMIT):
            return ""
    return queued(scene)


def wrong(drill: Drill, sent: list[Sent], stable: set[str]) -> list[str]:
    """What is wrong with a flow that has ended: each message that was taken must be there once,
    nothing may have come back, and whoever existed all the time (`stable`) was never refused.
    """
    taken = [each for each in sent if each.code == 250]
    problems = [f"refused: {each}" for each in sent if each.to in stable and each.code >= 500]
    if len(taken) <= FEWEST:
        problems.append(f"only {len(taken)} messages were taken")
    if left := drain(drill.scene):
        problems.append(f"still queued: {left}")
    found = places(drill.scene)
    problems += [f"doubled: {where}" for where, count in found.items() if count > 1]
    mailboxes = Counter((word, address) for word, address, _ in found)
    problems += [f"in two places: {key}" for key, count in mailboxes.items() if count > 1]
    words = {word for word, _ in mailboxes}
    problems += [
        f"lost: {each}"
        for each in taken
        if (each.word not in words)
        or (not each.to.startswith("group") and (each.word, each.to) not in mailboxes)
    ]
    return problems + [f"came back: {file}" for file in returned(drill.scene)]


@dataclass(frozen=True, kw_only=True)
class Force:
    """Since when a host has had its newest objects in force, and when they were written.

    Unix times; S3 tells the time of writing in whole seconds.
    """

    host: str
    since: float
    written: float

    @property
    def seconds(self) -> float:
        """From writing until in force: up to a second too large."""
        return max(0.0, self.since - self.written)


def in_force(drill: Drill, without: Iterable[str] = (), limit: float = FORCE_LIMIT) -> list[Force]:
    """Wait until every host has the directory's newest objects in force.

    `without` are hosts that nobody waits for, `limit` are seconds for each.
    """
    s3 = drill.bench.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=directory_bucket(drill.bench))
    listed = [item for page in pages for item in page["Contents"]]
    return [
        _wait_in_force(drill.scene, host, listed, limit)
        for host in drill.scene.hosts
        if host.name not in without
    ]


def directory_bucket(bench: Bench) -> str:
    """The name of the environment's directory."""
    buckets = bench.client("s3").list_buckets()["Buckets"]
    return next(each["Name"] for each in buckets if "directory" in each["Name"])


def _wait_in_force(scene: Scene, host: MailHost, listed: list[Any], limit: float) -> Force:
    mine = [each for each in listed if _reads(host.role, each["Key"])]
    wanted = {each["Key"]: each["ETag"] for each in mine}
    state: dict[str, Any] = {}

    def taken() -> bool:
        state.update(json.loads(scene.run(host.name, ["cat", STATE]).out))
        return state["objects"] == wanted

    assert wait_for(taken, limit), f"{host.name} has {state}, should have {wanted}"
    written = max(each["LastModified"].timestamp() for each in mine)
    return Force(host=host.name, since=state["since"], written=written)


def _reads(role: str, key: str) -> bool:
    """Whether a host of a role reads an object (one branch, Osaka's, has a host)."""
    if role == "branch":
        return key == OSAKA_KEY
    return key.startswith("addresses/" if role == "relay" else "people/")


def server(drill: Drill, stack: str) -> str:
    """The host that keeps the mail of a stack's users."""
    role = "hub" if stack == "dev" else "branch"
    return next(host.name for host in drill.scene.hosts if host.role == role)


def copy_mailbox(drill: Drill, user: str, source: str, target: str) -> None:
    """What an administrator does with tar and two shells."""
    local, _, domain = user.partition("@")
    old, new = server(drill, source), server(drill, target)
    root = "/var/mail/vhosts"
    packed = drill.scene.run(
        old,
        [
            "sh",
            "-c",
            f"mkdir -p {root}/{domain}/{local} && tar c -C {root} {domain}/{local}|base64",
        ],
    )
    assert packed.code == 0, packed.err
    unpack = f"base64 -d | tar x -C {root} && chown -R vmail:vmail {root}/{domain}"
    done = drill.scene.run(new, ["sh", "-c", unpack], stdin=packed.out)
    assert done.code == 0, done.err
    drill.scene.run(old, ["rm", "-r", f"{root}/{domain}/{local}"])
