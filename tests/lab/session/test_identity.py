"""A host of our own that shows another key: mail waits, an alarm stands, nothing bounces."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import pytest

from checks import alarms
from checks.mail import copies, send, wait_for
from checks.smtp import identity
from checks.suite import Scene
from lab.waiting import wait_for as wait_until
from tests.lab.session import flow
from tests.lab.session.test_mutations import run

LIMIT = 60.0
"""Seconds for an alarm to stand or to go: a message must have waited 20, on a busy machine."""
MENDED_LIMIT = 180.0
"""Seconds for mail to go by itself once all is well: the pauses between attempts are doubled."""

_OTHER = (
    "umask 077; cp -p {file} /run/right.pem; "
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=other "
    "-keyout /run/other.key -out /run/other.crt 2>/dev/null; "
    "cat /run/other.key /run/other.crt >{file}; rm /run/other.key /run/other.crt"
)


@contextmanager
def another_key(scene: Scene, host: str) -> Generator[None]:
    """A host whose Postfix shows a key that the directory does not know."""
    file = identity(scene, host)
    run(scene, host, "sh", "-ec", _OTHER.format(file=file))
    run(scene, host, "postfix", "reload")
    try:
        yield
    finally:
        run(scene, host, "mv", "/run/right.pem", file)
        run(scene, host, "postfix", "reload")


def alarm(scene: Scene, host: str) -> str:
    """What the synchroniser of a host complains of."""
    return alarms.standing(scene.deployment, [host]).get(host, {}).get("directory", "")


@pytest.mark.parametrize(
    ("wrong", "complains", "says"),
    [
        # As a server: the relay does not hand over.
        ("hub", "relay", "Server certificate not verified"),
        # As a client: the hub does not take.
        ("relay", "relay", "450 4.7.0"),
    ],
)
def test_a_wrong_key_makes_mail_wait_and_is_an_alarm(
    scene: Scene, wrong: str, complains: str, says: str
) -> None:
    names = {host.role: host.name for host in scene.hosts}
    outside, recipient = scene.outside[0], f"hanako@{scene.domains[0]}"
    bounced = flow.bounces(scene)
    with another_key(scene, names[wrong]):
        word = send(scene, outside.name, f"a@{outside.domain}", recipient)
        assert wait_until(lambda: says in alarm(scene, names[complains]), LIMIT), alarm(
            scene, names[complains]
        )
        assert copies(scene, word) == []
        # While it is tried once more nobody tells why it waits.
        assert wait_until(lambda: says in repr(flow.queue(scene, names["relay"])), LIMIT)
    patient = Scene(scene.deployment, limit=MENDED_LIMIT)
    # Nobody says `postqueue -f`: the host itself tries again.
    [copy] = wait_for(patient, word, {recipient})
    assert copy.address == recipient
    assert wait_until(lambda: not alarm(scene, names[complains]), LIMIT)
    assert flow.bounces(scene) == bounced
    assert len(copies(scene, word)) == 1
