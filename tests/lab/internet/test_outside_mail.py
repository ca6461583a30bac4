"""MTA-STS, DANE, the blocklist, the smarthost and the well-known hosts of the lab's Internet."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from lab.faults import SOUND, Faults
from lab.internet.endpoints import smtp_name
from lab.internet.hosts import read_mailbox
from lab.internet.plan import INTERNET, INTERNET2, SMARTHOST, WELL_KNOWN, OutsideHost
from lab.internet.smarthost import PASSWORD, USER
from lab.waiting import wait_for
from tests.lab.internet.small_internet import REGION, Completed, SmallInternet

LIMIT = 20.0
users = (f"smart{number}" for number in itertools.count())


@contextmanager
def broken(internet: SmallInternet, faults: Faults) -> Generator[None]:
    internet.fault(faults)
    try:
        yield
    finally:
        internet.fault(SOUND)


def sts(internet: SmallInternet, domain: str) -> Completed:
    return internet.at(INTERNET2.namespace, "sts-check", domain)


def test_a_sender_that_honours_mta_sts_accepts_the_right_certificate_only(
    internet: SmallInternet,
) -> None:
    good = sts(internet, "example.net")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "mode enforce, mx mx.example.net" in good.stdout
    assert f"{INTERNET.host}: accepted" in good.stdout
    with broken(internet, Faults(wrong_certificate=(INTERNET.namespace,))):
        bad = sts(internet, "example.net")
        assert bad.returncode == 1
        assert f"{INTERNET.host}: refused: " in bad.stdout
        assert "certificate is not valid for 'mx.example.net'" in bad.stdout
    assert sts(internet, "example.net").returncode == 0


def test_a_domain_without_a_policy_is_told(internet: SmallInternet) -> None:
    done = sts(internet, "example.com")
    assert (done.returncode, done.stdout) == (
        1,
        "example.com: no policy that is valid: NONE\n",
    )


def dane(internet: SmallInternet) -> str:
    done = internet.at(INTERNET.namespace, "posttls-finger", "-c", "-l", "dane-only", "example.com")
    return done.stdout + done.stderr


def test_a_sender_that_honours_dane_accepts_the_right_key_only(internet: SmallInternet) -> None:
    assert "Verified TLS connection established to mx.example.com" in dane(internet)
    with broken(internet, Faults(wrong_certificate=(INTERNET2.namespace,))):
        assert "Verified" not in dane(internet)
    assert "Verified TLS connection established to mx.example.com" in dane(internet)


def listed(internet: SmallInternet, address: str) -> list[str]:
    name = ".".join(reversed(address.split("."))) + ".zen.spamhaus.org"
    return sorted(internet.at(INTERNET.namespace, "dig", "+short", name, "A").stdout.split())


def test_the_blocklist_lists_whom_it_should_or_as_it_is_told(internet: SmallInternet) -> None:
    test_entry, nobody = "127.0.0.2", "198.51.100.7"
    assert listed(internet, test_entry) == ["127.0.0.10", "127.0.0.2", "127.0.0.4"]
    assert listed(internet, nobody) == []
    assert listed(internet, "127.0.0.1") == []
    with broken(internet, Faults(listed=(nobody,))):
        assert listed(internet, nobody) == ["127.0.0.2"]
        assert listed(internet, INTERNET.address) == []
    with broken(internet, Faults(blocklist="nonsense", listed=(nobody,))):
        assert listed(internet, nobody) == ["127.255.255.254"]
        assert listed(internet, INTERNET.address) == ["127.255.255.254"]
    with broken(internet, Faults(blocklist="everything")):
        assert listed(internet, test_entry) == ["127.0.0.1"]
        assert listed(internet, INTERNET.address) == ["127.0.0.1"]
    assert listed(internet, nobody) == []


def submit(
    internet: SmallInternet, *options: str, sender: str = "taro@example.jp", user: str = "x"
) -> str:
    """A client's conversation with the smarthost; logged in over TLS unless `options` say so."""
    login = options or ("-tlsv", "--auth-user", USER, "--auth-password", PASSWORD)
    tls = ("--tls-verify", "--tls-ca-path", "/etc/ssl/certs/ca-certificates.crt")
    server = ("--server", smtp_name(REGION), "--port", "587")
    people = ("--from", sender, "--to", f"{user}@example.net")
    return internet.at(INTERNET2.namespace, "swaks", "-n", *server, *people, *tls, *login).stdout


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_the_smarthost_sends_for_who_logs_in(internet: SmallInternet, mechanism: str) -> None:
    user = next(users)
    login = ("--tls", "--auth", mechanism, "--auth-user", USER, "--auth-password", PASSWORD)
    assert "250 2.0.0 Ok: queued" in submit(internet, *login, user=user)
    assert wait_for(lambda: bool(read_mailbox(internet.run, INTERNET, user)), LIMIT)
    (message,) = read_mailbox(internet.run, INTERNET, user)
    name = SMARTHOST.host
    assert f"Received: from {name} ({name} [{SMARTHOST.address}])".encode() in message
    assert f"by {smtp_name(REGION)} (Postfix)".encode() in message


