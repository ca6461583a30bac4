"""AWS's public endpoints, as machines reach them: TLS and policies in front of the emulator.

S3 is served for all operations of `lab.internet.s3`, STS for GetCallerIdentity. Requests go on to
the emulator unchanged, Host included, once the caller's policies allow them.
"""

from __future__ import annotations

import http.client
import logging
import re
import socket
import ssl
import uuid
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from botocore.exceptions import BotoCoreError, ClientError

from lab.internet.conditions import PolicyError
from lab.internet.judge import Caller, Judge
from lab.internet.s3 import NotKnown, Operation, access_key, operation
from lab.internet.server import Server

EMULATOR_LIMIT = 60.0
"""Seconds; boto3's own read timeout."""
BODY_LIMIT = 64 * 1024 * 1024
"""Octets held in memory at a time."""

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}
"""Not passed on (RFC 9110 section 7.6.1)."""
_OWN = {"server", "date"}
"""This server says these itself."""

log = logging.getLogger("cloud")


class Refusal(Exception):
    """An answer other than the emulator's: AWS's error code and HTTP status."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class CloudServer(Server):
    """The endpoints of one Region; requests go on to `emulator`, an URL."""

    def __init__(
        self,
        listener: socket.socket,
        *,
        judge: Judge,
        emulator: str,
        region: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(listener, _Handler, tls)
        self.judge, self.emulator, self.region = judge, emulator, region


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def cloud(self) -> CloudServer:
        assert isinstance(self.server, CloudServer)
        return self.server

    def _serve(self) -> None:
        try:
            body = self._body()
            host = self.headers.get("Host", "").partition(":")[0].lower()
            operation_, caller = self._judge(host, body)
            status, headers, content = self._forward(body)
            self._hide_absence(status, operation_, caller)
        except Refusal as refusal:
            self._refuse(refusal)
            return
        except NotKnown as error:
            self._refuse(Refusal(501, "NotImplemented", str(error)))
            return
        except PolicyError as error:
            self._refuse(Refusal(501, "NotImplemented", f"policy not understood: {error}"))
            return
        except (OSError, http.client.HTTPException, BotoCoreError, ClientError) as error:
            log.exception("%s %s: the emulator failed", self.command, self.path)
            self._refuse(Refusal(500, "InternalError", f"the emulator failed: {error}"))
            return
        self._answer(status, headers, content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _body(self) -> bytes:
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
            raise Refusal(400, "EntityTooLarge", f"over {BODY_LIMIT} octets, the limit here")
        return self.rfile.read(size)

    def _judge(self, host: str, body: bytes) -> tuple[Operation | None, Caller]:
        if host == f"sts.{self.cloud.region}.amazonaws.com":
            return None, self._judge_sts(body)
        asked = operation(self.command, host, self.path, dict(self.headers), self._s3_endpoint())
        caller = self._caller()
        verdict = self.cloud.judge.verdict(caller, asked, self._context(caller))
        log.info("%s %s on %s: %s", caller.role, asked.action, asked.resource, verdict)
        if verdict != "allow":
            raise Refusal(403, "AccessDenied", _denied(caller, asked, verdict))
        return asked, caller

    def _judge_sts(self, body: bytes) -> Caller:
        """GetCallerIdentity needs no permission (STS API reference); nothing else is served."""
        fields = parse_qs(urlsplit(self.path).query) | parse_qs(body.decode("ascii", "replace"))
        if fields.get("Action") != ["GetCallerIdentity"]:
            raise NotKnown(f"STS action {fields.get('Action')}: only GetCallerIdentity is served")
        return self._caller()

    def _caller(self) -> Caller:
        key = access_key(self.path, dict(self.headers))
        if key is None:
            raise Refusal(403, "AccessDenied", "Access Denied")
        caller = self.cloud.judge.caller(key)
        if caller is None:
            raise Refusal(
                403,
                "InvalidAccessKeyId",
                f"The AWS Access Key Id you provided does not exist in our records: {key}",
            )
        return caller

    def _context(self, caller: Caller) -> dict[str, list[str]]:
        """The condition keys known of every request ("AWS global condition context keys")."""
        secure = self.cloud.tls is not None
        version = re.search(r"[\d.]+$", self.connection.version()) if secure else None
        return {
            "aws:securetransport": [str(secure).lower()],
            "s3:tlsversion": [version[0]] if version else [],
            "aws:principalarn": [caller.role_arn],
            "aws:principalaccount": [caller.account],
            "aws:requestedregion": [self.cloud.region],
        }

    def _s3_endpoint(self) -> str:
        return f"s3.{self.cloud.region}.amazonaws.com"

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        address = urlsplit(self.cloud.emulator)
        connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=EMULATOR_LIMIT
        )
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body=body or None, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _hide_absence(self, status: int, asked: Operation | None, caller: Caller) -> None:
        """Without s3:ListBucket an absent object is denied, not absent (S3 API, GetObject)."""
        if status != 404 or asked is None or asked.key is None:
            return
        listing = Operation(
            action="s3:ListBucket", bucket=asked.bucket, key=None, parameters=asked.parameters
        )
        verdict = self.cloud.judge.verdict(caller, listing, self._context(caller))
        if verdict != "allow":
            raise Refusal(403, "AccessDenied", _denied(caller, listing, verdict))

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        names = set()
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP | _OWN:
                names.add(name.lower())
                self.send_header(name, value)
        if "content-length" not in names and status not in (204, 304):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _refuse(self, refusal: Refusal) -> None:
        log.warning("%s %s: %s %s", self.command, self.path, refusal.code, refusal.message)
        content = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>"
            f"<RequestId>{uuid.uuid4().hex[:16].upper()}</RequestId></Error>"
        ).encode()
        kind = [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))]
        self._answer(refusal.status, kind, content)

    def version_string(self) -> str:
        return "AmazonS3"

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.client_address[0], format % args)


def _denied(caller: Caller, asked: Operation, verdict: str) -> str:
    """Worded as S3 words it ("Access denied error message format", IAM User Guide)."""
    because = (
        "with an explicit deny in a policy"
        if verdict == "explicit deny"
        else f"because no identity-based policy allows the {asked.action} action"
    )
    return (
        f"User: {caller.session_arn} is not authorized to perform: {asked.action}"
        f' on resource: "{asked.resource}" {because}'
    )
