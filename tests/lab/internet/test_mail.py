"""Mail between the outside hosts, and what they say to clients."""

from __future__ import annotations

import email
from email.message import Message

import pytest

from lab.internet.hosts import REFUSALS, mail_host, read_mailbox
from lab.internet.machine import NOT_RUNNING
from lab.internet.plan import INTERNET, INTERNET2, MIRROR
from lab.waiting import wait_for
from tests.lab.internet.small_internet import SmallInternet

LIMIT = 20.0


def received(internet: SmallInternet, user: str) -> list[Message]:
    messages = read_mailbox(internet.run, INTERNET2, user)
    return [email.message_from_bytes(message) for message in messages]


def test_mail_goes_by_mx_and_arrives_once(internet: SmallInternet) -> None:
    message = "Subject: across\r\nMessage-ID: <1@example.net>\r\n\r\nHello \u65e5\u672c\r\n"
    sent = internet.at(
        "internet", "sendmail", "-f", "hanako@example.net", "Taro+list@example.com", stdin=message
    )
    assert sent.returncode == 0, sent.stderr
    assert wait_for(lambda: bool(received(internet, "taro")), LIMIT)
    (arrived,) = received(internet, "taro")
    assert arrived["Subject"] == "across"
    assert arrived["Return-Path"] == "<hanako@example.net>"
    trace = arrived["Received"]
    assert f"from {INTERNET.host} ({INTERNET.host} [{INTERNET.address}])" in trace
    assert f"by {INTERNET2.host} (Postfix) with ESMTPS" in trace
    assert arrived.get_payload(decode=True) == "Hello \u65e5\u672c\r\n".encode().replace(b"\r", b"")
    assert read_mailbox(internet.run, INTERNET2, "never-written-to") == ()
    # Its domain has a TLSA record.
    log = (internet.state / "logs" / "internet-postfix.log").read_text()
    assert f"Verified TLS connection established to {INTERNET2.host}[" in log


@pytest.mark.parametrize(("user", "answer"), REFUSALS.items())
def test_some_local_parts_are_refused(internet: SmallInternet, user: str, answer: str) -> None:
    said = internet.at(
        "internet", "swaks", "-n", "--server", INTERNET2.host, "--to", f"{user}@example.com"
    )
    code, status, text = answer.split(" ", 2)
    assert f"<** {code} {status}" in said.stdout
    assert text in said.stdout
    assert said.returncode == 24  # swaks(1): no recipients accepted


def test_the_certificate_is_the_labs(internet: SmallInternet) -> None:
    said = internet.at(
        "internet",
        *("openssl", "s_client", "-connect", f"{INTERNET2.host}:25", "-starttls", "smtp"),
        *("-verify_return_error", "-verify_hostname", INTERNET2.host, "-brief"),
        stdin="QUIT\r\n",
    )
    assert said.returncode == 0, said.stderr
    assert "Verification: OK" in said.stderr


def test_nobody_relays_through_an_outside_host(internet: SmallInternet) -> None:
    said = internet.at(
        "internet", "swaks", "-n", "--server", INTERNET2.host, "--to", "taro@example.org"
    )
    assert "554 5.7.1 <taro@example.org>: Relay access denied" in said.stdout


def test_commands_pass_their_status_and_streams(internet: SmallInternet) -> None:
    done = internet.at("internet2", "sh", "-c", "cat; hostname >&2; exit 7", stdin="in")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in", f"{INTERNET2.host}\n")


def test_a_machine_that_is_not_there_says_so(internet: SmallInternet) -> None:
    done = internet.at("nowhere", "true")
    assert done.returncode == NOT_RUNNING
    assert "machine nowhere is not running" in done.stderr


def test_an_unknown_mail_host_is_named() -> None:
    with pytest.raises(ValueError, match=r"'names' is no mail host.*internet, internet2"):
        mail_host("names")


def test_the_mirror_serves_files_over_http_and_https(internet: SmallInternet) -> None:
    script = (
        "import ssl, sys, urllib.request as u;"
        "c = ssl.create_default_context(cafile=__import__('os').environ['AWS_CA_BUNDLE']);"
        "print([u.urlopen(s + '://cdn-aws.deb.debian.org/Packages', context=c).read()"
        " for s in ('http', 'https')])"
    )
    assert internet.python(script).stdout == f"{[b'Package: hello' + bytes([10])] * 2}\n"
    listing = f"import urllib.request as u; u.urlopen('http://{MIRROR.address}/')"
    assert "HTTP Error 404" in internet.python(listing).stderr


def test_postfix_is_content_with_its_configuration(internet: SmallInternet) -> None:
    log = (internet.state / "logs" / "internet-postfix.log").read_text()
    assert [line for line in log.splitlines() if "warning:" in line or "fatal:" in line] == []
