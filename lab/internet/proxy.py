"""What the lab's HTTP servers that pass requests on have in common."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

ANSWER_LIMIT = 60.0
"""Seconds; boto3's own read timeout."""
BODY_LIMIT = 64 * 1024 * 1024
"""Octets held in memory at a time."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}
"""Not passed on (RFC 9110 section 7.6.1)."""
_OWN = {"server", "date"}
"""This server says these itself."""
_WITHOUT_CONTENT = (204, 304)
"""RFC 9110 sections 15.3.5 and 15.4.5."""

log = logging.getLogger("proxy")


class TooLarge(ValueError):
    """A request's body is over BODY_LIMIT."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer as a whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    content: bytes


class Handler(BaseHTTPRequestHandler):
    """Reads a request as a whole, and writes an answer as a whole."""

    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        """The request's body; raises TooLarge."""
        if "Transfer-Encoding" in self.headers:
            return self._chunked_body()
        return self._read(int(self.headers.get("Content-Length", "0")))

    def _chunked_body(self) -> bytes:
        """The chunks of RFC 9112 section 7.1 put together; boto3 uploads so over TLS."""
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], base=16):
            body += self._read(size, len(body))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers end with an empty line
            pass
        return body

    def _read(self, size: int, before: int = 0) -> bytes:
        if before + size > BODY_LIMIT:
            self.close_connection = True
            raise TooLarge(f"over {BODY_LIMIT} octets, the limit here")
        return self.rfile.read(size)

    def forward(self, connection: http.client.HTTPConnection, path: str, body: bytes) -> Answer:
        """What the server behind `connection` answers to this request, Host included.

        Raises:
            OSError, http.client.HTTPException: it did not answer.
        """
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            connection.request(self.command, path, body=body or None, headers=headers)
            answer = connection.getresponse()
            kept = tuple(_end_to_end(answer.getheaders()))
            return Answer(status=answer.status, headers=kept, content=answer.read())
        finally:
            connection.close()

    def answer(self, answer: Answer) -> None:
        """Sends it."""
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        names = {name.lower() for name, _ in answer.headers}
        if "content-length" not in names and answer.status not in _WITHOUT_CONTENT:
            self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.client_address[0], format % args)


def _end_to_end(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return (item for item in headers if item[0].lower() not in _HOP_BY_HOP | _OWN)
