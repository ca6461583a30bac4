"""What the lab's HTTP servers have in common: sockets made elsewhere, and TLS."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

HTTP_PORT = 80
HTTPS_PORT = 443
HANDSHAKE_LIMIT = 60.0
"""Seconds without a word from a client that has connected to the TLS port."""

log = logging.getLogger("server")


class Server(ThreadingHTTPServer):
    """Serves HTTP on an already listening socket, or HTTPS where `tls` is given."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: Any, tls: ssl.SSLContext | None) -> None:
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.tls = tls

    def start(self) -> None:
        """Serves from a thread of its own, for as long as the process lives."""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Runs in the connection's own thread, so that a silent client blocks nobody else."""
        if self.tls is not None:
            request.settimeout(HANDSHAKE_LIMIT)
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says in the log what http.server would print: also a client that went away."""
        log.warning("connection from %s failed", client_address[0], exc_info=True)


def tls_context(chain: Path) -> ssl.SSLContext:
    """TLS 1.2 at least, as AWS's endpoints ("TLS 1.2 minimum", AWS Security Blog); `chain` is a
    key with its certificates in PEM."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(str(chain))
    return context