def test_the_smarthost_refuses_others(internet: SmallInternet) -> None:
    assert "530 5.7.0 Must issue a STARTTLS command first" in submit(internet, "--port", "587")
    assert "530 5.7.0" in submit(internet, "--tls")
    wrong = ("--tls", "--auth-user", USER, "--auth-password", "wrong")
    assert "535 5.7.8" in submit(internet, *wrong)
    login = ("--tls", "--auth-user", USER, "--auth-password", PASSWORD)
    said = submit(internet, *login, sender="taro@example.org")
    assert "554 5.7.1 <taro@example.org>: Sender address rejected: Message rejected" in said


def test_the_smarthost_refuses_bounces_where_it_is_told_to(internet: SmallInternet) -> None:
    login = ("--tls", "--auth-user", USER, "--auth-password", PASSWORD)
    assert "250 2.0.0 Ok: queued" in submit(internet, *login, sender="<>")
    with broken(internet, Faults(null_sender_refused=True)):
        assert "501 5.1.7" in submit(internet, *login, sender="<>")


def smarthost_verifies(internet: SmallInternet) -> bool:
    name = smtp_name(REGION)
    shake = ("openssl", "s_client", "-starttls", "smtp", "-connect", f"{name}:587", "-brief")
    verify = ("-verify_return_error", "-verify_hostname", name)
    return internet.at(INTERNET2.namespace, *shake, *verify, stdin="QUIT\r\n").returncode == 0


def test_the_smarthost_may_be_somebody_else_s(internet: SmallInternet) -> None:
    assert smarthost_verifies(internet)
    with broken(internet, Faults(wrong_certificate=(SMARTHOST.namespace,))):
        assert not smarthost_verifies(internet)
    assert smarthost_verifies(internet)
    with broken(internet, Faults(smarthost_plain=True)):
        said = submit(internet, "--auth-user", USER, "--auth-password", PASSWORD)
        assert "STARTTLS" not in said
        assert "235 2.7.0 Authentication successful" in said, "it takes what it is told"
    assert smarthost_verifies(internet)
    assert "530 5.7.0 Must issue a STARTTLS command first" in submit(internet, "--port", "587")


@pytest.mark.parametrize("host", WELL_KNOWN, ids=lambda host: host.host)
def test_well_known_hosts_answer(internet: SmallInternet, host: OutsideHost) -> None:
    name = host.host
    said = internet.at(INTERNET.namespace, "swaks", "--server", name, "--quit-after", "EHLO").stdout
    assert f"<-  220 {name} ESMTP" in said
    shake = ("openssl", "s_client", "-connect", f"{name}:443", "-verify_return_error", "-brief")
    done = internet.at(INTERNET.namespace, *shake, "-verify_hostname", name)
    assert "Verification: OK" in done.stderr
