"""The firewall: a probe of every pair of hosts must equal the table of flows, and no forged packet
may come through."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

from checks.deployment import Target
from checks.packets import ACK, SYN, Packet, arrived
from checks.suite import Check, Scene, expect
from checks.table import Party, Table, parties
from model import flows, ports

_MAIL = ("tcp", ports.SMTP)
_TCP = (1, 21, 22, 25, 53, 80, 111, 143, 443, 465, 587, 993, 1023, 1024, 3306, 10025, 40000, 65535)
_UDP = (1, 25, 53, 69, 111, 123, 137, 161, 443, 514, 1023, 1024, 33434, 40000, 65535)
PROBED = (*(("tcp", port) for port in _TCP), *(("udp", port) for port in _UDP))
"""Mail and administration, what a machine might have open unawares, and the ends of the ranges that
a rule might let through as a whole."""

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

    def probe(source: Party) -> tuple[list[str], int]:
        targets: dict[Target, bool] = {
            (protocol, address, port): table.allows(source, target, address, (protocol, port))
            for target in everyone
            if target.name != source.name and target.role != flows.SHELL
            if {source.role, target.role} != {flows.INTERNET}
            for address in _addresses(target)
            for protocol, port in PROBED
        }
        answers = scene.deployment.connect(source.name, targets)
        wrong = [
            f"{source.name} → {address} {protocol} {port} should {'' if wanted else 'not '}pass"
            for (protocol, address, port), wanted in targets.items()
            if answers[protocol, address, port].passed != wanted
        ]
        return wrong, len(targets)

    # All at once: a probe is nothing but waiting for what does not answer.
    with ThreadPoolExecutor(max_workers=len(everyone)) as pool:
        results = list(pool.map(probe, everyone))
    wrong = [line for lines, _ in results for line in lines]
    expect(not wrong, f"{len(wrong)} differ: {'; '.join(wrong[:5])}")
    return f"{sum(count for _, count in results)} probes from {len(everyone)} places"


_NEVER: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    (flows.INTERNET, flows.RELAY, (22, 80, 443, 110, 143, 465, 587, 993, 3306)),
    (flows.INTERNET, flows.HUB, (22, 25, 80, 143, 443, 587, 993)),
    (flows.INTERNET, flows.BRANCH, (22, 25, 80, 143, 443, 587, 993)),
    (flows.RELAY, flows.HUB, (22, 80, 111, 143, 389, 443, 445, 993, 2049, 3306, 5432)),
    (flows.RELAY, flows.BRANCH, (22, 25, 80, 143, 443, 993)),
    (flows.BRANCH, flows.RELAY, (22, 25, 80, 443)),
    (flows.BRANCH, flows.HUB, (22, 80, 143, 443, 993, 3306)),
    (flows.HUB, flows.RELAY, (22, 80, 443)),
    (flows.HUB, flows.BRANCH, (22, 80, 443)),
    (flows.SHELL, flows.HUB, (25, 80, 443)),
)
"""What must never pass, written by hand beside the table: a mistake in the table shows here."""


def must_never(scene: Scene) -> str:
    """what must never pass does not, whatever the table says"""
    everyone, tried = parties(scene), 0
    for source in everyone:
        targets: list[Target] = [
            ("tcp", address, port)
            for target in everyone
            if target.name != source.name
            for address in _addresses(target)
            for place, to, blocked in _NEVER
            if (place, to) == (source.role, target.role)
            for port in blocked
        ]
        answers = scene.deployment.connect(source.name, targets)
        passed = [f"{address} port {port}" for (_, address, port), a in answers.items() if a.passed]
        expect(not passed, f"{source.name} reaches {', '.join(passed)}")
        tried += len(targets)
    return f"{tried} attempts"


def branch_and_relay(scene: Scene) -> str:
    """a branch cannot relay through the DMZ"""
    if scene.branch is None:
        return "no branch is up"
    protocol, port = _MAIL
    addresses = (scene.relay.private_ip, scene.relay.public_ip)
    targets = [(protocol, address, port) for address in addresses]
    answers = scene.deployment.connect(scene.branch.name, targets)
    passed = [address for (_, address, _), answer in answers.items() if answer.passed]
    expect(not passed, f"{scene.branch.name} reaches the relay's port {port} at {passed}")
    return "neither its private nor its public address answers"


def false_sources(scene: Scene) -> str:
    """no host is heard under another's address"""
    table, tried = Table.of(scene), 0
    for sender, receiver, address in _mail_ways(scene, table):
        lies = _lies(scene, table, sender, receiver) if address == receiver.private else []
        if not lies:
            continue
        forged = [_request(lie, address, _ASKING + n) for n, lie in enumerate(lies, start=1)]
        control = _request(sender.private, address, _ASKING)
        heard = [p.source for p in arrived(scene, sender.name, receiver.name, forged, control)]
        expect(not heard, f"{receiver.name} heard {sender.name} as {', '.join(heard)}")
        tried += len(lies)
    expect(tried, "no pair of hosts was found to try it with")
    return f"{tried} false sources unheard, each beside an honest one that was heard"


def unasked_replies(scene: Scene) -> str:
    """no host gets the reply to what it has not asked"""
    ways = list(_mail_ways(scene, Table.of(scene)))
    for sender, receiver, address in ways:
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
        control = _request(source, address, _ASKING)
        heard = arrived(scene, sender.name, receiver.name, replies, control)
        kinds = ", ".join(f"{packet.protocol} {packet.source_port}" for packet in heard)
        expect(not heard, f"{receiver.name} got unasked from {sender.name}: {kinds}")
    return f"{len(ways)} pairs of hosts that talk mail"


def _addresses(party: Party) -> list[str]:
    return sorted({party.private, party.public} - {""})


def _request(source: str, destination: str, source_port: int) -> Packet:
    """The first packet of a mail connection."""
    protocol, port = _MAIL
    return Packet(
        protocol=protocol,
        source=source,
        source_port=source_port,
        destination=destination,
        destination_port=port,
    )


def _mail_ways(scene: Scene, table: Table) -> Iterator[tuple[Party, Party, str]]:
    """Who may open a mail connection to which of our hosts, and at which of its addresses."""
    everyone = [party for party in parties(scene) if party.role != flows.SHELL]
    for sender in everyone:
        for receiver in everyone:
            if sender.name == receiver.name or not receiver.stack:
                continue
            for address in _addresses(receiver):
                if table.allows(sender, receiver, address, _MAIL):
                    yield sender, receiver, address


def _lies(scene: Scene, table: Table, sender: Party, receiver: Party) -> list[str]:
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
    return sorted({other.private for other in others if table.admits(other, receiver, _MAIL)})
