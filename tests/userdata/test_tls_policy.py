"""What Postfix is told about the verification of receivers: DANE first, then MTA-STS."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest
from postfix_mta_sts_resolver import netstring, utils
from postfix_mta_sts_resolver.resolver import STSFetchResult

from userdata.machine.gatepost_tls_policy import Dane, Responder

TLSA = "3 1 1 " + "ab" * 32
SIGNED: dict[tuple[str, str], tuple[bool, list[str]] | Exception] = {
    ("all.example.", "MX"): (True, ["10 mx.all.example."]),
    ("mx.all.example.", "A"): (True, ["192.0.2.1"]),
    ("_25._tcp.mx.all.example.", "TLSA"): (True, [TLSA]),
    ("some.example.", "MX"): (True, ["10 mx.all.example.", "20 mx.none.example."]),
    ("mx.none.example.", "A"): (True, ["192.0.2.2"]),
    ("none.example.", "MX"): (True, ["10 mx.none.example."]),
    # Whoever can forge the MX can lead past the TLSA record.
    ("forged.example.", "MX"): (False, ["10 mx.all.example."]),
    ("elsewhere.example.", "MX"): (True, ["10 mx.unsigned.example."]),
    ("mx.unsigned.example.", "A"): (False, ["192.0.2.3"]),
    ("_25._tcp.mx.unsigned.example.", "TLSA"): (True, [TLSA]),
    ("pkix.example.", "MX"): (True, ["10 mx.pkix.example."]),
    ("mx.pkix.example.", "A"): (True, ["192.0.2.4"]),
    ("_25._tcp.mx.pkix.example.", "TLSA"): (True, ["1 1 1 " + "ab" * 32]),
    ("bogus.example.", "MX"): (True, ["10 mx.bogus.example."]),
    ("mx.bogus.example.", "A"): (True, ["192.0.2.5"]),
    ("_25._tcp.mx.bogus.example.", "TLSA"): dns.resolver.NoNameservers(),
    ("host.example.", "A"): (True, ["192.0.2.6"]),
    ("_25._tcp.host.example.", "TLSA"): (True, [TLSA]),
    ("broken.example.", "MX"): dns.resolver.NoNameservers(),
    ("late.example.", "MX"): dns.exception.Timeout(),
}


class Resolver(dns.asyncresolver.Resolver):
    """A validating resolver that knows the names above."""

    async def resolve(self, qname: Any, rdtype: Any = "A", *_: Any, **__: Any) -> Any:
        name, kind = qname, rdtype
        found = SIGNED.get((name.to_text(), kind))
        if found is None:
            raise dns.resolver.NXDOMAIN()
        if isinstance(found, Exception):
            raise found
        signed, values = found
        query = dns.message.make_query(name, kind)
        response = dns.message.make_response(query)
        response.answer = [dns.rrset.from_text(name, 300, "IN", kind, *values)]
        response.flags |= dns.flags.AD if signed else 0
        received = dns.message.from_wire(response.to_wire())
        assert isinstance(received, dns.message.QueryMessage)
        return dns.resolver.Answer(
            name, query.question[0].rdtype, query.question[0].rdclass, received
        )


class Policies:
    """The library's resolver, for domains of which some enforce."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def resolve(self, domain: str, last_known_id: str | None = None) -> Any:
        del last_known_id
        self.asked.append(domain)
        if domain in ("all.example", "some.example", "none.example", "forged.example"):
            policy = {"mode": "enforce", "mx": ["mx.none.example"], "max_age": 86400}
            return STSFetchResult.VALID, ("1", policy)
        return STSFetchResult.NONE, None


async def exchange(responder: Responder, *requests: str) -> list[str]:
    """Ask as Postfix does: over one connection, a netstring each."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_server(responder.handler, sock=listener)
    async with server:
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        answers = []
        for request in requests:
            writer.write(netstring.encode(request.encode()))
            length = int((await reader.readuntil(b":"))[:-1])
            answers.append((await reader.readexactly(length + 1))[:-1].decode())
        writer.close()
        return answers


def ask(tmp_path: Path, *domains: str) -> tuple[list[str], list[str]]:
    """The answers, and the domains whose MTA-STS policy was asked for."""

    async def run() -> tuple[list[str], list[str]]:
        settings = utils.populate_cfg_defaults(
            {"cache": {"type": "sqlite", "options": {"filename": str(tmp_path / "policies.db")}}}
        )
        cache = utils.create_cache(settings["cache"]["type"], settings["cache"]["options"])
        await cache.setup()
        loop = asyncio.get_running_loop()
        responder = Responder(settings, loop, cache, Dane(Resolver(configure=False)))
        policies = Policies()
        responder._default_zone = responder._default_zone._replace(resolver=policies)
        try:
            answers = await exchange(responder, *(f"policy {domain}" for domain in domains))
        finally:
            await cache.teardown()
        return answers, policies.asked

    return asyncio.run(run())


SECURE = "OK secure match=mx.none.example servername=hostname"


@pytest.mark.parametrize(
    ("domain", "answer"),
    [
        ("all.example", "NOTFOUND "),
        ("some.example", "OK dane-only"),
        ("none.example", SECURE),
        ("forged.example", SECURE),
        ("elsewhere.example", "NOTFOUND "),
        ("pkix.example", "NOTFOUND "),
        ("bogus.example", "NOTFOUND "),
        ("host.example", "NOTFOUND "),
        ("nowhere.example", "NOTFOUND "),
        ("[10.1.11.5]", "NOTFOUND "),
        ("[10.1.1.4]:10025", "NOTFOUND "),
        ("[smarthost.example]:587", "NOTFOUND "),
        (".all.example", "NOTFOUND "),
    ],
)
def test_dane_where_it_is_signed_then_mta_sts(tmp_path: Path, domain: str, answer: str) -> None:
    assert ask(tmp_path, domain)[0] == [answer]


@pytest.mark.parametrize("domain", ["broken.example", "late.example"])
def test_what_dns_cannot_tell_is_deferred(tmp_path: Path, domain: str) -> None:
    [answer], asked = ask(tmp_path, domain)
    assert answer.startswith(f"TEMP mail hosts of {domain}: ")
    assert asked == []


def test_mta_sts_is_not_asked_where_dane_decides_and_is_remembered(tmp_path: Path) -> None:
    domains = ["all.example", "bogus.example", "host.example", "none.example", "none.example"]
    answers, asked = ask(tmp_path, *domains)
    assert answers[-2:] == [SECURE, SECURE]
    assert asked == ["none.example"]
    # Another process, as after a restart.
    assert ask(tmp_path, "none.example") == ([SECURE], [])
