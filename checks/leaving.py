"""What leaves for the Internet: nothing of it names or numbers anything inside."""

from __future__ import annotations

import re

from checks.deployment import MailHost
from checks.mail import Copy, send, token, wait_for
from checks.queueing import give_up, without_postfix
from checks.suite import Check, Failed, Scene, expect

_INSIDE = re.compile(
    r"(?<![\d.])(10\.\d{1,3}|192\.168|172\.(1[6-9]|2\d|3[01]))\.\d{1,3}\.\d{1,3}(?![\d.]*\d)"
)
"""Private addresses (RFC 1918)."""

_MACHINE = "10.20.30.40"
"""The address of a person's own machine, as a web mail program would tell it."""


def checks(scene: Scene) -> list[Check]:
    """Messages and bounces as the Internet sees them; bounces need a host to be away."""
    return [messages, seven_bits, relay_bounce, *([hub_bounce] if scene.branches else [])]


def messages(scene: Scene) -> str:
    """a message on the Internet tells no name or address of the inside"""
    outside, domain = scene.outside[1], scene.domains[0]
    writers = [(scene.hub, "taro"), *([(scene.branch, "jiro")] if scene.branch else [])]
    for host, user in writers:
        word, recipient = token(), f"{user}@{outside.domain}"
        # A program that makes its Message-ID of the host's name, and web mail.
        text = (
            f"From: {user}@{domain}\nTo: {recipient}\nSubject: {word}\n"
            f"Message-ID: <{word}@{host.name}>\nX-Originating-IP: [{_MACHINE}]\n\n{word}\n"
        )
        argv = ["sendmail", "-i", "-f", f"{user}@{domain}", recipient]
        expect(scene.run(host.name, argv, stdin=text).code == 0, f"sendmail on {host.name} failed")
        [own] = wait_for(scene, word, {recipient})
        tells_nothing(scene, own)
        plain = send(scene, host.name, f"{user}@{domain}", recipient)
        [copy] = wait_for(scene, plain, {recipient})
        tells_nothing(scene, copy)
        expect(copy.message["Message-ID"], f"a message of {host.name} should have a Message-ID")
    return f"{2 * len(writers)} messages from {', '.join(host.name for host, _ in writers)}"


def seven_bits(scene: Scene) -> str:
    """what is written inside leaves in 7 bits, so that no hop has to re-encode it"""
    outside, domain, word = scene.outside[1], scene.domains[0], token()
    recipient = f"f@{outside.domain}"
    text = (
        f"From: taro@{domain}\nTo: {recipient}\nSubject: {word}\nMIME-Version: 1.0\n"
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\u65e5\u672c\n"
    )
    scene.run(scene.hub.name, ["sendmail", "-i", "-f", f"taro@{domain}", recipient], stdin=text)
    [copy] = wait_for(scene, word, {recipient})
    encoding = copy.message["Content-Transfer-Encoding"]
    expect(encoding == "quoted-printable", f"it should be quoted-printable, is {encoding}")
    return f"8bit became {encoding}"


def relay_bounce(scene: Scene) -> str:
    """a bounce of the relay tells a stranger no name or address of the inside"""
    return _bounce(scene, f"hanako@{scene.domains[0]}", scene.hub, [*scene.relays])


def hub_bounce(scene: Scene) -> str:
    """a bounce of the hub tells a stranger no name or address of the inside"""
    assert scene.branch
    return _bounce(scene, f"jiro@{scene.domains[0]}", scene.branch, [scene.hub])


def _bounce(scene: Scene, recipient: str, away: MailHost, holders: list[MailHost]) -> str:
    """Send from outside while the last host is away, have the one before it give up, and read."""
    outside = scene.outside[0]
    sender = f"{token()}@{outside.domain}"
    with without_postfix(scene, away.name):
        word = send(scene, outside.name, sender, recipient)
        holder = give_up(scene, [host.name for host in holders], sender)
    # With a smarthost the relay's report goes by the hub, which was away.
    scene.run(holder, ["postqueue", "-f"])
    [copy] = wait_for(scene, word, {sender})
    expect(copy.message.get_content_type() == "multipart/report", f"{sender} should have a report")
    tells_nothing(scene, copy)
    return f"{holder} gave up; {outside.host} has its report"


def tells_nothing(scene: Scene, copy: Copy) -> None:
    """Fail if a copy on the Internet holds anything of the inside."""
    inside = "|".join(re.escape(host.name) for host in scene.hosts if host.role != "relay")
    names = re.compile(rf"(?<![A-Za-z0-9-])({inside})(?![A-Za-z0-9-])")
    for line in copy.message.as_string().splitlines():
        if found := names.search(line) or _INSIDE.search(line):
            raise Failed(f"{copy.address} on {copy.host} reads {found[0]} in {line.strip()!r}")
