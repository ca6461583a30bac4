"""The outside mail hosts: ordinary Internet hosts with Postfix, for a domain of their own each.

A host accepts mail for its domain, whatever the local part, and keeps each message as one file of a
Maildir, `/var/mail/<domain>/<user>/new/` (user: the local part in lower case, up to a `+`). Some
local parts are refused instead, for tests: see REFUSALS. It sends to the world by MX. A strict host
judges what strangers send: see `lab.internet.outside.receiver`, and its VERDICTS.

`sts-check DOMAIN` on any of them tells whether a sender that honours MTA-STS would send there;
`posttls-finger -l dane DOMAIN` (posttls-finger(1)) the same of DANE.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.internet.machine import Machine, MachineError
from lab.internet.plan import MAIL_HOSTS, OutsideHost
from lab.waiting import wait_for

REFUSALS: Mapping[str, str] = {
    "nobody": "550 5.1.1 No such user here",
    "reject": "550 5.7.1 Refused by policy",
    "full": "452 4.2.2 Mailbox full",
    "defer": "451 4.7.1 Try again later",
}
"""Local parts that are answered so at RCPT (RFC 5321 section 4.2, RFC 3463)."""

SMTP_PORT = 25
MESSAGE_SIZE_LIMIT = 50 * 1024 * 1024
"""Octets; more than any gate in the lab should let pass: the gate's limit is what counts."""
RETRY = 5
"""Seconds between attempts for deferred mail; Postfix's default (minimal_backoff_time, 300) would
let a test wait for minutes."""

VERDICTS = "/var/log/verdicts"
"""At a strict host: a line of JSON for each message that it judged."""
OUTSIDE = Path(__file__).with_name("outside")
"""Programs for the hosts, run by Debian's own Python with Debian's own libraries."""
STS_CHECK = "/usr/local/bin/sts-check"
RECEIVER = "/usr/local/lib/receiver.py"
RECEIVER_PORT = 8025
RECEIVER_LIMIT = 630
"""Seconds that Postfix waits for the receiver's verdict: a bit more than that may take its time."""

RELOAD_LIMIT = 20.0
"""Seconds; `postfix reload` takes about one."""

MAILDIRS = "/var/mail"
_DELIVER = "/usr/local/lib/maildir"
TLS_FILE = "/etc/postfix/tls.pem"
_REFUSALS_FILE = "/etc/postfix/refusals"
TRUST_STORE = "/etc/ssl/certs/ca-certificates.crt"

_DELIVER_SCRIPT = f"""#!/bin/sh
# Delivers standard input into the Maildir of user $2 at domain $1 (exits: sysexits.h).
set -eu
case "$2" in
    .* | *[!a-z0-9._=-]*) echo "no mailbox can be named $2" >&2; exit 67 ;;
esac
box={MAILDIRS}/$1/$2
mkdir -p "$box/tmp" "$box/new" "$box/cur" || exit 75
name=$(date +%s.%N).$$.$(hostname)
cat > "$box/tmp/$name" || exit 75
mv "$box/tmp/$name" "$box/new/$name" || exit 75
"""


def mail_host(namespace: str) -> OutsideHost:
    """The mail host of that name.

    Raises:
        ValueError: there is none.
    """
    for host in MAIL_HOSTS:
        if host.namespace == namespace:
            return host
    names = ", ".join(host.namespace for host in MAIL_HOSTS)
    raise ValueError(f"{namespace!r} is no mail host of the lab's Internet; there are: {names}")


def main_cf(host: OutsideHost) -> str:
    """Postfix's main.cf of an outside mail host (postconf(5))."""
    settings = {
        "compatibility_level": "3.10",
        "myhostname": host.host,
        "myorigin": host.domain or "",
        "inet_protocols": "ipv4",
        "mydestination": "",
        "local_transport": "error:no local delivery",
        "alias_maps": "",
        "mynetworks": "127.0.0.0/8",
        "virtual_mailbox_domains": host.domain or "",
        # No virtual_mailbox_maps: every local part of the domain exists.
        "virtual_mailbox_maps": "static:all",
        "virtual_transport": "maildir",
        "maildir_destination_recipient_limit": "1",
        "recipient_delimiter": "+",
        "smtpd_helo_required": "yes",
        "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
        "smtpd_recipient_restrictions": f"check_recipient_access texthash:{_REFUSALS_FILE}",
        "disable_vrfy_command": "yes",
        "message_size_limit": str(MESSAGE_SIZE_LIMIT),
        "mailbox_size_limit": "0",
        "smtpd_tls_security_level": "may",
        "smtpd_tls_chain_files": TLS_FILE,
        "smtpd_tls_received_header": "yes",
        "smtpd_tls_loglevel": "1",
        # Where a receiver's zone has TLSA records it is verified by those (RFC 7672).
        "smtp_dns_support_level": "dnssec",
        "smtp_tls_security_level": "dane",
        "smtp_tls_CAfile": TRUST_STORE,
        "smtp_tls_loglevel": "1",
        "minimal_backoff_time": f"{RETRY}s",
        "maximal_backoff_time": f"{RETRY}s",
        "queue_run_delay": f"{RETRY}s",
        "maillog_file": "/dev/stdout",
    }
    if host.strict:
        settings |= {
            "smtpd_milters": f"inet:127.0.0.1:{RECEIVER_PORT}",
            "milter_content_timeout": f"{RECEIVER_LIMIT}s",
            "milter_default_action": "tempfail",
        }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def files(
    host: OutsideHost, *, certificate: bytes, trust_store: bytes
) -> dict[str, tuple[bytes, int]]:
    """What is laid over the Debian root of a mail host: contents and modes by path.

    `certificate` is a key with its chain in PEM; `trust_store` all trusted roots in PEM.
    """
    refusals = "".join(f"{user}@ {answer}\n" for user, answer in REFUSALS.items())
    return {
        "/etc/postfix/main.cf": (main_cf(host).encode(), 0o644),
        _REFUSALS_FILE: (refusals.encode(), 0o644),
        _DELIVER: (_DELIVER_SCRIPT.encode(), 0o755),
        STS_CHECK: (b"#!/usr/bin/python3\n" + (OUTSIDE / "sts_check.py").read_bytes(), 0o755),
        RECEIVER: ((OUTSIDE / "receiver.py").read_bytes(), 0o644),
        **identity_files(host, certificate, trust_store),
    }


