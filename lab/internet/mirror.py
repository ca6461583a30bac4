"""Debian's archive inside the lab: a folder over HTTP and HTTPS, under whatever Host.

Debian's EC2 images ask for it over HTTPS (cdn-aws.deb.debian.org).
"""

from __future__ import annotations

import functools
import logging
import socket
import ssl
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

from lab.internet.server import Server

log = logging.getLogger("mirror")


class MirrorServer(Server):
    """Serves `folder` on an already listening socket, over TLS where `tls` is given."""

    def __init__(
        self, listener: socket.socket, *, folder: Path, tls: ssl.SSLContext | None
    ) -> None:
        super().__init__(listener, functools.partial(_Handler, directory=str(folder)), tls)


class _Handler(SimpleHTTPRequestHandler):
    # apt sends several requests ahead on one connection (apt-transport-http(1), Pipeline-Depth).
    protocol_version = "HTTP/1.1"

    def list_directory(self, path: Any) -> None:
        """Folders are not shown: apt asks for files by name."""
        self.send_error(HTTPStatus.NOT_FOUND, "Not Found")

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.client_address[0], format % args)
