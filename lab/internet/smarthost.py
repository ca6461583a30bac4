"""A smarthost like Amazon SES's SMTP interface: for those who log in, for domains of the account.

Mail comes on port 587 over TLS from who has USER's password, and only under domains that the
account owns; it leaves by MX, signed under the author's domain with a key of the lab's own, as SES
does with one that its customer brings (SES Developer Guide, "Provide your own DKIM authentication
token (BYODKIM)"). Receivers find its public half, `dkim_record`, at SELECTOR if the account's zones
hold it. Unlike SES it keeps the envelope sender as it is: the bounce comes back to the sender, and
SPF is that of the sender's domain.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from cryptography.hazmat.primitives import serialization

from lab.faults import Faults
from lab.internet.endpoints import smtp_name
from lab.internet.hosts import (
    OUTSIDE,
    RELOAD_LIMIT,
    RETRY,
    TLS_FILE,
    TRUST_STORE,
    identity_files,
)
from lab.internet.machine import Machine, MachineError
from lab.internet.plan import SMARTHOST
from lab.waiting import wait_for

PORT = 587
"""Submission (RFC 6409)."""
USER = "AKIALABSMARTHOST0001"
PASSWORD = "BLabSmarthostPasswordThatOnlyWorksInTheLab01"
"""The one login; SES's have this form ("Obtaining Amazon SES SMTP credentials")."""
SIZE_LIMIT = 40 * 1024 * 1024
"""Octets ("Service quotas in Amazon SES", maximum message size)."""

SELECTOR = "smarthost"
"""Under which receivers look for the signatures' key (RFC 6376 section 3.1)."""
SIGNER_PORT = 8026

_SIGNER = "/usr/local/lib/signer.py"
_KEY = "/etc/lab-dkim.pem"
_IDENTITIES = "/etc/postfix/identities"
_SASL = "/etc/postfix/sasl/smtpd.conf"
_NOT_VERIFIED = (
    "554 5.7.1 Message rejected: Email address is not verified. The following identities failed"
    " the check in region"
)


