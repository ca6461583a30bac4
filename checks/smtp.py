"""SMTP from a chosen host: the replies are what is judged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from checks.suite import Failed, Scene
from model import ports

_CLIENT = """
import json, socket, ssl, sys
order = json.load(sys.stdin)
def connect():
    sock = socket.create_connection((order["address"], order.get("port", 25)), timeout=30)
    return sock, sock.makefile("rb")
def reply(file):
    found = []
    while True:
        line = file.readline().decode("latin-1").rstrip("\\r\\n")
        found.append(line)
        if line[3:4] != "-":
            return "\\n".join(found)
"""

_DIALOGUE = """
sock, file = connect()
replies = []
if not order["early"]:
    replies.append(reply(file))
if order["identity"]:
    for line in (b"EHLO check.test", b"STARTTLS"):
        sock.sendall(line + b"\\r\\n")
        reply(file)
    mine = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    mine.check_hostname, mine.verify_mode = False, ssl.CERT_NONE
    mine.load_cert_chain(order["identity"])
    sock = mine.wrap_socket(sock)
    file = sock.makefile("rb")
for line in order["lines"]:
    sock.sendall(line.encode("latin-1") + b"\\r\\n")
    replies.append(reply(file))
json.dump(replies, sys.stdout)
"""
"""An early client sends each line as if it had read the reply to the one before."""

_HOLD = """
open_ones = [connect() for _ in range(order["count"])]
json.dump([reply(file).split("\\n")[-1] for _, file in open_ones], sys.stdout)
"""


def identity(scene: Scene, host: str) -> str:
    """The file of the key and certificate by which a host of our own proves itself."""
    argv = ["postconf", "-Ph", "relay/unix/smtp_tls_chain_files"]
    return scene.run(host, argv).out.strip()


def dialogue(
    scene: Scene,
    source: str,
    address: str,
    *lines: str,
    port: int = ports.SMTP,
    identity: str = "",
) -> list[str]:
    """Connect from `source` to `address`, say each line; the banner and every reply.

    With an `identity`, a file on the source, it begins TLS and shows that certificate before.
    """
    order = {
        "address": address,
        "port": port,
        "lines": [*lines, "QUIT"],
        "early": False,
        "identity": identity,
    }
    return _ask(scene, source, _DIALOGUE, order)[:-1]


def early(scene: Scene, source: str, address: str, *lines: str) -> list[str]:
    """The same without waiting for the banner; the replies that came, in their order."""
    order = {"address": address, "lines": [*lines, "QUIT"], "early": True, "identity": ""}
    return _ask(scene, source, _DIALOGUE, order)


def hold(scene: Scene, source: str, address: str, count: int) -> list[str]:
    """Open `count` connections at once; the last line of each greeting, once all are open."""
    return _ask(scene, source, _HOLD, {"address": address, "count": count})


def rcpt(
    scene: Scene,
    source: str,
    address: str,
    sender: str,
    recipient: str,
    *,
    port: int = ports.SMTP,
    identity: str = "",
) -> str:
    """The reply to one RCPT; `recipient` goes between angle brackets as it is."""
    helo = f"EHLO check.{source}.test"
    lines = (helo, f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>")
    replies = dialogue(scene, source, address, *lines, port=port, identity=identity)
    return replies[-1]


def deliver(
    scene: Scene, source: str, address: str, sender: str, recipients: Sequence[str], text: str
) -> str:
    """Hand over a message, its lines ended by CR LF and its dots as they are; the last reply.

    The dialogue goes on whatever is replied, so that the last reply tells whether it was taken.
    """
    lines = (
        f"EHLO check.{source}.test",
        f"MAIL FROM:<{sender}>",
        *(f"RCPT TO:<{recipient}>" for recipient in recipients),
        "DATA",
        f"{text}.",
    )
    return dialogue(scene, source, address, *lines)[-1]


def _ask(scene: Scene, source: str, program: str, order: dict[str, Any]) -> list[str]:
    argv = ["python3", "-c", _CLIENT + program]
    result = scene.run(source, argv, stdin=json.dumps(order))
    if result.code:
        last = result.err.strip().splitlines()[-1:]
        raise Failed(f"SMTP from {source} to {order['address']}: {last or result.code}")
    return json.loads(result.out)
