"""Everything on the lab's Internet, and the VPCs' resolvers, as one object."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.faults import Faults
from lab.internet.account import Account
from lab.internet.acme import AcmeServer, start_pebble
from lab.internet.authority import open_authority, write_private
from lab.internet.call import Service
from lab.internet.cloud import CloudServer
from lab.internet.control import Options
from lab.internet.dnssec import trust_anchor
from lab.internet.endpoints import ROUTE53_NAMES, s3_names, ssm_names, sts_names
from lab.internet.knot import Knot
from lab.internet.machine import Machine, boot
from lab.internet.mail import Mail
from lab.internet.mirror import MirrorServer
from lab.internet.names import Names
from lab.internet.netns import connect, listen
from lab.internet.plan import (
    ACME,
    API,
    CLOUD,
    LOOPBACK,
    MACHINES,
    MIRROR,
    NAMES,
    POSTFIX_HOSTS,
    OutsideHost,
)
from lab.internet.processes import START_LIMIT, Processes, Running, ServiceError
from lab.internet.resolver import LINK_LOCAL_RESOLVER, resolver_address, vpc_zones
from lab.internet.route53 import Route53
from lab.internet.s3 import S3
from lab.internet.server import HTTP_PORT, HTTPS_PORT, tls_context
from lab.internet.ssm import Ssm
from lab.internet.sts import Sts
from lab.internet.unbound import Unbound
from lab.world.model import World
from lab.world.names import vpc_namespace

log = logging.getLogger("internet")


class Internet:
    """All services; `start` once, then `apply` for each world."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._authority = open_authority(options.state / "authority")
        self._machines = {
            host.namespace: Machine(name=host.namespace, hostname=host.host) for host in MACHINES
        }
        self._processes = Processes(options.state / "logs")
        self._mail: Mail | None = None
        self._mail_resolvers: list[Unbound] = []
        self._vpcs: dict[str, Unbound] = {}
        self._outdated = False
        self._knot = Knot(self._machines[NAMES.namespace], self._processes.log("names-knot"))
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
        mail = self._mail = Mail(self._authority, self._processes, world.region)
        for host in MACHINES:
            self._boot(host, mail)
        self._names.apply(world, mail.zones(faults), registered=not faults.undelegated)
        if self._knot.process is not None:
            self._processes.watch("knotd", self._knot.process, self._processes.log("names-knot"))
        self._serve_mirror()
        self._serve_cloud(world.region)
        mail.serve_light(self._tls)
        with ThreadPoolExecutor() as pool:
            acme = pool.submit(self._serve_acme)
            # Iterated for the errors, which come out of the pool with the results.
            list(pool.map(lambda host: self._serve_mail(host, mail), POSTFIX_HOSTS))
            acme.result()

    def apply(self, world: World, faults: Faults) -> None:
        """Makes DNS that of `world`, first the Internet's, then each resolver's; makes the faults.

        The resolvers forget what they know if that has changed anything: outside not before
        `faults.dns_remembered` is over, as if the TTL were then.

        Raises:
            NameServerError, ZoneError: with what failed; the rest is as it was.
        """
        assert self._mail is not None
        # Remembered until all have forgotten, should one of them fail half-way.
        self._outdated |= self._names.apply(
            world, self._mail.zones(faults), registered=not faults.undelegated
        )
        forget = self._outdated and not faults.dns_remembered
        for resolver in self._mail_resolvers:
            resolver.apply({}, forget=forget)
        self._apply_vpcs(world, forget=self._outdated)
        self._outdated = self._outdated and not forget
        self._mail.apply(world, faults, self._machines)

    def ended(self) -> str | None:
        """What has ended that must not; None if all is well."""
        for name, unbound in self._vpcs.items():
            if unbound.process is not None:
                running = Running(
                    name=f"resolver of {name}", process=unbound.process, log=Path(unbound.log.name)
                )
                if said := running.ended():
                    return said
        return self._processes.ended()

    def close(self) -> None:
        """Kills everything that was started."""
        self._processes.close()

    def _boot(self, host: OutsideHost, mail: Mail) -> None:
        machine = self._machines[host.namespace]
        files = {"/etc/resolv.conf": (f"nameserver {NAMES.address}\n".encode(), 0o644)}
        if host in POSTFIX_HOSTS:
            files = mail.files(host, self._trust_store())
        output = self._processes.log(f"{host.namespace}-boot")
        process = boot(machine, lower=self._options.lower, files=files, log=output)
        self._processes.watch(f"machine {host.namespace}", process, output)

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
                    log=self._processes.log(f"{vpc.id}-resolver"),
                )
            self._vpcs[vpc.id].apply(vpc_zones(world, vpc), forget=forget)

    def _serve_mail(self, host: OutsideHost, mail: Mail) -> None:
        self._mail_resolvers.append(self._serve_resolver(host))
        mail.serve(host, self._machines[host.namespace])

    def _serve_resolver(self, host: OutsideHost, *, caching: bool = True) -> Unbound:
        """The validating resolver of an outside host's own."""
        output = self._processes.log(f"{host.namespace}-resolver")
        resolver = Unbound(
            self._machines[host.namespace],
            addresses=[LOOPBACK],
            log=output,
            root_key=trust_anchor(self._names.root_key),
            caching=caching,
        )
        resolver.apply({}, forget=False)
        if resolver.process is not None:
            self._processes.watch(f"resolver of {host.namespace}", resolver.process, output)
        return resolver

    def _serve_acme(self) -> None:
        # Whoever asks for a certificate has changed the DNS a moment ago.
        self._serve_resolver(ACME, caching=False)
        output = self._processes.log("acme-pebble")
        chain = self._authority.issue([ACME.host])
        pebble = start_pebble(self._machines[ACME.namespace], chain, output)
        self._processes.watch("pebble", pebble, output)
        listener = listen(ACME.namespace, ACME.address, HTTPS_PORT)
        tls = self._tls(ACME.namespace, [ACME.host])
        AcmeServer(listener, authority=self._authority, tls=tls).start()

    def _serve_mirror(self) -> None:
        folder, names = self._options.mirror, self._options.mirror_names or (MIRROR.host,)
        tls = self._tls("mirror", names)
        for port, context in ((HTTPS_PORT, tls), (HTTP_PORT, None)):
            listener = listen(MIRROR.namespace, MIRROR.address, port)
            MirrorServer(listener, folder=folder, tls=context).start()
        self._await_handshake(MIRROR, names[0])

    def _serve_cloud(self, region: str) -> None:
        emulator = self._options.emulator
        account = Account(emulator, region)
        self._serve_services(CLOUD, account, region, dict.fromkeys(s3_names(region), S3(region)))
        self._serve_services(
            API,
            account,
            region,
            dict.fromkeys(sts_names(region), Sts())
            | dict.fromkeys(ssm_names(region), Ssm(emulator, region))
            | dict.fromkeys(ROUTE53_NAMES, Route53(self._names.refresh)),
        )

    def _serve_services(
        self,
        host: OutsideHost,
        account: Account,
        region: str,
        services: Mapping[str, Service],
    ) -> None:
        names = tuple(services)
        tls = self._tls(host.namespace, names)
        for port, context in ((HTTPS_PORT, tls), (HTTP_PORT, None)):
            CloudServer(
                listen(host.namespace, host.address, port),
                services=services,
                account=account,
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