def main_cf(region: str) -> str:
    """Postfix's main.cf of the smarthost (postconf(5), SASL_README)."""
    settings = {
        "compatibility_level": "3.10",
        "myhostname": smtp_name(region),
        # Under its outgoing name it is known to receivers, under the other one to its clients.
        "smtp_helo_name": SMARTHOST.host,
        "inet_protocols": "ipv4",
        "mydestination": "",
        "local_transport": "error:no local delivery",
        "alias_maps": "",
        "mynetworks": "127.0.0.0/8",
        "smtpd_helo_required": "yes",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_local_domain": smtp_name(region),
        "smtpd_sasl_security_options": "noanonymous",
        "smtpd_tls_auth_only": "yes",
        "smtpd_tls_security_level": "encrypt",
        "smtpd_tls_chain_files": TLS_FILE,
        "smtpd_tls_loglevel": "1",
        "smtpd_delay_reject": "no",
        "smtpd_client_restrictions": "",
        "smtpd_sender_restrictions": (
            f"permit_mynetworks, check_sender_access texthash:{_IDENTITIES},"
            f" check_sender_access static:{{{_NOT_VERIFIED} {region.upper()}}}"
        ),
        "smtpd_relay_restrictions": (
            "permit_mynetworks, permit_sasl_authenticated,"
            " check_recipient_access static:{530 5.7.0 Authentication required}, reject"
        ),
        "message_size_limit": str(SIZE_LIMIT),
        "smtpd_milters": f"inet:127.0.0.1:{SIGNER_PORT}",
        "milter_default_action": "tempfail",
        "smtp_tls_security_level": "may",
        "smtp_tls_CAfile": TRUST_STORE,
        "smtp_tls_loglevel": "1",
        "minimal_backoff_time": f"{RETRY}s",
        "maximal_backoff_time": f"{RETRY}s",
        "queue_run_delay": f"{RETRY}s",
        "maillog_file": "/dev/stdout",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def files(region: str, *, certificate: bytes, trust_store: bytes) -> dict[str, tuple[bytes, int]]:
    """What is laid over the Debian root: contents and modes by path; see `hosts.files`."""
    sasl = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n"
    return {
        "/etc/postfix/main.cf": (main_cf(region).encode(), 0o644),
        _IDENTITIES: (b"", 0o644),
        _SASL: (sasl.encode(), 0o644),
        _SIGNER: ((OUTSIDE / "signer.py").read_bytes(), 0o644),
        _KEY: (_key(), 0o600),
        **identity_files(SMARTHOST, certificate, trust_store),
    }


def prepare(machine: Machine, region: str) -> None:
    """Postfix's services, and the one login, made by the tools' own means inside the machine.

    Raises:
        MachineError: one of them refused.
    """
    machine.run(["postconf", "-F", "*/*/chroot=n"], check=True)
    machine.run(["postconf", "-MX", "smtp/inet"], check=True)
    machine.run(["postconf", "-M", "submission/inet=submission inet n - n - - smtpd"], check=True)
    command = ["saslpasswd2", "-p", "-c", "-u", smtp_name(region), USER]
    machine.run(command, stdin=PASSWORD.encode(), check=True)
    machine.run(["chgrp", "postfix", "/etc/sasldb2"], check=True)
    machine.run(["chmod", "640", "/etc/sasldb2"], check=True)


def signer_argv() -> list[str]:
    """The command line of the milter that signs."""
    return ["python3", _SIGNER, f"inet:{SIGNER_PORT}@127.0.0.1", SELECTOR, _KEY, _IDENTITIES]


def dkim_record() -> str:
    """The public key as a domain publishes it at SELECTOR (RFC 6376 section 3.6.1)."""
    private = serialization.load_pem_private_key(_key(), password=None)
    public = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}"


def _key() -> bytes:
    """The signatures' key: known to everyone who reads this, and of use in the lab only."""
    return (OUTSIDE / "dkim.pem").read_bytes()


def identities(domains: Iterable[str], faults: Faults) -> bytes:
    """The senders' domains that are the account's own, as a table of access(5)."""
    null = "501 5.1.7 Invalid MAIL FROM address provided" if faults.null_sender_refused else "OK"
    entries: Mapping[str, str] = {"<>": null} | dict.fromkeys(sorted(domains), "OK")
    return "".join(f"{name} {answer}\n" for name, answer in entries.items()).encode()


def offer_tls(machine: Machine, *, offered: bool) -> None:
    """Has Postfix offer TLS, and a login within; or, as who sits on the way would, a login alone.

    Raises:
        MachineError: the machine or Postfix refused, or still says the other thing.
    """
    level, only = ("encrypt", "yes") if offered else ("none", "no")
    settings = [f"smtpd_tls_security_level={level}", f"smtpd_tls_auth_only={only}"]
    machine.run(["postconf", "-e", *settings], check=True)
    machine.run(["postfix", "reload"], check=True)
    greet = ["swaks", "--server", "127.0.0.1", "--port", str(PORT), "--quit-after", "EHLO"]
    wanted, other = (b"STARTTLS", b"AUTH")[:: 1 if offered else -1]

    def settled() -> bool:
        said = machine.run(greet).stdout
        return wanted in said and other not in said

    if not wait_for(settled, RELOAD_LIMIT):
        raise MachineError(f"machine {machine.name}: port {PORT} still offers {other.decode()}")


def take_up(machine: Machine, table: bytes) -> None:
    """Has Postfix judge senders by this table of `identities` from now on.

    Raises:
        MachineError: the machine or Postfix refused.
    """
    machine.run(["sh", "-c", f"cat > {_IDENTITIES}"], stdin=table, check=True)
    machine.run(["postfix", "reload"], check=True)
