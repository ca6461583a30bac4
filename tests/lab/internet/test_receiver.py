"""What the strict receiver says to strangers, with real senders of different honesty."""

from __future__ import annotations

import email
import itertools
import json
import time
from dataclasses import replace
from email.message import Message

import pytest

from lab.internet.hosts import VERDICTS, read_mailbox
from lab.internet.machine import Machine
from lab.internet.plan import INTERNET, INTERNET2, MIRROR
from lab.waiting import wait_for
from tests.lab.internet.small_internet import (
    VPC,
    Completed,
    SmallInternet,
    example_world,
    record,
)

LIMIT = 20.0
users = (f"judged{number}" for number in itertools.count())


def send(
    internet: SmallInternet,
    to: str,
    *options: str,
    sender: str = "hanako@example.net",
    namespace: str | None = None,
) -> Completed:
    """swaks(1) on the ordinary host, or with its tools in another network namespace."""
    command = ["swaks", "-n", "--server", INTERNET2.address, "--to", f"{to}@{INTERNET2.domain}"]
    command += ["--from", sender, *options]
    argv = Machine(name=INTERNET.namespace, hostname="").argv(command, namespace=namespace)
    return internet.run(argv)


def delivered(internet: SmallInternet, user: str) -> Message:
    assert wait_for(lambda: bool(read_mailbox(internet.run, INTERNET2, user)), LIMIT)
    (message,) = read_mailbox(internet.run, INTERNET2, user)
    return email.message_from_bytes(message)


def verdicts(internet: SmallInternet, user: str) -> list[dict[str, object]]:
    lines = internet.at(INTERNET2.namespace, "cat", VERDICTS).stdout.splitlines()
    found = [json.loads(line) for line in lines]
    return [each for each in found if each["to"] == [f"{user}@{INTERNET2.domain}"]]


def test_an_honest_sender_is_let_in_and_told_so(internet: SmallInternet) -> None:
    user = next(users)
    forged = f"Authentication-Results: {INTERNET2.host}; dmarc=pass header.from=bank.example"
    said = send(internet, user, "--header", "From: Hanako <hanako@example.net>", "--header", forged)
    assert said.returncode == 0, said.stdout
    (results,) = delivered(internet, user).get_all("Authentication-Results", [])
    assert results.split(";\n\t") == [
        INTERNET2.host,
        f"iprev=pass policy.iprev={INTERNET.address} ({INTERNET.host})",
        "spf=pass smtp.mailfrom=example.net",
        "dmarc=none (policy none) header.from=example.net",
    ]
    (verdict,) = verdicts(internet, user)
    assert verdict["code"] == "250"
    assert verdict["sender"] == "hanako@example.net"


def test_a_bounce_is_judged_by_its_greeting(internet: SmallInternet) -> None:
    user = next(users)
    author = ("--header", f"From: MAILER-DAEMON@{INTERNET.host}")
    assert send(internet, user, *author, sender="<>").returncode == 0
    results = delivered(internet, user)["Authentication-Results"]
    assert f"spf=pass smtp.helo={INTERNET.host}" in results


@pytest.mark.parametrize(
    ("sender", "options", "namespace", "answer"),
    [
        ("taro@example.jp", (), None, "550 5.7.23 SPF of example.jp for 192.0.2.10: fail"),
        (
            "hanako@example.net",
            ("--ehlo", "mx1.example.jp"),
            None,
            "550 5.7.25 EHLO mx1.example.jp",
        ),
        ("<>", ("--ehlo", MIRROR.host), MIRROR.namespace, "550 5.7.23 SPF of mirror.test"),
        ("hanako@example.net", (), VPC.id, "550 5.7.25 reverse DNS of 10.1.0.2: it has no name"),
        (
            "hanako@example.net",
            ("--header", "From: taro@example.jp"),
            None,
            "550 5.7.26 DMARC policy reject of example.jp: only example.net passed",
        ),
        (
            "hanako@example.net",
            ("--header", "From: hanako@example.net, taro@example.jp"),
            None,
            "550 5.6.0 one From field with one domain is needed",
        ),
    ],
)
def test_others_are_refused_with_the_reason(
    internet: SmallInternet,
    sender: str,
    options: tuple[str, ...],
    namespace: str | None,
    answer: str,
) -> None:
    user = next(users)
    said = send(internet, user, *options, sender=sender, namespace=namespace)
    assert f"<** {answer}" in said.stdout, said.stdout
    (verdict,) = verdicts(internet, user)
    assert f"{verdict['code']} {verdict['status']} {verdict['text']}".startswith(answer)
    assert read_mailbox(internet.run, INTERNET2, user) == ()


def test_a_policy_for_subdomains_is_theirs(internet: SmallInternet) -> None:
    user = next(users)
    author = ("--header", "From: someone@sub.example.jp")
    assert send(internet, user, *author).returncode == 0
    results = delivered(internet, user)["Authentication-Results"]
    assert "dmarc=fail (policy none) header.from=sub.example.jp" in results


def test_a_signature_of_the_authors_domain_satisfies_dmarc(internet: SmallInternet) -> None:
    user = next(users)
    make = "cd /root; openssl genrsa -out key 2048 2>/dev/null; openssl rsa -in key -pubout"
    public = internet.at("internet", "sh", "-c", f"{make} 2>/dev/null").stdout
    key = "".join(public.splitlines()[1:-1])
    value = f'"v=DKIM1; k=rsa; p={key[:200]}" "{key[200:]}"'
    world = example_world()
    zone = world.zones[0]
    signing = record("s._domainkey.example.jp.", "TXT", value)
    signed_zone = replace(zone, records=(*zone.records, signing))
    message = f"From: taro@example.jp\r\nTo: {user}@example.com\r\nSubject: signed\r\n\r\nHello\r\n"
    try:
        internet.apply(replace(world, zones=(signed_zone, *world.zones[1:])))
        done = internet.at("internet", "dkimsign", "s", "example.jp", "/root/key", stdin=message)
        said = send(internet, user, "--data", done.stdout)
        assert said.returncode == 0, said.stdout
        results = delivered(internet, user)["Authentication-Results"]
        assert "dkim=pass header.d=example.jp" in results
        assert "dmarc=pass (policy reject) header.from=example.jp" in results
        broken = done.stdout.replace("Hello", "Hallo")
        assert "5.7.26" in send(internet, next(users), "--data", broken).stdout
    finally:
        internet.apply(world)


def test_an_answer_can_be_late(internet: SmallInternet) -> None:
    start = time.monotonic()
    assert send(internet, "slow-2").returncode == 0
    assert time.monotonic() - start >= 2
