"""The firewall: a probe of every pair of hosts must equal the table of flows, and no forged packet
may come through."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

from checks.deployment import Answer, Target
from checks.packets import ACK, SYN, Packet, arrived
from checks.suite import Check, Scene, expect
from checks.table import Party, Service, Table, parties
from model import flows, ports
from model.outbound import DIRECT, RELAY, SMARTHOST

_MAIL: Service = ("tcp", ports.SMTP)
_SERVED: tuple[Service, ...] = (_MAIL, ("tcp", ports.INSIDE), ("tcp", ports.HTTPS))
"""What our hosts serve, to the world or to one another."""
_LOW_TCP = (1, 21, 22, 25, 53, 80, 110, 111, 143, 389, 443, 445, 465, 587, 853, 993, 995, 1023)
_HIGH_TCP = (1024, 2049, 3306, 5432, 8080, 8443, 10024, 10025, 10026, 40000, 65535)
_UDP = (1, 25, 53, 69, 111, 123, 137, 161, 443, 514, 587, 1023, 1024, 10025, 33434, 40000, 65535)
PROBED = (*(("tcp", port) for port in (*_LOW_TCP, *_HIGH_TCP)), *(("udp", port) for port in _UDP))
"""Mail, names and administration, what a machine might have open unawares, and the ends of the
ranges that a rule might let through as a whole."""

_ASKING, _UNASKED = 50000, 40000
"""Ports from which hosts ask (ip(7), ip_local_port_range): these checks from the first and those
above it, never from the second, to which a reply is therefore unasked."""
_REPLIES = (("tcp", ports.SMTP, SYN | ACK), ("tcp", ports.HTTPS, ACK), ("udp", 53, 0))
"""What an answer would be, and what would follow it: protocol, source port and TCP's flags."""


def checks(_: Scene) -> list[Check]:
    """The matrix, the one flow that the seed forbids by its design, and forged packets."""
    return [matrix, must_never, branch_and_relay, false_sources, unasked_replies]


def matrix(scene: Scene) -> str:
    """a probe of every pair of hosts equals the table of flows"""
    everyone, table = parties(scene), Table.of(scene)
    wanted = {
        source.name: {
            (protocol, address, port): table.allows(source, target, address, (protocol, port))
            for target in everyone
            if target.name != source.name and target.role != flows.SHELL
            if {source.role, target.role} != {flows.INTERNET}
            for address in _addresses(target)
            for protocol, port in PROBED
        }
        for source in everyone
    }
    answers = _connect_all(scene, wanted)
    wrong = [
        f"{source} → {address} {protocol} {port} should {'' if passes else 'not '}pass"
        for source, targets in wanted.items()
        for (protocol, address, port), passes in targets.items()
        if answers[source][protocol, address, port].passed != passes
    ]
    expect(not wrong, f"{len(wrong)} differ: {'; '.join(wrong[:5])}")
    return f"{sum(map(len, wanted.values()))} probes from {len(everyone)} places"


def _connect_all(
    scene: Scene, wanted: Mapping[str, Iterable[Target]]
) -> dict[str, dict[Target, Answer]]:
    """The answers to each source, all at once: a probe is waiting for what does not answer."""
    with ThreadPoolExecutor(max_workers=len(wanted)) as pool:
        found = pool.map(lambda source: scene.deployment.connect(source, wanted[source]), wanted)
        return dict(zip(wanted, found, strict=True))


_WEB: set[Service] = {("tcp", 443)}
_NAMES: set[Service] = {("tcp", 53), ("udp", 53)}
_AT_MOST: dict[tuple[str, str], set[Service]] = {
    (flows.INTERNET, flows.RELAY): {("tcp", 25), ("tcp", 443)},
    (flows.INTERNET, flows.HUB): set(),
    (flows.INTERNET, flows.BRANCH): set(),
    (flows.RELAY, flows.HUB): {("tcp", 25)},
    (flows.RELAY, flows.BRANCH): set(),
    (flows.HUB, flows.BRANCH): {("tcp", 25)},
    (flows.BRANCH, flows.RELAY): {("tcp", 443)},
    (flows.BRANCH, flows.HUB): {("tcp", 25)},
    (flows.BRANCH, flows.BRANCH): set(),
    (flows.BRANCH, flows.INTERNET): _WEB,
    (flows.SHELL, flows.RELAY): {("tcp", 22)},
    (flows.SHELL, flows.HUB): {("tcp", 22)},
    (flows.SHELL, flows.BRANCH): {("tcp", 22)},
    (flows.SHELL, flows.INTERNET): set(),
}
"""The most that may pass in any mode, written by hand beside the table: a mistake in the table
shows here. A relay serves MTA-STS policies to anyone, be it one of ours."""
_AT_MOST_BY_MODE: dict[str, dict[tuple[str, str], set[Service]]] = {
    RELAY: {
        (flows.RELAY, flows.RELAY): {("tcp", 25), ("tcp", 443)},
        (flows.RELAY, flows.INTERNET): {("tcp", 25), *_WEB, *_NAMES},
        (flows.HUB, flows.RELAY): {("tcp", 443), ("tcp", 10025)},
        (flows.HUB, flows.INTERNET): _WEB,
    },
    DIRECT: {
        (flows.RELAY, flows.RELAY): {("tcp", 25), ("tcp", 443)},
        (flows.RELAY, flows.INTERNET): {("tcp", 25), *_WEB, *_NAMES},
        # To anywhere means to a relay too, where anyone may come.
        (flows.HUB, flows.RELAY): {("tcp", 25), ("tcp", 443)},
        (flows.HUB, flows.INTERNET): {("tcp", 25), *_WEB, *_NAMES},
    },
    SMARTHOST: {
        (flows.RELAY, flows.RELAY): {("tcp", 443)},
        (flows.RELAY, flows.INTERNET): {*_WEB, *_NAMES},
        (flows.HUB, flows.RELAY): {("tcp", 443)},
        (flows.HUB, flows.INTERNET): _WEB,
    },
}
"""How mail leaves, and by whom alone. A smarthost's port is a setting, and comes to the last."""


