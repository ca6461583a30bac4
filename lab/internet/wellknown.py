"""Hosts of large receivers: they greet on port 25, shake hands on 443, and take nothing."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

from lab.internet.server import Server

IDLE_LIMIT = 300.0
"""Seconds without a command (RFC 5321 section 4.5.3.2.7)."""

log = logging.getLogger("wellknown")


class Greeter(ThreadingTCPServer):
    """An SMTP server that has no mailboxes, on an already listening socket."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, *, host: str) -> None:
        super().__init__(listener.getsockname(), _Smtp, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.host = host

    def start(self) -> None:
        """Serves from a thread of its own, for as long as the process lives."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is told in the log."""
        log.warning("connection from %s failed", client_address[0], exc_info=True)


class _Smtp(StreamRequestHandler):
    timeout = IDLE_LIMIT

    def handle(self) -> None:
        assert isinstance(self.server, Greeter)
        host = self.server.host
        answers = {
            "HELO": f"250 {host}",
            "EHLO": f"250 {host}",
            "NOOP": "250 2.0.0 Ok",
            "RSET": "250 2.0.0 Ok",
            "QUIT": "221 2.0.0 Bye",
        }
        self._say(f"220 {host} ESMTP")
        for line in self.rfile:
            command = line.decode("ascii", "replace").strip().partition(" ")[0].upper()
            self._say(answers.get(command, "550 5.7.1 This host takes no mail"))
            if command == "QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class NothingHere(Server):
    """A web server without pages."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext) -> None:
        super().__init__(listener, _Nothing, tls)


class _Nothing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.client_address[0], format % args)
