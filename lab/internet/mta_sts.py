"""MTA-STS of an outside domain (RFC 8461): its policy over HTTPS, the records that tell of it."""

from __future__ import annotations

import hashlib
import logging
import socket
import ssl
from http.server import BaseHTTPRequestHandler
from typing import Any

from lab.internet.plan import OutsideHost
from lab.internet.server import Server

PATH = "/.well-known/mta-sts.txt"
MAX_AGE = 86400
"""Seconds that a sender may keep the policy; RFC 8461 section 3.2 suggests weeks, but a lab is
short-lived."""

log = logging.getLogger("mta-sts")


def policy_host(host: OutsideHost) -> str:
    """Where the policy of the host's domain is (RFC 8461 section 3.3)."""
    return f"mta-sts.{host.domain}"


def policy(host: OutsideHost) -> str:
    """The policy: the domain's one host, over TLS that verifies, or nothing."""
    lines = ("version: STSv1", "mode: enforce", f"mx: {host.host}", f"max_age: {MAX_AGE}")
    return "".join(f"{line}\r\n" for line in lines)


def records(host: OutsideHost) -> list[tuple[str, str, str]]:
    """Name, type and value of the records that lead to the policy."""
    identifier = hashlib.sha256(policy(host).encode()).hexdigest()[:32]
    return [
        (f"_mta-sts.{host.domain}.", "TXT", f'"v=STSv1; id={identifier}"'),
        (f"{policy_host(host)}.", "A", host.address),
    ]


class PolicyServer(Server):
    """Serves the policy of a host's domain on an already listening socket."""

    def __init__(self, listener: socket.socket, *, host: OutsideHost, tls: ssl.SSLContext) -> None:
        super().__init__(listener, _Handler, tls)
        self.host = host


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, PolicyServer)
        if self.path != PATH:
            self.send_error(404)
            return
        content = policy(self.server.host).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.client_address[0], format % args)
