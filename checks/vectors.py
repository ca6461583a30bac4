"""Every attempt of `checks.vectors_table`, at once, and then a look whether anything came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from checks.mail import files, send, token, wait_for
from checks.queueing import queue_ids, settle
from checks.suite import Check, Failed, Scene, expect
from checks.vectors_table import (
    BEGIN,
    HELLO,
    RAW,
    RECIPIENT,
    SAY,
    SENDER,
    VECTORS,
    WHOLE,
    Step,
    Vector,
)

AT_ONCE = 16
"""Connections; below what the edge allows one address."""
LIMIT = 60.0
"""Seconds for a whole batch; it takes some ten."""

_CLIENT = """
import json, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor
address, at_once, attempts = json.load(sys.stdin)
trusting = ssl.create_default_context()
trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

def replies(steps):
    sock = socket.create_connection((address, 25), timeout=30)
    file = sock.makefile("rb")
    found = []
    def reply():
        lines = []
        while not lines or lines[-1][3:4] == "-":
            lines.append(file.readline().decode("latin-1").rstrip())
        found.append(" ".join(lines))
    reply()
    for kind, text in steps:
        if kind == "tls":
            sock = trusting.wrap_socket(sock)
            file = sock.makefile("rb")
            continue
        try:
            sock.sendall(text.encode("latin-1") + (b"\\r\\n" if kind == "say" else b""))
            reply()
        except OSError:  # the server has hung up
            found.append("")
    sock.close()
    return found

with ThreadPoolExecutor(at_once) as pool:
    json.dump(list(pool.map(replies, attempts)), sys.stdout)
"""
"""Reads the banner, then takes each step; a server that hangs up replies with nothing."""


def checks(_: Scene) -> list[Check]:
    """The attempts, as one check: they are made at once."""
    return [nothing_comes_of_it]


def nothing_comes_of_it(scene: Scene) -> str:
    """attempts to relay, to inject and to impersonate are refused, and nothing arrives anywhere"""
    before, queued = files(scene), queue_ids(scene)
    word = token()
    said = {**_names(scene), "word": word}
    attempts = [_filled((*vector.steps, *_GOING_ON), said) for vector in VECTORS]
    marks = [f"{word}-{number}" for number, _ in enumerate(WHOLE)]
    wholes = [_whole(whole.between, said, mark) for whole, mark in zip(WHOLE, marks, strict=True)]
    answers = batch(scene, [*attempts, *wholes])
    refused, taken = answers[: len(attempts)], answers[len(attempts) :]
    wrong = [
        finding
        for vector, replies in zip(VECTORS, refused, strict=True)
        if (finding := _judge(vector, replies, said))
    ]
    expect(not wrong, f"{len(wrong)} of {len(VECTORS)}: {'; '.join(wrong[:5])}")
    _one_copy_each(scene, marks, taken, before, queued)
    groups = len({vector.group for vector in VECTORS})
    return f"{len(VECTORS)} attempts of {groups} kinds; {len(WHOLE)} odd messages came as one each"


_GOING_ON: tuple[Step, ...] = (
    BEGIN,
    (RAW, "Subject: {word}\r\n\r\n{word}\r\n.\r\n"),
    (SAY, "QUIT"),
)
"""What an attacker would do whatever the reply was: a message that would show."""


def _judge(vector: Vector, replies: Sequence[str], said: Mapping[str, str]) -> str:
    """What is wrong with the replies to an attempt; empty if nothing is."""
    *way, last = replies[1 : 1 + sum(kind != "tls" for kind, _ in vector.steps)]
    what = f"{vector.group}: {vector.steps[-1][1].format_map(said)[:60]!r}"
    if not all(reply[:1] in ("2", "3") for reply in way):
        return f"{what} was not reached: {way}"
    if not last.startswith(vector.refused):
        return f"{what} should hear {vector.refused!r}, heard {last!r}"
    return ""


def _one_copy_each(
    scene: Scene,
    marks: Sequence[str],
    taken: Sequence[Sequence[str]],
    before: set[tuple[str, str]],
    queued: set[tuple[str, str]],
) -> None:
    """Of the odd messages, and of one after all attempts, one copy each, and nothing else."""
    outside = scene.outside[0]
    for mark, replies in zip(marks, taken, strict=True):
        expect(replies[5].startswith("250 "), f"{mark} should be taken whole, heard {replies}")
    last = send(scene, outside.name, f"a@{outside.domain}", f"taro@{scene.domains[0]}")
    for mark in (*marks, last):
        wait_for(scene, mark, {f"taro@{scene.domains[0]}"})
    settle(scene, queued)
    new = sorted(files(scene) - before)
    expect(len(new) == len(marks) + 1, f"{len(marks) + 1} messages should be new, are: {new}")


def batch(scene: Scene, attempts: Sequence[Sequence[Step]]) -> list[list[str]]:
    """Make attempts from the first outside host to the first relay, some at once.

    Returns of each the banner and the reply to every step but `tls`; empty where the relay had hung
    up. Raises Failed if the client itself fails.
    """
    question = json.dumps([scene.relay.public_ip, AT_ONCE, attempts])
    argv = ["python3", "-c", _CLIENT]
    done = scene.run(scene.outside[0].name, argv, stdin=question, limit=LIMIT)
    if done.code:
        raise Failed(f"the client ended with {done.code}: {done.err.strip().splitlines()[-1:]}")
    return json.loads(done.out)


def _names(scene: Scene) -> dict[str, str]:
    """What stands for the words in braces."""
    outside, other = scene.outside
    return {
        "domain": scene.domains[0],
        "second": scene.domains[-1],
        "last": scene.every_domain[-1],
        "user": f"taro@{scene.domains[0]}",
        "relay": scene.relay.name,
        "public": scene.relay.public_ip,
        "hub": scene.hub.name,
        "private": scene.hub.private_ip,
        "self": outside.domain,
        "other": other.domain,
        "outside": other.address,
        "victim": f"b@{other.domain}",
    }


def _filled(steps: Sequence[Step], said: Mapping[str, str]) -> list[Step]:
    return [(kind, text.format_map(said)) for kind, text in steps]


def _whole(between: str, said: Mapping[str, str], mark: str) -> list[Step]:
    """The steps of a message whose content holds a second one behind `between`."""
    second = "MAIL FROM:<{user}>\r\nRCPT TO:<{victim}>\r\nDATA\r\nSubject: {word}\r\n\r\n"
    text = "Subject: {word}\r\n\r\nodd" + between + second + "odd\r\n.\r\n"
    steps = (HELLO, SENDER, RECIPIENT, BEGIN, (RAW, text), (SAY, "QUIT"))
    return _filled(steps, {**said, "word": mark})
