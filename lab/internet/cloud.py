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
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from lab.internet.account import Account
from lab.internet.call import Call, Caller, NotKnown, Permission, Refusal, Service, access_key
from lab.internet.conditions import PolicyError
from lab.internet.judge import Judge
from lab.internet.proxy import ANSWER_LIMIT, Answer, Handler, TooLarge
from lab.internet.server import Server

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
        account: Account,
        emulator: str,
        region: str,
        tls: ssl.SSLContext | None,
    ) -> None:
        super().__init__(listener, _Handler, tls)
        self.services, self.account = services, account
        self.emulator, self.region = emulator, region

    def service(self, host: str) -> Service | None:
        """Who answers at `host`."""
        for name, service in self.services.items():
            if host == name or (name.startswith("*.") and host.endswith(name[1:])):
                return service
        return None


class _Handler(Handler):
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
            answer = self._answer_of(service, host)
        except Refusal as refusal:
            self._refuse(service, refusal)
        except TooLarge as error:
            self._refuse(service, Refusal(400, "EntityTooLarge", str(error)))
        except NotKnown as error:
            self._refuse(service, Refusal(501, "NotImplemented", str(error)))
        except PolicyError as error:
            self._refuse(service, Refusal(501, "NotImplemented", f"policy not understood: {error}"))
        except (OSError, http.client.HTTPException, BotoCoreError, ClientError) as error:
            log.exception("%s %s: the emulator failed", self.command, self.path)
            self._refuse(service, Refusal(500, "InternalError", f"the emulator failed: {error}"))
        else:
            self.answer(answer)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _answer_of(self, service: Service, host: str) -> Answer:
        call = Call(
            method=self.command,
            host=host,
            target=self.path,
            headers=dict(self.headers),
            body=self.body(),
        )
        judge = Judge(self.cloud.account.now())
        caller = _caller(judge, call)
        for permission in service.permissions(call, caller):
            self._require(judge, caller, permission)
        answer = self.forward(self._emulator(), self.path, call.body)
        if answer.status == 404 and (listing := service.absence(call, caller)):
            self._require(judge, caller, listing)
        if answer.status < HTTPStatus.MULTIPLE_CHOICES:
            service.accepted(call)
        return answer

    def _require(self, judge: Judge, caller: Caller, permission: Permission) -> None:
        context = self._context(caller)
        verdict = judge.verdict(caller, permission, context)
        log.info("%s %s on %s: %s", caller.role, permission.action, permission.resource, verdict)
        if verdict != "allow":
            raise Refusal(403, "AccessDenied", _denied(caller, permission, _BECAUSE[verdict]))
        verdict = judge.endpoint_verdict(self.client_address[0], caller, permission, context)
        if verdict != "allow":
            log.info("the endpoint of %s: %s", self.client_address[0], verdict)
            raise Refusal(403, "AccessDenied", _denied(caller, permission, _BY_ENDPOINT[verdict]))

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

    def _emulator(self) -> http.client.HTTPConnection:
        address = urlsplit(self.cloud.emulator)
        return http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=ANSWER_LIMIT
        )

    def _refuse(self, service: Service, refusal: Refusal) -> None:
        log.warning("%s %s: %s %s", self.command, self.path, refusal.code, refusal.message)
        status, kind, content = service.refusal(refusal)
        self.answer(Answer(status=status, headers=(("Content-Type", kind),), content=content))

    def version_string(self) -> str:
        return "AmazonS3"

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.client_address[0], format % args)


def _caller(judge: Judge, call: Call) -> Caller:
    key = access_key(call)
    if key is None:
        raise Refusal(403, "AccessDenied", "Access Denied")
    caller = judge.caller(key)
    if caller is None:
        raise Refusal(
            403,
            "InvalidAccessKeyId",
            f"The AWS Access Key Id you provided does not exist in our records: {key}",
        )
    return caller


_BECAUSE = {
    "explicit deny": "with an explicit deny in a policy",
    "implicit deny": "because no identity-based policy allows the {} action",
}
_BY_ENDPOINT = {
    "explicit deny": "with an explicit deny in a VPC endpoint policy",
    "implicit deny": "because no VPC endpoint policy allows the {} action",
}


def _denied(caller: Caller, asked: Permission, because: str) -> str:
    """Worded as AWS words it ("Access denied error message format", IAM User Guide)."""
    return (
        f"User: {caller.session_arn} is not authorized to perform: {asked.action}"
        f' on resource: "{asked.resource}" {because.format(asked.action)}'
    )
