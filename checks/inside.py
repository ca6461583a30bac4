"""TLS between our own hosts: both ends proved, and nothing for whoever cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.deployment import MailHost
from checks.smtp import identity, rcpt
from checks.suite import Check, Scene, expect
from model import ports
from model.outbound import RELAY

Hop = tuple[MailHost, MailHost, int]
"""Who hands over mail, to whom, and at which port."""

_OWN = re.compile(r"postfix/relay/smtp\[(\d+)\]: (.*)")
_CONNECTED = re.compile(r"(\w+) TLS connection established to ([\d.]+)\[")
_SENT = re.compile(r"relay=[^ ]*\[([\d.]+)\]:\d+, .*status=sent")

_STRANGER = "/run/gatepost-check.pem"
_MAKE = (
    f"umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 "
    f"-subj /CN=stranger -keyout {_STRANGER} -out {_STRANGER}.crt 2>/dev/null "
    f"&& cat {_STRANGER}.crt >>{_STRANGER} && rm {_STRANGER}.crt"
)
"""A key that nobody knows, as a burglar would make it."""
REFUSED = "450 4.7.0 "


def checks(_: Scene) -> list[Check]:
    """Judges what the routes' mail has left in the logs, so it comes after them."""
    return [verified, strangers_wait]


def hops(scene: Scene) -> Iterator[Hop]:
    """Every way that mail takes between hosts of our own."""
    for relay in scene.relays:
        yield relay, scene.hub, ports.SMTP
        if scene.outbound == RELAY:
            yield scene.hub, relay, ports.INSIDE
    for branch in scene.branches:
        yield scene.hub, branch, ports.SMTP
        yield branch, scene.hub, ports.SMTP


def verified(scene: Scene) -> str:
    """mail between our own hosts goes to a host that has proved its key, and to no other"""
    used: dict[tuple[str, str], int] = {}
    for host in scene.hosts:
        argv = ["journalctl", "-q", "--no-pager", "-o", "short", "-b", "-t", "postfix/relay/smtp"]
        levels: dict[tuple[str, str], str] = {}
        log = scene.run(host.name, argv)
        expect(log.code == 0, f"journalctl on {host.name} ended with {log.code}: {log.err.strip()}")
        for line in log.out.splitlines():
            if not (match := _OWN.search(line)):
                continue
            process, text = match.groups()
            if seen := _CONNECTED.match(text):
                levels[process, seen[2]] = seen[1]
            elif sent := _SENT.search(text):
                level = levels.get((process, sent[1]), "not encrypted")
                expect(level == "Verified", f"{host.name} sent mail to {sent[1]}: {level}")
                used[host.name, sent[1]] = used.get((host.name, sent[1]), 0) + 1
    for sources, targets in _busy(scene):
        expect(
            any((s.name, t.private_ip) in used for s in sources for t in targets),
            f"{_names(sources)} sent {_names(targets)} none",
        )
    return f"{sum(used.values())} messages on {len(used)} ways"


def _busy(scene: Scene) -> Iterator[tuple[list[MailHost], list[MailHost]]]:
    """Who has sent to whom by now; of several relays any one may have had all that there was."""
    yield scene.relays, [scene.hub]
    if scene.outbound == RELAY:
        yield [scene.hub], scene.relays
    for branch in scene.branches:
        # Nothing goes to a branch where nobody lives.
        if scene.residents(branch):
            yield [scene.hub], [branch]
        yield [branch], [scene.hub]


def _names(hosts: list[MailHost]) -> str:
    return " or ".join(host.name for host in hosts)


def strangers_wait(scene: Scene) -> str:
    """inside, whoever shows no certificate, or an unknown one, hears 450; our own are heard"""
    count = 0
    for source, target, port in hops(scene):
        made = scene.run(source.name, ["sh", "-c", _MAKE])
        expect(made.code == 0, f"openssl on {source.name}: {made.err.strip()}")
        mine = identity(scene, source.name)
        expect(mine, f"{source.name} has no key for hosts of our own")
        sender, recipient = f"taro@{scene.domains[0]}", f"hanako@{scene.domains[0]}"
        for shown, refused in (("", True), (_STRANGER, True), (mine, False)):
            reply = rcpt(
                scene,
                source.name,
                target.private_ip,
                sender,
                recipient,
                port=port,
                identity=shown,
            )
            what = f"{target.name}:{port}, to {shown or 'no certificate'} from {source.name}"
            expect(
                (reply.startswith(REFUSED) and "certificate" in reply) is refused,
                f"{what}: should {'' if refused else 'not '}say {REFUSED.strip()}, said {reply!r}",
            )
            count += refused
        scene.run(source.name, ["rm", "-f", _STRANGER])
    return f"{count} attempts heard {REFUSED.strip()}"
