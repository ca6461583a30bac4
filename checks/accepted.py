"""What a receiver says that judges strangers: it is the second host on the Internet.

It checks as large receivers do: the address has a name that leads back to it, the EHLO name leads
to it, SPF passes for the sender or, of mail without one, for the EHLO name (RFC 7208 section 2.4),
and DMARC for the author (RFC 7489). What it takes bears its findings (RFC 8601).
"""

from __future__ import annotations

import re
from email.message import Message

from checks.deployment import MailHost
from checks.mail import send, token, wait_for
from checks.queueing import give_up
from checks.suite import Check, Failed, Scene, expect

_METHOD = re.compile(r"; (iprev|spf|dmarc)=(\w+)")
_IDENTITY = re.compile(r"\bsmtp\.(mailfrom|helo)=(\S+?)(?=[;\s]|$)")


def checks(_: Scene) -> list[Check]:
    """One of each kind of mail that leaves, whatever the way out."""
    return [ordinary, vacation_replies, bounces]


def ordinary(scene: Scene) -> str:
    """a receiver that checks reverse names, EHLO, SPF and DMARC takes people's mail"""
    found = []
    for host, user in _writers(scene):
        recipient = f"{token()}@{scene.outside[1].domain}"
        word = send(scene, host.name, f"{user}@{scene.domains[0]}", recipient)
        found.append(_taken(scene, word, recipient, "mailfrom"))
    return _told(found)


def vacation_replies(scene: Scene) -> str:
    """it takes a vacation reply: without a sender, its author a user"""
    found = []
    for host, user in _writers(scene):
        word, recipient = token(), f"{token()}@{scene.outside[1].domain}"
        # As RFC 5230 sections 5.1 and 5.2 and RFC 3834 have it.
        text = (
            f"From: {user}@{scene.domains[0]}\nTo: {recipient}\nSubject: Auto: {word}\n"
            f"Auto-Submitted: auto-replied\n\naway\n"
        )
        done = scene.run(host.name, ["sendmail", "-i", "-f", "<>", recipient], stdin=text)
        expect(done.code == 0, f"sendmail on {host.name} ended with {done.code}: {done.err}")
        found.append(_taken(scene, word, recipient, "helo"))
    return _told(found)


def bounces(scene: Scene) -> str:
    """it takes the bounces of every host"""
    found = []
    for host in scene.hosts:
        sender = f"{token()}@{scene.outside[1].domain}"
        # No directory has it, so that it waits; mail from strangers is refused at the edge.
        word = send(scene, host.name, sender, f"{token()}@{scene.domains[0]}")
        give_up(scene, [host.name], sender)
        found.append(_taken(scene, word, sender, "helo"))
    return _told(found)


def _writers(scene: Scene) -> list[tuple[MailHost, str]]:
    """Hosts where people write, with one of their users."""
    return [(scene.hub, "taro"), *([(scene.branch, "jiro")] if scene.branch else [])]


def _taken(scene: Scene, word: str, recipient: str, kind: str) -> str:
    """Wait for the copy, and require that all passed; the SPF identity, which is of that kind."""
    try:
        found = wait_for(scene, word, {recipient})
    except Failed as failure:
        raise Failed(f"{failure}; {_fate(scene, recipient)}") from failure
    expect(len(found) == 1, f"{recipient} should have one copy, has {len(found)}")
    return judge(found[0].message, scene.outside[1].host, kind)


def judge(message: Message, receiver: str, kind: str) -> str:
    """Require that the receiver found nothing wrong; returns whom SPF passed for.

    `kind` is `mailfrom` or `helo`, the identity that SPF should have judged. Raises Failed.
    """
    results = " ".join(str(message["Authentication-Results"]).split())
    expect(results.startswith(f"{receiver};"), f"{receiver} should have judged it: {results}")
    methods = dict(_METHOD.findall(results))
    passed = dict.fromkeys(("iprev", "spf", "dmarc"), "pass")
    expect(methods == passed, f"all should pass at {receiver}: {results}")
    identity = _IDENTITY.search(results)
    expect(identity and identity[1] == kind, f"SPF should be of {kind}: {results}")
    assert identity
    return identity[2]


def _fate(scene: Scene, recipient: str) -> str:
    """What the hosts' logs say became of mail for `recipient`."""
    lines = []
    for host in scene.hosts:
        log = scene.run(host.name, ["journalctl", "-q", "-b", "-o", "cat", "--no-pager"]).out
        lines += [
            f"{host.name}: {line}"
            for line in log.splitlines()
            if f"to=<{recipient}>" in line and "status=sent" not in line
        ]
    return " / ".join(lines) or f"no log tells of a refusal of {recipient}"


def _told(identities: list[str]) -> str:
    return f"{len(identities)} taken: SPF of {', '.join(dict.fromkeys(identities))}, DMARC passed"
