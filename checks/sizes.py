"""Messages just under the announced size: what is taken arrives, it never comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass

from checks.mail import files, token
from checks.queueing import queue_ids, settle, wait_until
from checks.smtp import dialogue
from checks.suite import Check, Failed, Scene, expect
from model.mail import EDGE_SIZE
from model.outbound import SMARTHOST

LIMIT = 120.0
"""Seconds for a message of that size to reach a branch."""
LOOPBACK = "127.0.0.1"
"""Where a host behind the edge takes its own programs' mail."""

_CLIENT = """
import json, smtplib, sys
order = json.load(sys.stdin)
head = f"Subject: {order['word']}\\r\\nMIME-Version: 1.0\\r\\n"
head += "Content-Type: text/plain; charset=iso-8859-1\\r\\nContent-Transfer-Encoding: 8bit\\r\\n"
head += f"X-Filler: {'x' * 60}\\r\\n" * order["headers"] + "\\r\\n"
line = (order["fill"] * (order["line"] - 2) + "\\r\\n").encode("latin-1")
body = head.encode() + line * ((order["size"] - len(head)) // len(line))
with smtplib.SMTP(order["address"], local_hostname="check.test", timeout=100) as server:
    try:
        server.sendmail(order["sender"], order["recipients"], body, ["BODY=8BITMIME"])
        print("250")
    except smtplib.SMTPDataError as error:
        print(error.smtp_code)
"""
"""Lines of `line` bytes with their ends up to `size` in all; smtplib announces the size at MAIL."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A message: how many bytes below the limit, how many bytes a line, and of which character.

    The limit counts the queue file, with its envelope and with more than one record for a long line
    (postconf(5), line_length_limit).
    """

    below: int
    line: int
    fill: str = "x"


SHAPES = (
    Shape(below=64 * 1024, line=1000),
    # Written as 7 bits it would be three times as long.
    Shape(below=4096, line=78, fill="\u00e9"),
)
WRITTEN = Shape(below=64 * 1024, line=70)
"""What is written on a host is made 7-bit there; lines of this length stay as they are (RFC 2045
section 6.7, rule 5)."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """Which host connects to which address, and for whom the message is."""

    host: str
    address: str
    sender: str
    recipients: list[str]


def inwards(scene: Scene) -> Way:
    """A stranger, to people of every host."""
    outside, domain = scene.outside[0], scene.domains[0]
    return Way(
        host=outside.name,
        address=scene.relay.public_ip,
        sender=f"a@{outside.domain}",
        recipients=sorted({f"taro@{domain}", *([f"jiro@{domain}"] if scene.branch else [])}),
    )


def outwards(scene: Scene) -> Way:
    """A program of the innermost host, by that host, to the hub and beyond."""
    outside, domain = scene.outside[0], scene.domains[0]
    host, sender = (scene.branch, "jiro") if scene.branch else (scene.hub, "hanako")
    return Way(
        host=host.name,
        address=LOOPBACK,
        sender=f"{sender}@{domain}",
        recipients=sorted({f"taro@{domain}", f"a@{outside.domain}"}),
    )


def checks(_: Scene) -> list[Check]:
    """Where the limit is, and the shapes, as one check."""
    return [own_programs, just_under]


def own_programs(scene: Scene) -> str:
    """a program's message beyond the size limit is refused by its own host"""
    inside = [host for host in scene.hosts if host.role != "relay"]
    for host in inside:
        for size, wanted in ((EDGE_SIZE, "250 "), (EDGE_SIZE + 1, "552 5.3.4 ")):
            line = f"MAIL FROM:<taro@{scene.domains[0]}> SIZE={size}"
            reply = dialogue(scene, host.name, LOOPBACK, "EHLO check.test", line)[-1]
            expect(reply.startswith(wanted), f"{host.name} to {line}: {wanted}, said {reply!r}")
    return f"{len(inside)} hosts; {EDGE_SIZE} bytes pass, one more hears 552"


def just_under(scene: Scene) -> str:
    """a message just under the announced size arrives, or is refused at the edge"""
    ways = [(inwards(scene), shape) for shape in SHAPES] + [(outwards(scene), WRITTEN)]
    taken = [arrives_or_is_refused(scene, shape, way) for way, shape in ways]
    expect(any(taken[:-1]), "none of the messages was taken at the edge")
    expect(taken[-1], f"{ways[-1][0].host} did not take its own program's message")
    return f"{sum(taken)} of {len(taken)} taken and delivered, the others refused with 552"


def arrives_or_is_refused(scene: Scene, shape: Shape, way: Way) -> bool:
    """Send one; if it is taken, require a copy for each recipient and no bounce.

    Returns whether it was taken; raises Failed unless it then arrived, or was refused with 552.
    """
    word, recipients = token(), way.recipients
    before, queued = files(scene), queue_ids(scene)
    order = {
        "address": way.address,
        "sender": way.sender,
        "recipients": recipients,
        "word": word,
        "size": EDGE_SIZE - shape.below,
        "line": shape.line,
        "fill": shape.fill,
        "headers": 200,
    }
    argv = ["python3", "-c", _CLIENT]
    done = scene.run(way.host, argv, stdin=json.dumps(order), limit=LIMIT)
    code = done.out.strip()
    if code not in ("250", "552"):
        raise Failed(f"{shape}: {code or done.err.strip().splitlines()[-1:]}")
    wanted = recipients if code == "250" else []
    patient = Scene(scene.deployment, limit=LIMIT)
    if scene.outbound == SMARTHOST:
        # Its queue is not to be seen from here.
        wait_until(patient, lambda: len(files(scene) - before) >= len(wanted), f"{shape}: {wanted}")
    settle(patient, queued)
    new = sorted(files(scene) - before)
    found = sorted(_addressee(path) for host, path in new if _holds(scene, host, path, word))
    for host, path in new:
        # Every later search through the mailboxes would read them.
        scene.run(host, ["rm", path])
    expect(
        found == wanted and len(new) == len(wanted),
        f"{shape} should be with {wanted}, is with {found}; new: {new}",
    )
    return code == "250"


def _holds(scene: Scene, host: str, path: str, word: str) -> bool:
    return scene.run(host, ["grep", "-qm", "1", word, path]).code == 0


def _addressee(path: str) -> str:
    """Whose mailbox a file is in: DOMAIN/USER/new/FILE."""
    domain, user = path.split("/")[-4:-2]
    return f"{user}@{domain}"
