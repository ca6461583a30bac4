"""Mail routes: what each host's Postfix is told. The design behind the three main.cf files.

Every mail domain is a relay domain on every host and no domain is local: where a user lives is
decided per recipient by the transport table, so the envelope recipient never changes on its way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from model.dns import outbound_name
from model.people import ROLES
from model.settings import Environment

EDGE_SIZE = 36_700_160
"""The largest message from the Internet, in bytes: 35 MiB, below the 40 MB at which SES stops."""

HOP_MARGIN = 1_048_576
"""What each hop behind the edge takes more, in bytes: added headers must not turn an accepted
message into a bounce, and the limit counts the queue file, not the message (postconf(5))."""


@dataclass(frozen=True, kw_only=True)
class Postfix:
    """What one host's main.cf says; the templates in userdata/ give each value its parameter."""

    role: str
    host: str
    domains: tuple[str, ...]
    size_limit: int
    trusted: tuple[str, ...] = ()
    """Networks that may relay to anywhere, beside the host itself."""
    inside: str = ""
    """Where the domains' mail goes next, unless the directory knows better; empty: it stays."""
    outside: tuple[str, ...] = ()
    """Hosts that take everything else, in order; empty: delivered by MX."""
    edge: tuple[str, ...] = ()
    """The relays' addresses, for the host that they hand mail to."""
    helo: str = ""
    """The name given to other servers, if not `host`."""
    public_ip: str = ""
    """The Elastic IP at which the Internet sees this host (RFC 5321 address literals)."""

    @property
    def primary(self) -> str:
        """The domain of mail that the host itself writes."""
        return self.domains[0]

    @property
    def keeps_mail(self) -> bool:
        """Whether there are mailboxes on this host; never in the DMZ."""
        return self.role != "relay"

    @property
    def roles(self) -> tuple[str, ...]:
        """Local parts that are accepted at the host's own name and address literal."""
        return ROLES


def relay(settings: Environment, host: str, hub: IPv4Address, public_ip: str) -> Postfix:
    """A through-server: trusts the hub's address only, and only if mail leaves by the relays."""
    return Postfix(
        role="relay",
        host=host,
        domains=settings.domains,
        size_limit=EDGE_SIZE,
        trusted=(str(IPv4Network(hub)),) if settings.outbound == "relay" else (),
        inside=str(hub),
        public_ip=public_ip,
    )


def hub(settings: Environment, relays: Sequence[IPv4Address]) -> Postfix:
    """The mail server inside; branches are trusted by the directory, address by address.

    `relays` are the relays' addresses, in the order in which they are tried: the first that
    answers takes the mail (postconf(5), relayhost).
    """
    direct = settings.outbound == "direct"
    return Postfix(
        role="hub",
        host=settings.hub.host,
        domains=settings.domains,
        size_limit=EDGE_SIZE + HOP_MARGIN,
        outside=() if direct else tuple(str(address) for address in relays),
        edge=tuple(sorted(str(address) for address in relays)),
        helo=outbound_name(settings.domains[0]) if direct else "",
    )


def own_zone_first(
    settings: Environment, addresses: Sequence[IPv4Address]
) -> tuple[IPv4Address, ...]:
    """The relays' `addresses` with those of the hub's zone, the first, before the others."""
    pairs = list(zip(settings.relays, addresses, strict=True))
    return tuple(
        address
        for near in (True, False)
        for relay, address in pairs
        if (settings.relay_zone(relay) == 0) is near
    )


def branch(host: str, domains: tuple[str, ...], hub: str) -> Postfix:
    """A branch's server: keeps its own users' mail, hands everything else to the `hub`."""
    return Postfix(
        role="branch",
        host=host,
        domains=domains,
        size_limit=EDGE_SIZE + 2 * HOP_MARGIN,
        inside=hub,
        outside=(hub,),
    )
