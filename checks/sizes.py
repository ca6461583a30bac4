"""Messages just under the announced size: what the edge takes arrives, it never comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass

from checks.mail import files, token
from checks.queueing import queue_ids, settle
from checks.suite import Check, Failed, Scene, expect
from model.mail import EDGE_SIZE

LIMIT = 120.0
"""Seconds for a message of that size to reach a branch."""

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


def checks(_: Scene) -> list[Check]:
    """The shapes, as one check."""
    return [just_under]


def just_under(scene: Scene) -> str:
    """a message just under the announced size arrives, or is refused at the edge"""
    taken = sum(arrives_or_is_refused(scene, shape) for shape in SHAPES)
    expect(taken, "none of the messages was taken at the edge")
    return f"{taken} of {len(SHAPES)} taken and delivered, the others refused with 552"


def arrives_or_is_refused(scene: Scene, shape: Shape) -> bool:
    """Send one; if the edge takes it, require a copy for each recipient and no bounce.

    Returns whether the edge took it; raises Failed unless it then arrived, or was refused with 552.
    """
    outside, domain, word = scene.outside[0], scene.domains[0], token()
    recipients = sorted({f"taro@{domain}", *([f"jiro@{domain}"] if scene.branch else [])})
    before, queued = files(scene), queue_ids(scene)
    order = {
        "address": scene.relay.public_ip,
        "sender": f"a@{outside.domain}",
        "recipients": recipients,
        "word": word,
        "size": EDGE_SIZE - shape.below,
        "line": shape.line,
        "fill": shape.fill,
        "headers": 200,
    }
    argv = ["python3", "-c", _CLIENT]
    done = scene.run(outside.name, argv, stdin=json.dumps(order), limit=LIMIT)
    code = done.out.strip()
    if code not in ("250", "552"):
        raise Failed(f"{shape}: {code or done.err.strip().splitlines()[-1:]}")
    wanted = recipients if code == "250" else []
    settle(Scene(scene.deployment, limit=LIMIT), queued)
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