def _at_most(scene: Scene) -> dict[tuple[str, str], set[Service]]:
    found = _AT_MOST | _AT_MOST_BY_MODE[scene.outbound]
    if scene.outbound == SMARTHOST:
        found[flows.HUB, flows.INTERNET] = {*_WEB, ("tcp", scene.environment["smarthost_port"])}
    return found


def must_never(scene: Scene) -> str:
    """what must never pass does not, whatever the table says"""
    everyone, most = parties(scene), _at_most(scene)
    tried: dict[str, list[Target]] = {
        source.name: [
            (protocol, address, port)
            for target in everyone
            if target.name != source.name and (source.role, target.role) in most
            for address in _addresses(target)
            for protocol, port in PROBED
            if (protocol, port) not in most[source.role, target.role]
        ]
        for source in everyone
    }
    passed = [
        f"{source} → {address} {protocol} {port}"
        for source, answers in _connect_all(scene, tried).items()
        for (protocol, address, port), answer in answers.items()
        if answer.passed
    ]
    expect(not passed, f"{len(passed)} must never pass and do: {'; '.join(passed[:5])}")
    return f"{sum(map(len, tried.values()))} attempts"


def branch_and_relay(scene: Scene) -> str:
    """a branch cannot relay through the DMZ"""
    if not scene.branches:
        return "no branch is up"
    protocol, port = _MAIL
    addresses = (scene.relay.private_ip, scene.relay.public_ip)
    targets = [(protocol, address, port) for address in addresses]
    for branch in scene.branches:
        answers = scene.deployment.connect(branch.name, targets)
        passed = [address for (_, address, _), answer in answers.items() if answer.passed]
        expect(not passed, f"{branch.name} reaches the relay's port {port} at {passed}")
    return "neither its private nor its public address answers"


def false_sources(scene: Scene) -> str:
    """no host is heard under another's address"""
    table, tried = Table.of(scene), 0
    for sender, receiver, address, service in _ways(scene, table):
        private = address == receiver.private
        lies = _lies(scene, table, sender, receiver, service) if private else []
        if not lies:
            continue
        forged = [
            _request(lie, address, service, _ASKING + n) for n, lie in enumerate(lies, start=1)
        ]
        control = _request(sender.private, address, service, _ASKING)
        heard = [p.source for p in arrived(scene, sender.name, receiver.name, forged, control)]
        expect(not heard, f"{receiver.name} heard {sender.name} as {', '.join(heard)}")
        tried += len(lies)
    expect(tried, "no pair of hosts was found to try it with")
    return f"{tried} false sources unheard, each beside an honest one that was heard"


def unasked_replies(scene: Scene) -> str:
    """no host gets the reply to what it has not asked"""
    ways = {
        (sender, receiver, address): service
        for sender, receiver, address, service in _ways(scene, Table.of(scene))
    }
    for (sender, receiver, address), service in ways.items():
        source = sender.private or sender.public
        replies = [
            Packet(
                protocol=protocol,
                source=source,
                source_port=port,
                destination=address,
                destination_port=_UNASKED,
                flags=flags,
            )
            for protocol, port, flags in _REPLIES
        ]
        control = _request(source, address, service, _ASKING)
        heard = arrived(scene, sender.name, receiver.name, replies, control)
        kinds = ", ".join(f"{packet.protocol} {packet.source_port}" for packet in heard)
        expect(not heard, f"{receiver.name} got unasked from {sender.name}: {kinds}")
    expect(ways, "no pair of hosts was found to try it with")
    return f"{len(ways)} pairs of hosts that talk"


def _addresses(party: Party) -> list[str]:
    return sorted({party.private, party.public} - {""})


def _request(source: str, destination: str, service: Service, source_port: int) -> Packet:
    """The first packet of a connection."""
    _, port = service
    return Packet(
        protocol="tcp",
        source=source,
        source_port=source_port,
        destination=destination,
        destination_port=port,
    )


def _ways(scene: Scene, table: Table) -> Iterator[tuple[Party, Party, str, Service]]:
    """Who may open a connection to which of our hosts, at which of its addresses, to what."""
    everyone = [party for party in parties(scene) if party.role != flows.SHELL]
    for sender in everyone:
        for receiver in everyone:
            if sender.name == receiver.name or not receiver.stack:
                continue
            for address in _addresses(receiver):
                for service in _SERVED:
                    if table.allows(sender, receiver, address, service):
                        yield sender, receiver, address, service


def _lies(
    scene: Scene, table: Table, sender: Party, receiver: Party, service: Service
) -> list[str]:
    """Addresses of others that the receiver's own rules would let in."""
    branches = IPv4Network(scene.environment["branches"])
    absent = Party(name="", role=flows.BRANCH, stack="", private=str(branches[-2]), public="")
    others = [
        Party(
            name=party.name,
            role=party.role,
            stack=party.stack,
            private=party.private or party.public,
            public="",
        )
        for party in (*parties(scene), absent)
        if party.name not in (sender.name, receiver.name) and party.role != flows.SHELL
    ]
    return sorted({other.private for other in others if table.admits(other, receiver, service)})
