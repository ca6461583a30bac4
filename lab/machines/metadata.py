"""The instance metadata service of a VPC: what EC2 answers at 169.254.169.254.

After the EC2 User Guide, "Use the Instance Metadata Service to access instance metadata" and
"Instance metadata categories". An instance is told by the address it asks from; the network lets
nobody use another's.
"""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from lab.machines.categories import PublicKeys, Tree, categories, identity_document
from lab.machines.credentials import CredentialsError, RoleCredentials
from lab.world.model import Instance, World

PORT = 80
TOKEN_PATH = "/latest/api/token"
TOKEN_HEADER = "X-aws-ec2-metadata-token"
LIFETIME_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
ANY_HOPS = -1
"""The kernel's own default (ip(7), IP_TTL)."""
LIFETIMES = range(1, 21601)
"""Seconds that a token may live, up to six hours."""
VERSIONS = ("1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest")
"""The versions offered; all answer alike (cloud-init asks for 2021-03-23 first)."""

log = logging.getLogger("metadata")


@dataclass(kw_only=True)
class Tokens:
    """The session tokens given out: each is good for one instance and its lifetime."""

    _ends: dict[tuple[str, str], float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def give(self, instance_id: str, lifetime: int) -> str:
        """A new token; `lifetime` in seconds."""
        token = secrets.token_urlsafe(42)
        now = time.monotonic()
        with self._lock:
            self._ends = {key: end for key, end in self._ends.items() if end > now}
            self._ends[instance_id, token] = now + lifetime
        return token

    def valid(self, instance_id: str, token: str) -> bool:
        """Whether the instance was given this token and may still use it."""
        with self._lock:
            return self._ends.get((instance_id, token), 0.0) > time.monotonic()


class MetadataServer(ThreadingHTTPServer):
    """Serves one VPC's instances on a socket that listens already."""

    daemon_threads = True

    def __init__(
        self,
        listener: socket.socket,
        *,
        world: Callable[[], World],
        vpc_id: str,
        credentials: RoleCredentials,
    ) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.world = world
        self.vpc_id = vpc_id
        self.credentials = credentials
        self.tokens = Tokens()

    def instance_at(self, address: str) -> Instance | None:
        """The VPC's instance with that private address."""
        for instance in self.world().instances:
            if (instance.interface.vpc, instance.interface.private_ip) == (self.vpc_id, address):
                return instance
        return None

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.exception("request from %s in %s failed", client_address[0], self.vpc_id)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "EC2ws"
    sys_version = ""
    wbufsize = -1  # Head and body in one packet: else the body waits for the client's delayed ACK.

    @property
    def service(self) -> MetadataServer:
        assert isinstance(self.server, MetadataServer)
        return self.server

    def do_PUT(self) -> None:
        instance = self._instance()
        if instance is None:
            return
        if self.path != TOKEN_PATH:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif self.headers.get("X-Forwarded-For"):
            # A proxy asks for someone else, who must not get the instance's credentials.
            self._refuse(HTTPStatus.FORBIDDEN)
        else:
            self._give_token(instance)

    def do_GET(self) -> None:
        instance = self._instance()
        if instance is None:
            return
        self._limit_hops(ANY_HOPS)
        token = self.headers.get(TOKEN_HEADER)
        if token is None:
            allowed = not instance.tokens_required
        else:
            allowed = self.service.tokens.valid(instance.id, token)
        if not allowed:
            self._refuse(HTTPStatus.UNAUTHORIZED)
            return
        try:
            content = self._content(instance)
        except CredentialsError as error:
            log.error("%s: %s", instance.id, error)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR)
            return
        if content is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        else:
            self._answer(HTTPStatus.OK, content)

    def _instance(self) -> Instance | None:
        """The instance that asks; whoever is none gets no answer but 404."""
        instance = self.service.instance_at(self.client_address[0])
        if instance is None:
            log.warning("no instance at %s in %s", self.client_address[0], self.service.vpc_id)
            self._refuse(HTTPStatus.NOT_FOUND)
        return instance

    def _give_token(self, instance: Instance) -> None:
        wanted = self.headers.get(LIFETIME_HEADER, "")
        if not wanted.isdecimal() or int(wanted) not in LIFETIMES:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        # This answer alone must not get further than the hop limit, so that a container or a
        # proxy that forwards packets gets no token.
        self._limit_hops(instance.hop_limit)
        token = self.service.tokens.give(instance.id, int(wanted))
        self._answer(HTTPStatus.OK, token.encode(), {LIFETIME_HEADER: wanted})

    def _limit_hops(self, hops: int) -> None:
        self.connection.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)

    def _content(self, instance: Instance) -> bytes | None:
        """What is at the path, or None."""
        version, _, rest = self.path.partition("?")[0].lstrip("/").partition("/")
        if not version:
            return "\n".join(VERSIONS).encode()
        if version not in VERSIONS:
            return None
        world = self.service.world()
        tree: Tree = {
            "meta-data": categories(world, instance, self.service.credentials),
            "dynamic": {"instance-identity": {"document": identity_document(world, instance)}},
        }
        if instance.user_data:
            tree["user-data"] = instance.user_data
        return _look_up(tree, rest)

    def _refuse(self, status: HTTPStatus) -> None:
        self._answer(status, status.phrase.encode())

    def _answer(
        self, status: HTTPStatus, content: bytes, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        log.info("%s %s", self.client_address[0], format % args)


def _look_up(tree: Any, path: str) -> bytes | None:
    """The value at a path, or the names below it, those of further trees with a slash."""
    for name in filter(None, path.split("/")):
        if not isinstance(tree, dict) or name not in tree:
            return None
        tree = tree[name]
    if callable(tree):
        tree = tree()
    if isinstance(tree, PublicKeys):
        return tree.listing.encode()
    if isinstance(tree, dict):
        names = (f"{name}/" if isinstance(tree[name], dict) else name for name in tree)
        return "\n".join(names).encode()
    return tree if isinstance(tree, bytes) else str(tree).encode()
