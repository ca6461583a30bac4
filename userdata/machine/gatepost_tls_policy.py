#!/usr/bin/python3
"""Tell Postfix how to verify the receiving side: DANE where it is signed, else MTA-STS.

A socketmap server (socketmap_table(5)) behind smtp_tls_policy_maps, started by systemd with its
socket. It wraps postfix_mta_sts_resolver, which knows nothing of DANE; but an MTA-STS policy must
not override DANE (RFC 8461 section 2). For a domain whose mail hosts all have usable TLSA records
it answers nothing, so that `smtp_tls_security_level = dane` holds. For others it answers what the
domain's MTA-STS policy demands. Where only some hosts have TLSA records and the policy demands
verification, `dane-only` satisfies both: no host is used unverified.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.rdatatype
import dns.resolver
from postfix_mta_sts_resolver import netstring, utils
from postfix_mta_sts_resolver.responder import STSSocketmapResponder

SOCKET = 3
"""The first descriptor that systemd passes (sd_listen_fds(3))."""
DNS_LIMIT = 10.0
"""Seconds for one question; unbound asks the world meanwhile."""
USABLE = (2, 3)
"""Usages DANE-TA and DANE-EE; the others mean nothing to SMTP (RFC 7672 section 3.1)."""
NOTHING = netstring.encode(b"NOTFOUND ")
DANE_ONLY = netstring.encode(b"OK dane-only")

_MISSING = (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer)


class Dane:
    """What DNS says, with a validating resolver's word for it (the AD bit, RFC 4035)."""

    def __init__(self, resolver: dns.asyncresolver.Resolver) -> None:
        self.resolver = resolver
        self.resolver.lifetime = DNS_LIMIT
        self.resolver.flags = dns.flags.RD | dns.flags.AD

    async def hosts(self, domain: str) -> tuple[int, int]:
        """How many mail hosts of `domain` have usable TLSA records, and how many it has.

        Raises dns.exception.DNSException if the domain's mail hosts cannot be told.
        """
        try:
            answer = await self._ask(domain, "MX")
        except _MISSING:
            # The domain itself is its mail host, if it has an address (RFC 5321 section 5.1).
            return int(await self._has_tlsa(domain)), 1
        names = {record.exchange.to_text() for record in answer}
        if not _signed(answer):
            # Whoever can forge the MX can lead past any TLSA record.
            return 0, len(names)
        found = await asyncio.gather(*(self._has_tlsa(name) for name in names))
        return sum(found), len(names)

    async def _has_tlsa(self, host: str) -> bool:
        """Whether DANE applies to a host; a broken answer counts, and is Postfix's to defer."""
        try:
            address = await self._ask(host, "A")
        except _MISSING:
            return False
        except dns.exception.DNSException:
            return True
        if not _signed(address):
            return False
        try:
            answer = await self._ask(f"_25._tcp.{host}", "TLSA")
        except _MISSING:
            return False
        except dns.exception.DNSException:
            return True
        return _signed(answer) and any(record.usage in USABLE for record in answer)

    async def _ask(self, name: str, kind: str) -> dns.resolver.Answer:
        return await self.resolver.resolve(dns.name.from_text(name), kind)


def _signed(answer: dns.resolver.Answer) -> bool:
    return bool(answer.response.flags & dns.flags.AD)


class Responder(STSSocketmapResponder):
    """The library's answers, where DANE leaves them room."""

    def __init__(self, cfg: dict, loop: asyncio.AbstractEventLoop, cache: object, dane: Dane):
        super().__init__(cfg, loop, cache)
        self.dane = dane

    async def process_request(self, raw_req: bytes) -> bytes:
        """The reply to one request, both as in socketmap_table(5)."""
        _, _, domain = raw_req.decode("ascii", "replace").partition(" ")
        if domain.startswith(("[", ".")):
            # A host of the administrator's choice, or a parent domain: neither has a policy.
            return NOTHING
        try:
            with_tlsa, count = await self.dane.hosts(utils.filter_domain(domain))
        except dns.exception.DNSException as error:
            # Postfix defers: an attacker who breaks DNS must not get mail sent unverified.
            return netstring.encode(f"TEMP mail hosts of {domain}: {error}".encode())
        if with_tlsa == count:
            return NOTHING
        answer = await super().process_request(raw_req)
        return DANE_ONLY if with_tlsa and answer != NOTHING else answer


async def serve(listener: socket.socket, cache_file: Path) -> None:
    """Answer on `listener` until cancelled; policies are remembered in `cache_file`."""
    cache_options = {"type": "sqlite", "options": {"filename": str(cache_file)}}
    settings = utils.populate_cfg_defaults({"cache": cache_options})
    cache = utils.create_cache(cache_options["type"], cache_options["options"])
    await cache.setup()
    try:
        loop = asyncio.get_running_loop()
        responder = Responder(settings, loop, cache, Dane(dns.asyncresolver.Resolver()))
        server = await asyncio.start_server(responder.handler, sock=listener)
        async with server:
            await server.serve_forever()
    finally:
        # Its threads would keep a process that has failed.
        await cache.teardown()


def main() -> None:
    """Serve on the socket that systemd passes, with the state folder that it made."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    listener = socket.socket(fileno=SOCKET)
    asyncio.run(serve(listener, Path(os.environ["STATE_DIRECTORY"]) / "policies.db"))


if __name__ == "__main__":
    main()
