"""Messages: send one, find every copy of it, and read the way it went."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_string
from email.message import Message

from checks.deployment import MailHost, OutsideHost
from checks.suite import Failed, Scene, expect

INSIDE_MAIL = "/var/mail/vhosts"
OUTSIDE_MAIL = "/var/mail"
"""Where Maildirs lie, DOMAIN/USER/new/: on our hosts, and on the hosts of the Internet."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One delivered copy: the host and address whose mailbox holds it, and the message."""

    host: str
    address: str
    message: Message

    @property
    def hops(self) -> list[str]:
        """The hosts that took the message, first to last, from its Received headers."""
        return [
            match[1]
            for header in reversed(self.message.get_all("Received", []))
            if (match := re.search(r"\bby (\S+)", header))
        ]


_WORD = "gatepost-[0-9a-f]{32}"
"""What `token` makes."""
_SUBJECT = re.compile(
    rf"^([^/\n]+)/([^/\n]+)/(?:new|cur)/[^:\n]+:Subject: ({_WORD})$", re.MULTILINE
)


def token() -> str:
    """A word that no other message holds."""
    return f"gatepost-{uuid.uuid4().hex}"


def send(scene: Scene, host: str, sender: str, *recipients: str) -> str:
    """Hand a message to a host's own Postfix, as a user there would; returns its token."""
    word = token()
    text = f"From: {sender}\nTo: {', '.join(recipients)}\nSubject: {word}\n\n{word}\n"
    result = scene.run(host, ["sendmail", "-i", "-f", sender, *recipients], stdin=text)
    expect(result.code == 0, f"sendmail on {host} ended with {result.code}: {result.err.strip()}")
    return word


def copies(scene: Scene, word: str) -> list[Copy]:
    """Every copy of a message in any mailbox of any host."""
    return [copy for name, root in _mail_roots(scene) for copy in _on_host(scene, name, root, word)]


def wait_for(scene: Scene, word: str, addresses: set[str]) -> list[Copy]:
    """Wait until each address has a copy, then return all copies there are."""
    deadline = time.monotonic() + scene.limit
    while True:
        found = copies(scene, word)
        if addresses <= {copy.address for copy in found}:
            return found
        if time.monotonic() > deadline:
            missing = ", ".join(sorted(addresses - {copy.address for copy in found}))
            raise Failed(f"nothing came to {missing} within {scene.limit:g} s; {_queues(scene)}")
        time.sleep(0.05)


Hop = str | frozenset[str]
"""A host that takes a message, or hosts of which any one may take it."""


def follow(
    scene: Scene,
    sent_from: MailHost | OutsideHost,
    sender: str,
    recipient: str,
    hops: Sequence[Hop],
) -> Copy:
    """Send a message and require one copy, in the right mailbox, by exactly these hops.

    A second copy that comes later is `still_once`'s to find.
    """
    word = send(scene, sent_from.name, sender, recipient)
    [copy] = only(scene, word, {recipient})
    expect(went(copy, hops), f"to {recipient}: should go {way(hops)}, went {way(copy.hops)}")
    # The envelope's recipient, as virtual(8) and pipe(8), flags=D, write it.
    delivered = copy.message["Delivered-To"]
    expect(delivered == recipient, f"{recipient} became {delivered} on its way")
    return copy


def only(scene: Scene, word: str, addresses: set[str]) -> list[Copy]:
    """Wait for a message; each address must have one copy, now and at the end, and nobody else."""
    found = wait_for(scene, word, addresses)
    scene.followed[word] = sorted(addresses)
    places = [f"{copy.address} on {copy.host}" for copy in found]
    expect(
        len(found) == len(addresses),
        f"{' and '.join(sorted(addresses))} should have one copy, found {places}",
    )
    return found


def still_once(scene: Scene) -> str:
    """what was followed is still there once, now that nothing is under way any more"""
    found: dict[str, list[str]] = {word: [] for word in scene.followed}
    for host, root in _mail_roots(scene):
        listed = scene.run(host, ["grep", "-rE", f"^Subject: {_WORD}$", root]).out
        for domain, user, word in _SUBJECT.findall(listed.replace(f"{root}/", "")):
            if word in found:
                found[word].append(f"{user}@{domain}")
    for word, addresses in scene.followed.items():
        seen = sorted(found[word])
        expect(seen == addresses, f"{addresses} had one copy each of {word}, now {seen} have it")
    return f"{len(found)} messages"


def went(copy: Copy, hops: Sequence[Hop]) -> bool:
    """Whether a copy took exactly these hops."""
    return len(copy.hops) == len(hops) and all(
        seen in hop if isinstance(hop, frozenset) else seen == hop
        for seen, hop in zip(copy.hops, hops, strict=True)
    )


def way(hops: Sequence[Hop]) -> str:
    """Hops as a person reads them."""
    return " → ".join(hop if isinstance(hop, str) else " or ".join(sorted(hop)) for hop in hops)


def files(scene: Scene) -> set[tuple[str, str]]:
    """Every message file in any mailbox, inside and outside, with its host."""
    found = set()
    for host, root in _mail_roots(scene):
        argv = ["find", root, "-type", "f", "(", "-path", "*/new/*", "-o", "-path", "*/cur/*", ")"]
        found |= {(host, path) for path in scene.run(host, argv).out.splitlines()}
    return found


def _mail_roots(scene: Scene) -> list[tuple[str, str]]:
    inside = [(host.name, INSIDE_MAIL) for host in scene.hosts if host.role != "relay"]
    return inside + [(host.name, OUTSIDE_MAIL) for host in scene.outside]


def _on_host(scene: Scene, host: str, root: str, word: str) -> list[Copy]:
    result = scene.run(host, ["grep", "-rlF", word, root])
    files = [line for line in result.out.splitlines() if "/new/" in line or "/cur/" in line]
    found = []
    for file in files:
        domain, user = file.removeprefix(root).strip("/").split("/")[:2]
        text = scene.run(host, ["cat", file]).out
        message = message_from_string(text)
        found.append(Copy(host=host, address=f"{user}@{domain}", message=message))
    return found


def _queues(scene: Scene) -> str:
    lines = []
    for host in [*scene.hosts, *scene.outside]:
        queue = scene.run(host.name, ["postqueue", "-p"]).out.strip()
        if "empty" not in queue:
            lines.append(f"queue of {host.name}: {queue}")
    return " / ".join(lines) or "all queues are empty"
