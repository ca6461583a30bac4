"""The mail side of the lab's Internet: its hosts, and the certificates and policies they show."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from lab.faults import Faults
from lab.internet import blocklist, hosts, mta_sts, smarthost
from lab.internet.authority import Authority
from lab.internet.dns import TTL, Lines
from lab.internet.endpoints import smtp_name
from lab.internet.machine import Machine
from lab.internet.netns import connect, listen
from lab.internet.plan import MAIL_HOSTS, POSTFIX_HOSTS, SMARTHOST, WELL_KNOWN, OutsideHost
from lab.internet.processes import Processes, await_service
from lab.internet.server import HTTPS_PORT
from lab.internet.wellknown import Greeter, NothingHere
from lab.internet.zonefile import absolute
from lab.world.model import World

_NOBODY = "wrong.test"
"""A name that no host here has."""

TlsContext = Callable[[str, Sequence[str]], ssl.SSLContext]
"""Gives a server's context by the name of its file and the names of its certificate."""


class Mail:
    """All that takes mail outside; machines and resolvers are made by others."""

    def __init__(self, authority: Authority, processes: Processes, region: str) -> None:
        self._processes = processes
        self._region = region
        self._right = {host.namespace: authority.issue([host.host]) for host in MAIL_HOSTS}
        self._right[SMARTHOST.namespace] = authority.issue([smtp_name(region)])
        self._wrong = {host.namespace: authority.issue([_NOBODY]) for host in POSTFIX_HOSTS}
        self._shown = dict(self._right)
        self._offered = True
        self._identities = b""

    def files(self, host: OutsideHost, trust_store: bytes) -> dict[str, tuple[bytes, int]]:
        """What is laid over the root of a host of POSTFIX_HOSTS: contents and modes by path."""
        certificate = self._right[host.namespace]
        if host == SMARTHOST:
            return smarthost.files(self._region, certificate=certificate, trust_store=trust_store)
        return hosts.files(host, certificate=certificate, trust_store=trust_store)

    def zones(self, faults: Faults) -> dict[str, Lines]:
        """Lines for the lab's own zones, by absolute name; see `lab.internet.dns.served`."""
        found: dict[str, Lines] = {
            absolute(host.domain or ""): _policy_lines(host, self._right[host.namespace])
            for host in MAIL_HOSTS
        }
        found[blocklist.ZONE] = blocklist.zone_lines(faults)
        found["."] = [
            # What domains that send by SES include ("Authenticating Email with SPF in SES").
            f'amazonses.com. {TTL} IN TXT "v=spf1 ip4:{SMARTHOST.address} -all"',
            f'{absolute(SMARTHOST.host)} {TTL} IN TXT "v=spf1 a -all"',
        ]
        return found

    def serve(self, host: OutsideHost, machine: Machine) -> None:
        """Starts one of POSTFIX_HOSTS and waits until it answers; its resolver runs already.

        Raises:
            ServiceError, MachineError: with what failed and its log.
        """
        if host.strict:
            self._start(f"receiver of {host.namespace}", machine, hosts.receiver_argv(host))
        if host == SMARTHOST:
            self._start(f"signer of {host.namespace}", machine, smarthost.signer_argv())
            smarthost.prepare(machine, self._region)
            name, port = smtp_name(self._region), _port(host)
        else:
            hosts.prepare_postfix(machine, host)
            name, port = host.host, _port(host)
        log = self._start(f"postfix of {host.namespace}", machine, ["postfix", "start-fg"])
        await_service(f"port {port} of {name}", lambda: _greets(host, name, port), log)

    def serve_light(self, tls: TlsContext) -> None:
        """Serves what needs no machine: MTA-STS policies and the well-known hosts."""
        for host in MAIL_HOSTS:
            if host.mta_sts:
                listener = listen(host.namespace, host.address, HTTPS_PORT)
                context = tls(f"{host.namespace}-policy", [mta_sts.policy_host(host)])
                mta_sts.PolicyServer(listener, host=host, tls=context).start()
        for host in WELL_KNOWN:
            listener = listen(host.namespace, host.address, hosts.SMTP_PORT)
            Greeter(listener, host=host.host).start()
            listener = listen(host.namespace, host.address, HTTPS_PORT)
            NothingHere(listener, tls(host.namespace, [host.host])).start()

    def apply(self, world: World, faults: Faults, machines: Mapping[str, Machine]) -> None:
        """Makes the hosts, on `machines`, behave as the faults and the account's domains have it.

        Raises:
            MachineError: with what failed; it is tried again at the next time.
        """
        if not faults.smarthost_plain:
            self._offer_tls(machines[SMARTHOST.namespace], offered=True)
        for host in POSTFIX_HOSTS:
            wrong = host.namespace in faults.wrong_certificate
            certificate = (self._wrong if wrong else self._right)[host.namespace]
            if certificate != self._shown[host.namespace]:
                hosts.show_certificate(machines[host.namespace], certificate, _port(host))
                self._shown[host.namespace] = certificate
        if faults.smarthost_plain:
            self._offer_tls(machines[SMARTHOST.namespace], offered=False)
        domains = {zone.name.rstrip(".") for zone in world.zones if not zone.private}
        identities = smarthost.identities(domains, faults)
        if identities != self._identities:
            smarthost.take_up(machines[SMARTHOST.namespace], identities)
            self._identities = identities

    def _offer_tls(self, machine: Machine, *, offered: bool) -> None:
        if offered != self._offered:
            smarthost.offer_tls(machine, offered=offered)
            self._offered = offered

    def _start(self, name: str, machine: Machine, command: Sequence[str]) -> str:
        output = self._processes.log(f"{machine.name}-{name.partition(' ')[0]}")
        self._processes.watch(name, machine.popen(command, log=output), output)
        return output.name


def _port(host: OutsideHost) -> int:
    """Where one of POSTFIX_HOSTS takes mail."""
    return smarthost.PORT if host == SMARTHOST else hosts.SMTP_PORT


def _policy_lines(host: OutsideHost, chain: bytes) -> Lines:
    lines = []
    if host.mta_sts:
        lines += [f"{name} {TTL} IN {kind} {value}" for name, kind, value in mta_sts.records(host)]
    if host.signed:
        owner = f"_{hosts.SMTP_PORT}._tcp.{absolute(host.host)}"
        lines.append(f"{owner} {TTL} IN TLSA 3 1 1 {_key_digest(chain)}")
    return lines


def _key_digest(chain: bytes) -> str:
    """SHA-256 of the server's public key: "3 1 1", as RFC 7672 section 3.1 advises."""
    certificate = x509.load_pem_x509_certificates(chain)[0]
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(key).hexdigest()


def _greets(host: OutsideHost, name: str, port: int) -> bool:
    """Whether the host's SMTP greeting has the name (RFC 5321 section 4.2)."""
    try:
        with connect(host.namespace, host.address, port, limit=1.0) as connection:
            return connection.recv(512).startswith(f"220 {name} ".encode())
    except OSError:  # nothing listens yet
        return False
