"""Messages just under the announced size: what the edge takes arrives, it never comes back."""

from __future__ import annotations

import json

from checks.mail import files, token
from checks.queueing import queue_ids, settle
from checks.suite import Check, Failed, Scene, expect
from model.mail import EDGE_SIZE

LIMIT = 120.0
"""Seconds for a message of that size to reach a branch."""

_CLIENT = """
import json, smtplib, sys
order = json.load(sys.stdin)
head = f"Subject: {order['word']}\\r\\n"
head += f"X-Filler: {'x' * 60}\\r\\n" * order["headers"] + "\\r\\n"
line = ("x" * (order["line"] - 2) + "\\r\\n").encode()
body = head.encode() + line * ((order["size"] - len(head)) // len(line))
with smtplib.SMTP(order["address"], local_hostname="check.test", timeout=100) as server:
    try:
        server.sendmail(order["sender"], order["recipients"], body)
        print("250")
    except smtplib.SMTPDataError as error:
        print(error.smtp_code)
"""
"""Lines of `line` bytes with their ends up to `size` in all; smtplib announces the size at MAIL."""

SHAPES = (
    # Bytes below the limit, and bytes a line. The limit counts the queue file, with its envelope
    # and with more than one record for a long line (postconf(5), line_length_limit).
    (64 * 1024, 1000),
    (4096, 78),
)


def checks(_: Scene) -> list[Check]:
    """The shapes, as one check."""
    return [just_under]


def just_under(scene: Scene) -> str:
    """a message just under the announced size arrives, or is refused at the edge"""
    taken = 0
    for below, line in SHAPES:
        taken += _arrives_or_is_refused(scene, EDGE_SIZE - below, line)
    expect(taken, "none of the messages was taken at the edge")
    return f"{taken} of {len(SHAPES)} taken and delivered, the others refused with 552"


def _arrives_or_is_refused(scene: Scene, size: int, line: int) -> bool:
    """Send one; if the edge takes it, require a copy for each recipient and no bounce."""
    outside, domain, word = scene.outside[0], scene.domains[0], token()
    recipients = sorted({f"taro@{domain}", *([f"jiro@{domain}"] if scene.branch else [])})
    before, queued = files(scene), queue_ids(scene)
    order = {
        "address": scene.relay.public_ip,
        "sender": f"a@{outside.domain}",
        "recipients": recipients,
        "word": word,
        "size": size,
        "line": line,
        "headers": 200,
    }
    argv = ["python3", "-c", _CLIENT]
    done = scene.run(outside.name, argv, stdin=json.dumps(order), limit=LIMIT)
    code = done.out.strip()
    if code not in ("250", "552"):
        raise Failed(f"{size} bytes: {code or done.err.strip().splitlines()[-1:]}")
    wanted = recipients if code == "250" else []
    patient = Scene(scene.deployment, limit=LIMIT)
    settle(patient, queued)
    new = sorted(files(scene) - before)
    found = sorted(_addressee(path) for host, path in new if _holds(scene, host, path, word))
    for host, path in new:
        # Every later search through the mailboxes would read them.
        scene.run(host, ["rm", path])
    expect(
        found == wanted and len(new) == len(wanted),
        f"{size} bytes in lines of {line} should be with {wanted}, are with {found}; new: {new}",
    )
    return code == "250"


def _holds(scene: Scene, host: str, path: str, word: str) -> bool:
    return scene.run(host, ["grep", "-qm", "1", word, path]).code == 0


def _addressee(path: str) -> str:
    """Whose mailbox a file is in: DOMAIN/USER/new/FILE."""
    domain, user = path.split("/")[-4:-2]
    return f"{user}@{domain}"