def identity_files(
    host: OutsideHost, certificate: bytes, trust_store: bytes
) -> dict[str, tuple[bytes, int]]:
    """Who a mail host of the Internet is, and whom it believes: part of its `files`."""
    own = f"127.0.0.1 localhost\n{host.address} {host.host}\n"
    return {
        TLS_FILE: (certificate, 0o600),
        TRUST_STORE: (trust_store, 0o644),
        "/etc/mailname": (f"{host.domain or host.host}\n".encode(), 0o644),
        # By itself the host knows its own name only; all else is in the DNS.
        "/etc/hosts": (own.encode(), 0o644),
        "/etc/resolv.conf": (b"nameserver 127.0.0.1\n", 0o644),
    }


def prepare_postfix(machine: Machine, host: OutsideHost) -> None:
    """The changes to Debian's master.cf, made by Postfix's own tool inside the machine.

    Raises:
        MachineError: postconf refused.
    """
    # Debian's chroot needs copies of resolv.conf and others that only its init script refreshes.
    machine.run(["postconf", "-F", "*/*/chroot=n"], check=True)
    service = (
        "maildir/unix=maildir unix - n n - 4 pipe flags=DORu user=mail"
        f" argv={_DELIVER} {host.domain} ${{user}}"
    )
    machine.run(["postconf", "-M", service], check=True)
    machine.run(["install", "-d", "-o", "mail", "-g", "mail", MAILDIRS], check=True)
    machine.run(["install", "-d", "-o", "mail", "-g", "mail", f"{MAILDIRS}/{host.domain}"])
    warnings = machine.run(["postconf", "-n"], check=True).stderr.decode().strip()
    if warnings:
        raise MachineError(f"machine {machine.name}: main.cf is not right: {warnings}")


def receiver_argv(host: OutsideHost) -> list[str]:
    """The command line of a strict host's milter."""
    return ["python3", RECEIVER, f"inet:{RECEIVER_PORT}@127.0.0.1", host.host, VERDICTS]


def show_certificate(machine: Machine, certificate: bytes, port: int) -> None:
    """Has Postfix show another certificate (a key with its chain, PEM) at a port; waits for it.

    Raises:
        MachineError: the machine or Postfix refused, or still shows another one.
    """
    machine.run(["sh", "-c", f"cat > {TLS_FILE}"], stdin=certificate, check=True)
    machine.run(["postfix", "reload"], check=True)
    leaf = certificate[certificate.index(b"-----BEGIN CERTIFICATE") :]
    leaf = leaf[: leaf.index(b"-----END CERTIFICATE")].strip()
    handshake = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp"]

    def shown() -> bool:
        return leaf in machine.run(handshake, stdin=b"QUIT\r\n").stdout

    if not wait_for(shown, RELOAD_LIMIT):
        raise MachineError(f"machine {machine.name}: shows another certificate than {TLS_FILE}")


def read_mailbox(
    run: Callable[[list[str]], subprocess.CompletedProcess[str]],
    host: OutsideHost,
    user: str,
) -> tuple[bytes, ...]:
    """All messages of a mailbox at an outside host, oldest first; none if nothing ever came.

    `run` runs a command line within the lab and captures its output, bytes that are not UTF-8 as
    surrogates (PEP 383).

    Raises:
        MachineError: the host is not running.
    """
    box = f"{MAILDIRS}/{host.domain}/{user}/new"
    script = 'if [ -d "$0" ]; then tar -C "$0" -cf - .; fi'
    done = run(exec_argv(host.namespace, ["sh", "-c", script, box]))
    if done.returncode:
        raise MachineError(f"mailbox {user}@{host.domain}: {done.stderr.strip()}")
    if not done.stdout:
        return ()
    content = done.stdout.encode("utf-8", "surrogateescape")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = sorted((m for m in archive if m.isfile()), key=lambda member: member.name)
        return tuple(_content(archive, member) for member in members)


def exec_argv(namespace: str, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` at an outside host, from within the lab.

    Its exit status, standard streams and signals are the command's.
    """
    return Machine(name=namespace, hostname="").argv(command)


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    handle = archive.extractfile(member)
    if handle is None:
        raise MachineError(f"{member.name} in a Maildir is no regular file")
    return handle.read()
