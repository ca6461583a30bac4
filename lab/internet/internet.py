"""Everything on the lab's Internet, and the VPCs' resolvers, as one object."""

from __future__ import annotations

import logging
import ssl
import subprocess
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO

from lab.faults import Faults
from lab.internet import hosts
from lab.internet.authority import open_authority, write_private
from lab.internet.call import Service
from lab.internet.cloud import CloudServer
from lab.internet.control import Options
from lab.internet.dnssec import trust_anchor
from lab.internet.endpoints import s3_names, ssm_names, sts_names
from lab.internet.judge import Judge
from lab.internet.knot import Knot
from lab.internet.machine import Machine, boot, stop
from lab.internet.mirror import MirrorServer
from lab.internet.names import Names
from lab.internet.netns import connect, listen
from lab.internet.plan import API, CLOUD, HOSTS, MAIL_HOSTS, MIRROR, NAMES, OutsideHost
from lab.internet.resolver import LINK_LOCAL_RESOLVER, resolver_address, vpc_zones
from lab.internet.s3 import S3
from lab.internet.server import HTTP_PORT, HTTPS_PORT, tls_context
from lab.internet.ssm import Ssm
from lab.internet.sts import Sts
from lab.internet.unbound import Unbound
from lab.waiting import wait_for
from lab.world.model import World
from lab.world.names import vpc_namespace

START_LIMIT = 60.0
"""Seconds for one service; Postfix takes the longest, some 2."""
LOOPBACK = "127.0.0.1"

log = logging.getLogger("internet")


class ServiceError(RuntimeError):
    """A service of the lab's Internet did not start, or ended."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A process that must not end before the lab does."""

    name: str
    process: subprocess.Popen[bytes]
    log: str


