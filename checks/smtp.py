"""An SMTP dialogue from a chosen host: the replies are what is judged."""

from __future__ import annotations

import json

from checks.suite import Failed, Scene

_CLIENT = """
import json, socket, sys
address, lines = json.load(sys.stdin)
sock = socket.create_connection((address, 25), timeout=20)
file = sock.makefile("rwb")
def reply():
    found = []
    while True:
        line = file.readline().decode("ascii", "replace").rstrip("\\r\\n")
        found.append(line)
        if line[3:4] != "-":
            return "\\n".join(found)
replies = [reply()]
for line in lines:
    file.write(line.encode() + b"\\r\\n")
    file.flush()
    replies.append(reply())
print(json.dumps(replies))
"""


def dialogue(scene: Scene, source: str, address: str, *lines: str) -> list[str]:
    """Connect from `source` to port 25 of `address`, say each line; the banner and every reply."""
    result = scene.run(
        source, ["python3", "-c", _CLIENT], stdin=json.dumps([address, [*lines, "QUIT"]])
    )
    if result.code:
        last = result.err.strip().splitlines()[-1:]
        raise Failed(f"SMTP from {source} to {address}: {last or result.code}")
    return json.loads(result.out)[:-1]


def rcpt(scene: Scene, source: str, address: str, sender: str, recipient: str) -> str:
    """The reply to one RCPT; `recipient` goes between angle brackets as it is."""
    helo = f"EHLO check.{source}.test"
    replies = dialogue(
        scene, source, address, helo, f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>"
    )
    return replies[-1]
