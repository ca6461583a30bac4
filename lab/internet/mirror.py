"""Debian's archive inside the lab: a folder over plain HTTP, under whatever Host."""

from __future__ import annotations

import functools
import logging
import socket
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PORT = 80

log = logging.getLogger("mirror")


class MirrorServer(ThreadingHTTPServer):
    """Serves `folder` on an already listening socket."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, *, folder: Path) -> None:
        handler = functools.partial(_Handler, directory=str(folder))
        super().__init__(listener.getsockname(), handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.exception("connection from %s failed", client_address[0])


class _Handler(SimpleHTTPRequestHandler):
    # apt sends several requests ahead on one connection (apt-transport-http(1), Pipeline-Depth).
    protocol_version = "HTTP/1.1"

    def list_directory(self, path: Any) -> None:
        """Folders are not shown: apt asks for files by name."""
        self.send_error(HTTPStatus.NOT_FOUND, "Not Found")

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.client_address[0], format % args)
