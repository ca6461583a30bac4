"""AWS's public endpoints, as machines reach them: TLS and policies in front of the emulator.

What is served, and what it takes to be allowed, is each service's own matter (`lab.internet.call`).
Requests go on to the emulator unchanged, Host included, once the caller's policies allow them.
"""

from __future__ import annotations

import http.client
import logging
import re
import socket
import ssl
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from lab.internet.call import Call, Caller, NotKnown, Permission, Refusal, Service, access_key
from lab.internet.conditions import PolicyError
from lab.internet.judge import Judge
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


class CloudServer(Server):
    """Endpoints of one Region; requests go on to `emulator`, an URL.

    `services` maps host names to who answers there; `*.` stands for any labels in front.
    """

    def __init__(
        self,
        listener: socket.socket,
        *,
        services: Mapping[str, Service],
        judge: Judge,
        emulator: str,
        region: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(listener, _Handler, tls)
        self.services, self.judge = services, judge
        self.emulator, self.region = emulator, region

    def service(self, host: str) -> Service | None:
        """Who answers at `host`."""
        for name, service in self.services.items():
            if host == name or (name.startswith("*.") and host.endswith(name[1:])):
                return service
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def cloud(self) -> CloudServer:
        assert isinstance(self.server, CloudServer)
        return self.server

    def _serve(self) -> None:
        host = self.headers.get("Host", "").partition(":")[0].lower()
        service = self.cloud.service(host)
        if service is None:
            # As any web server that does not know the name (RFC 9110 section 15.5.20).
            self.send_error(421, f"{host} is not served here")
            return
        try:
            status, headers, content = self._answer_of(service, host)
        except Refusal as refusal:
            self._refuse(service, refusal)
        except NotKnown as error:
            self._refuse(service, Refusal(501, "NotImplemented", str(error)))
        except PolicyError as error:
            self._refuse(service, Refusal(501, "NotImplemented", f"policy not understood: {error}"))
        except (OSError, http.client.HTTPException, BotoCoreError, ClientError) as error:
            log.exception("%s %s: the emulator failed", self.command, self.path)
            self._refuse(service, Refusal(500, "InternalError", f"the emulator failed: {error}"))
        else:
            self._answer(status, headers, content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _answer_of(self, service: Service, host: str) -> tuple[int, list[tuple[str, str]], bytes]:
        call = Call(
            method=self.command,
            host=host,
            target=self.path,
            headers=dict(self.headers),
            body=self._body(),
        )
        caller = self._caller(call)
        for permission in service.permissions(call, caller):
            self._require(caller, permission)
        status, headers, content = self._forward(call.body)
        if status == 404 and (listing := service.absence(call, caller)):
            self._require(caller, listing)
        if status < 300:
            service.accepted(call)
        return status, headers, content

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

    def _require(self, caller: Caller, permission: Permission) -> None:
        verdict = self.cloud.judge.verdict(caller, permission, self._context(caller))
        log.info("%s %s on %s: %s", caller.role, permission.action, permission.resource, verdict)
        if verdict != "allow":
            raise Refusal(403, "AccessDenied", _denied(caller, permission, verdict))

    def _caller(self, call: Call) -> Caller:
        key = access_key(call)
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

    def _refuse(self, service: Service, refusal: Refusal) -> None:
        log.warning("%s %s: %s %s", self.command, self.path, refusal.code, refusal.message)
        status, kind, content = service.refusal(refusal)
        headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        self._answer(status, headers, content)

    def version_string(self) -> str:
        return "AmazonS3"

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.client_address[0], format % args)


def _denied(caller: Caller, asked: Permission, verdict: str) -> str:
    """Worded as AWS words it ("Access denied error message format", IAM User Guide)."""
    because = (
        "with an explicit deny in a policy"
        if verdict == "explicit deny"
        else f"because no identity-based policy allows the {asked.action} action"
    )
    return (
        f"User: {caller.session_arn} is not authorized to perform: {asked.action}"
        f' on resource: "{asked.resource}" {because}'
    )