class Internet:
    """All services; `start` once, then `apply` for each world."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._authority = open_authority(options.state / "authority")
        self._machines = {
            host.namespace: Machine(name=host.namespace, hostname=host.host) for host in HOSTS
        }
        self._running: list[Running] = []
        self._mail_resolvers: list[Unbound] = []
        self._vpcs: dict[str, Unbound] = {}
        self._outdated = False
        self._knot = Knot(self._machines[NAMES.namespace], self._log("names-knot"))
        self._names = Names(
            self._knot,
            keys=options.state / "authority",
            emulator=options.emulator,
            mirrors=options.mirror_names,
        )

    def start(self, world: World, faults: Faults) -> None:
        """Starts all that does not depend on the VPCs, and waits until each service answers.

        Raises:
            ServiceError, MachineError, NameServerError, ZoneError: with what failed and its log.
        """
        for host in HOSTS:
            self._boot(host)
        self._names.apply(world)
        if self._knot.process is not None:
            self._watch("knotd", self._knot.process, self._log("names-knot"))
        self._serve_mirror()
        self._serve_cloud(world.region)
        with ThreadPoolExecutor() as pool:
            # Iterated for the errors, which come out of the pool with the results.
            list(pool.map(self._serve_mail, MAIL_HOSTS))

    def apply(self, world: World, faults: Faults) -> None:
        """Makes DNS that of `world`, first the Internet's, then each resolver's; makes the faults.

        Raises:
            NameServerError, ZoneError: with what failed; the rest is as it was.
        """
        # Remembered until all have forgotten, should one of them fail half-way.
        self._outdated |= self._names.apply(world)
        for resolver in self._mail_resolvers:
            resolver.apply({}, forget=self._outdated)
        self._apply_vpcs(world, forget=self._outdated)
        self._outdated = False

    def ended(self) -> str | None:
        """What has ended that must not; None if all is well."""
        watched = list(self._running)
        for name, unbound in self._vpcs.items():
            if unbound.process is not None:
                watched.append(
                    Running(
                        name=f"resolver of {name}", process=unbound.process, log=unbound.log.name
                    )
                )
        for running in watched:
            status = running.process.poll()
            if status is not None:
                return f"{running.name} ended with {status}; see {running.log}"
        return None

    def close(self) -> None:
        """Kills everything that was started."""
        for running in reversed(self._running):
            stop(running.process)

    def _boot(self, host: OutsideHost) -> None:
        machine = self._machines[host.namespace]
        files = {"/etc/resolv.conf": (f"nameserver {NAMES.address}\n".encode(), 0o644)}
        if host in MAIL_HOSTS:
            files = hosts.files(
                host,
                certificate=self._authority.issue([host.host]),
                trust_store=self._trust_store(),
            )
        output = self._log(f"{host.namespace}-boot")
        process = boot(machine, lower=self._options.lower, files=files, log=output)
        self._watch(f"machine {host.namespace}", process, output)

    def _trust_store(self) -> bytes:
        for layer in self._options.lower:
            place = layer / "etc/ssl/certs/ca-certificates.crt"
            if place.exists():
                return place.read_bytes() + self._authority.pem
        raise ServiceError(
            f"no ca-certificates.crt in {', '.join(map(str, self._options.lower))}:"
            " the layer needs the package ca-certificates"
        )

    def _apply_vpcs(self, world: World, *, forget: bool) -> None:
        wanted = {vpc.id: vpc for vpc in world.vpcs}
        for gone in set(self._vpcs) - set(wanted):
            self._vpcs.pop(gone).close()
        for vpc in wanted.values():
            if vpc.id not in self._vpcs:
                self._vpcs[vpc.id] = Unbound(
                    self._machines[NAMES.namespace],
                    addresses=[resolver_address(vpc), LINK_LOCAL_RESOLVER],
                    namespace=vpc_namespace(vpc.id),
                    log=self._log(f"{vpc.id}-resolver"),
                )
            self._vpcs[vpc.id].apply(vpc_zones(world, vpc), forget=forget)

    def _serve_mail(self, host: OutsideHost) -> None:
        machine = self._machines[host.namespace]
        output = self._log(f"{host.namespace}-resolver")
        key = trust_anchor(self._names.root_key)
        resolver = Unbound(machine, addresses=[LOOPBACK], log=output, root_key=key)
        resolver.apply({}, forget=False)
        if resolver.process is not None:
            self._watch(f"resolver of {host.namespace}", resolver.process, output)
        self._mail_resolvers.append(resolver)
        hosts.prepare_postfix(machine, host)
        output = self._log(f"{host.namespace}-postfix")
        process = machine.popen(["postfix", "start-fg"], log=output)
        self._watch(f"Postfix of {host.namespace}", process, output)
        self._await(f"port {hosts.SMTP_PORT} of {host.host}", lambda: _greets(host), output.name)

    def _serve_mirror(self) -> None:
        folder, names = self._options.mirror, self._options.mirror_names or (MIRROR.host,)
        tls = self._tls("mirror", names)
        for port, context in ((HTTPS_PORT, tls), (HTTP_PORT, None)):
            listener = listen(MIRROR.namespace, MIRROR.address, port)
            MirrorServer(listener, folder=folder, tls=context).start()
        self._await_handshake(MIRROR, names[0])

    def _serve_cloud(self, region: str) -> None:
        emulator = self._options.emulator
        self._serve_services(CLOUD, region, dict.fromkeys(s3_names(region), S3(region)))
        self._serve_services(
            API,
            region,
            dict.fromkeys(sts_names(region), Sts())
            | dict.fromkeys(ssm_names(region), Ssm(emulator, region)),
        )

    def _serve_services(
        self, host: OutsideHost, region: str, services: Mapping[str, Service]
    ) -> None:
        names = tuple(services)
        tls = self._tls(host.namespace, names)
        for port, context in ((HTTPS_PORT, tls), (HTTP_PORT, None)):
            CloudServer(
                listen(host.namespace, host.address, port),
                services=services,
                judge=Judge(self._options.emulator, region),
                emulator=self._options.emulator,
                region=region,
                tls=context,
            ).start()
        self._await_handshake(host, names[0])

    def _tls(self, name: str, names: Sequence[str]) -> ssl.SSLContext:
        chain = self._options.state / "authority" / f"{name}.pem"
        write_private(chain, self._authority.issue(names))
        return tls_context(chain)

    def _await_handshake(self, host: OutsideHost, name: str) -> None:
        """The sockets listen already: one handshake either succeeds or tells what is wrong."""
        context = ssl.create_default_context(cadata=self._authority.pem.decode())
        with (
            connect(host.namespace, host.address, HTTPS_PORT, limit=START_LIMIT) as plain,
            context.wrap_socket(plain, server_hostname=name),
        ):
            return

    def _await(self, what: str, condition: Callable[[], bool], where: str) -> None:
        if not wait_for(condition, START_LIMIT):
            raise ServiceError(f"{what} did not answer within {START_LIMIT:g} s; see {where}")

    def _watch(self, name: str, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._running.append(Running(name=name, process=process, log=output.name))

    def _log(self, name: str) -> IO[bytes]:
        folder = self._options.state / "logs"
        folder.mkdir(exist_ok=True)
        return open(folder / f"{name}.log", "ab")


def _greets(host: OutsideHost) -> bool:
    """Whether the host's SMTP greeting names it (RFC 5321 section 4.2)."""
    try:
        with connect(host.namespace, host.address, hosts.SMTP_PORT, limit=1.0) as connection:
            return connection.recv(512).startswith(f"220 {host.host} ".encode())
    except OSError:  # nothing listens yet
        return False
