"""The public certificate authority: Debian's pebble, where Let's Encrypt's production server is.

Pebble makes a root of its own at each start. The lab's authority vouches for that root (a cross
certificate, as Let's Encrypt's own root had one for years), and each chain handed out ends with
that: so whoever trusts the lab's authority trusts what is issued here, and nobody has to be told.

What pebble does not look at and Let's Encrypt does: CAA records, before an order is taken.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import logging
import socket
import ssl
import subprocess
import threading
from base64 import urlsafe_b64decode
from dataclasses import replace
from http import HTTPStatus
from typing import IO

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from dns.exception import DNSException

from lab.internet import caa
from lab.internet.authority import Authority, write_private
from lab.internet.machine import SHARED, Machine
from lab.internet.netns import connect, within_namespace
from lab.internet.plan import ACME, LOOPBACK
from lab.internet.proxy import ANSWER_LIMIT, Answer, Handler, TooLarge
from lab.internet.server import HTTP_PORT, HTTPS_PORT, Server
from lab.waiting import wait_for

VALIDITY = 90 * 24 * 3600
"""Seconds for which a certificate is valid ("FAQ", Let's Encrypt)."""
START_LIMIT = 30.0
"""Seconds; pebble makes two RSA keys first, some 0.5 s."""

_API_PORT, _MANAGEMENT_PORT, _DNS_PORT = 14000, 15000, 53
_FOLDER = f"{SHARED}/pebble"
_ENVIRONMENT = (
    "PEBBLE_VA_NOSLEEP=1",  # validates at once, not within 15 s
    "PEBBLE_WFE_NONCEREJECT=0",  # takes all good nonces, as Let's Encrypt does
    "PEBBLE_AUTHZREUSE=0",  # each order is validated, as a renewal after 60 days is
)
"""See README.md of Debian's package pebble."""
_ROOT = "/roots/0"
_OWN_DIRECTORY, _DIRECTORY = "/dir", "/directory"
_NEW_ORDER = "/order-plz"
"""Pebble's paths; clients find all but the directory's in the directory."""
_CHAIN = "application/pem-certificate-chain"
"""What a certificate is downloaded as (RFC 8555 section 7.4.2)."""

log = logging.getLogger("acme")


def start_pebble(machine: Machine, chain: bytes, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Starts pebble, without waiting; `chain` is a key with certificates for ACME.host, in PEM.

    It validates by the resolver at LOOPBACK.
    """
    folder = machine.seen_from_outside(_FOLDER)
    folder.mkdir(exist_ok=True)
    write_private(folder / "tls.pem", chain)
    (folder / "config.json").write_text(json.dumps({"pebble": _config()}))
    command = ["pebble", "-strict", "-config", f"{_FOLDER}/config.json"]
    command += ["-dnsserver", f"{LOOPBACK}:{_DNS_PORT}"]
    return machine.popen(["env", *_ENVIRONMENT, *command], log=output)


def _config() -> dict[str, object]:
    return {
        "listenAddress": f"{LOOPBACK}:{_API_PORT}",
        "managementListenAddress": f"{LOOPBACK}:{_MANAGEMENT_PORT}",
        "certificate": f"{_FOLDER}/tls.pem",
        "privateKey": f"{_FOLDER}/tls.pem",
        "httpPort": HTTP_PORT,
        "tlsPort": HTTPS_PORT,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
        "retryAfter": {"authz": 1, "order": 1},
        "certificateValidityPeriod": VALIDITY,
    }


class AcmeServer(Server):
    """Passes ACME on to pebble, from a listening socket and over TLS."""

    def __init__(
        self, listener: socket.socket, *, authority: Authority, tls: ssl.SSLContext
    ) -> None:
        super().__init__(listener, _Handler, tls)
        self._authority = authority
        self._trusting = ssl.create_default_context(cadata=authority.pem.decode())
        self._lock = threading.Lock()
        self._cross: bytes | None = None

    def pebble(self, port: int) -> http.client.HTTPSConnection:
        """A connection to pebble, which may still be starting.

        Raises:
            OSError: it does not answer within START_LIMIT.
        """
        # If it never does, connecting tells why.
        wait_for(lambda: _listens(port), START_LIMIT)
        connection = _Connection(ACME.host, port, timeout=ANSWER_LIMIT, context=self._trusting)
        connection.connect()
        return connection

    def cross_certificate(self) -> bytes:
        """The lab's authority on pebble's root, in PEM."""
        with self._lock:
            if self._cross is None:
                with contextlib.closing(self.pebble(_MANAGEMENT_PORT)) as connection:
                    connection.request("GET", _ROOT)
                    root = x509.load_pem_x509_certificate(connection.getresponse().read())
                self._cross = self._authority.vouch(root).public_bytes(Encoding.PEM)
            return self._cross


class _Connection(http.client.HTTPSConnection):
    """From within the host's network namespace."""

    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls = context

    def connect(self) -> None:
        plain = connect(ACME.namespace, LOOPBACK, self.port, limit=ANSWER_LIMIT)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def _listens(port: int) -> bool:
    try:
        connect(ACME.namespace, LOOPBACK, port, limit=ANSWER_LIMIT).close()
    except ConnectionRefusedError:
        return False
    return True


def _forbidden(order: bytes) -> str | None:
    """Why a newOrder request (RFC 8555 section 7.4) may not be served, or None.

    Pebble answers what is malformed.
    """
    try:
        payload = json.loads(order)["payload"]
        wanted = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        names = [str(one["value"]) for one in wanted["identifiers"] if one["type"] == "dns"]
    except (ValueError, KeyError, TypeError):
        return None
    lookup = caa.resolver_at(LOOPBACK)

    def first_refusal() -> str | None:
        return next((why for name in names if (why := caa.refusal(name, lookup))), None)

    try:
        return within_namespace(ACME.namespace, first_refusal)
    except DNSException as error:
        return f"CAA of {', '.join(names)}: {error}"


def _problem(kind: str, detail: str) -> Answer:
    """A refusal (RFC 8555 section 6.7)."""
    log.warning("%s: %s", kind, detail)
    content = json.dumps({"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail})
    headers = (("Content-Type", "application/problem+json"),)
    return Answer(status=HTTPStatus.FORBIDDEN, headers=headers, content=content.encode())


class _Handler(Handler):
    @property
    def acme(self) -> AcmeServer:
        assert isinstance(self.server, AcmeServer)
        return self.server

    def _serve(self) -> None:
        try:
            path = _OWN_DIRECTORY if self.path == _DIRECTORY else self.path
            body = self.body()
            if path == _NEW_ORDER and (why := _forbidden(body)):
                self.answer(_problem("caa", why))
                return
            answer = self.forward(self.acme.pebble(_API_PORT), path, body)
            self.answer(self._public(answer))
        except TooLarge as error:
            self.send_error(413, str(error))
        except (OSError, http.client.HTTPException) as error:
            log.exception("%s %s: pebble failed", self.command, self.path)
            self.send_error(502, f"pebble failed: {error}")

    do_GET = do_HEAD = do_POST = _serve

    def _public(self, answer: Answer) -> Answer:
        """As from Let's Encrypt: its directory's name, and a chain that ends at a known root."""
        headers = tuple(
            (name, value.replace(f"{ACME.host}{_OWN_DIRECTORY}>", f"{ACME.host}{_DIRECTORY}>"))
            for name, value in answer.headers
            if name.lower() != "content-length"
        )
        content = answer.content
        kinds = [value for name, value in headers if name.lower() == "content-type"]
        if any(kind.partition(";")[0] == _CHAIN for kind in kinds):
            content += self.acme.cross_certificate()
        return replace(answer, headers=headers, content=content)
