"""Mail routes: what each host's Postfix is told. The design behind the three main.cf files.

Every mail domain is a relay domain on every host and no domain is local: where a user lives is
decided per recipient by the transport table, so the envelope recipient never changes on its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from model.dns import outbound_name
from model.fields import is_private
from model.outbound import DIRECT, RELAY, SMARTHOST
from model.people import ROLES
from model.settings import Environment

EDGE_SIZE = 36_700_160
"""The largest message from the Internet, in bytes: 35 MiB, below the 40 MB at which SES stops."""

HOP_MARGIN = 1_048_576
"""What each hop after the first takes more, in bytes: added headers must not turn an accepted
message into a bounce, and the limit counts the queue file, not the message (postconf(5))."""

HOPS = {"relay": 2, "hub": 1, "branch": 2}
"""How many hops, at most, a message has behind it when it comes from a host of our own: inwards by
relay and hub, outwards by branch and hub. What is forwarded has one more when it comes to a relay:
the hub's own service for it."""


@dataclass(frozen=True, kw_only=True)
class Postfix:
    """What a host's main.cf and master.cf say; userdata/templates/ gives each value its parameter.

    Next hops are written as in transport(5): `[host]` or `[host]:port`.
    """

    role: str
    host: str
    domains: tuple[str, ...]
    address: str = ""
    """Where a host behind the edge listens for others of our own; its own programs come by the
    loopback address. A relay listens everywhere."""
    trusted: tuple[str, ...] = ()
    """Networks from which mail for anywhere is taken: by a relay's inside service, from the hub; by
    the hub, from servers to migrate from. Empty: from none."""
    inside: str = ""
    """Where the domains' mail goes next, unless the directory knows better; empty: it stays."""
    outside: tuple[str, ...] = ()
    """Next hops that take everything else, in order; empty: the relays do, or it is delivered by
    MX."""
    network: str = ""
    """Where the relays are whose names, addresses and order a hub has by the directory."""
    by_relays: bool = False
    """Whether those take everything else."""
    login: bool = False
    """Whether the next hop outside wants a login, and TLS under its own name."""
    bounces: bool = False
    """Whether this host takes the relays' bounces for anywhere, as they cannot send."""
    drains: bool = False
    """Whether it takes whatever else they still have queued for the Internet."""
    exit: bool = False
    """Whether the host hands mail to the Internet: there the traces of the inside are removed."""
    hidden: tuple[str, ...] = ()
    """Names of inside hosts that this host knows and that bounces must not tell."""
    own_names: tuple[str, ...] = ()
    """Names, with all below them, by which no stranger may greet or have its sender."""
    senders_outside: tuple[str, ...] = ()
    """Networks of strangers who may."""
    blocklists: tuple[str, ...] = ()
    """Lists of strangers to refuse, each with the answers that count (postscreen_dnsbl_sites)."""
    port25_probes: tuple[str, ...] = ()
    """MX hosts by which it tells a block of outbound port 25."""
    peers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The environment's hosts that it exchanges mail with, each with the next hops that lead there;
    a hub learns of relays and branches by the directory."""
    legacy: bool = False
    """Whether it sends to servers to migrate from, which have no certificate of ours."""
    forwarding: bool = False
    """Whether mail is forwarded outside, and comes back to return addresses in the primary
    domain."""
    helo: str = ""
    """The name given to other servers, if not `host`."""
    public_ip: str = ""
    """The Elastic IP at which the Internet sees this host (RFC 5321 address literals)."""

    @property
    def primary(self) -> str:
        """The domain of mail that the host itself writes."""
        return self.domains[0]

    @property
    def public_name(self) -> str:
        """The name under which the Internet may know this host."""
        return self.host if self.role == "relay" else self.helo or self.primary

    @property
    def size_limit(self) -> int:
        """The largest message that enters the company at this host, in bytes."""
        return EDGE_SIZE

    @property
    def hop_limit(self) -> int:
        """The largest message that comes from a host of our own, in bytes."""
        return EDGE_SIZE + (HOPS[self.role] + int(self.checks_returns)) * HOP_MARGIN

    @property
    def forwarding_limit(self) -> int:
        """The largest message that the hub's own service for what is forwarded takes, in bytes."""
        return self.hop_limit + HOP_MARGIN

    @property
    def forwards(self) -> bool:
        """Whether it is this host that rewrites what is forwarded."""
        return self.forwarding and self.role == "hub"

    @property
    def checks_returns(self) -> bool:
        """Whether it is this host at which forwarded mail comes back from the Internet."""
        return self.forwarding and self.role == "relay"

    @property
    def keeps_mail(self) -> bool:
        """Whether there are mailboxes on this host; never in the DMZ."""
        return self.role != "relay"

    @property
    def hands_over(self) -> bool:
        """Whether what is not for the mail domains goes to a host of our own, too."""
        return self.by_relays or (bool(self.outside) and not self.login)

    @property
    def verifies(self) -> bool:
        """Whether it delivers by MX, and must find out for itself how to verify the receiver."""
        return self.exit and not self.outside

    @property
    def resolves(self) -> bool:
        """Whether it asks the DNS itself and validates: it judges strangers, or sends to them."""
        return self.role == "relay" or self.verifies

    @property
    def role_addresses(self) -> tuple[tuple[str, str], ...]:
        """Local parts that are accepted at the host's own name and address literal, and whose they
        are in the primary domain: what machines write to goes to the postmaster."""
        own = [(role, role) for role in ROLES]
        return (*own, ("root", "postmaster"), ("MAILER-DAEMON", "postmaster"))


def relay(settings: Environment, host: str, hub: IPv4Address, public_ip: str) -> Postfix:
    """A through-server: trusts the hub's address only, and only if mail leaves by the relays.

    With a smarthost it hands its own bounces to the hub: the login is no matter of the DMZ.
    """
    by_hub = settings.outbound == SMARTHOST
    return Postfix(
        role="relay",
        host=host,
        domains=settings.every_domain,
        exit=not by_hub,
        hidden=(settings.hub.host,),
        # Relays lie within the primary domain, the hub may be elsewhere.
        own_names=(*settings.every_domain, settings.hub.host),
        senders_outside=tuple(str(network) for network in settings.senders_outside),
        blocklists=settings.blocklists,
        port25_probes=settings.port25_probes,
        trusted=(str(IPv4Network(hub)),) if settings.outbound == RELAY else (),
        inside=str(hub),
        outside=(f"[{hub}]",) if by_hub else (),
        peers={settings.hub.host: (f"[{hub}]",)},
        forwarding=settings.forwards,
        public_ip=public_ip,
    )


def hub(settings: Environment, address: IPv4Address) -> Postfix:
    """The mail server inside, which has the `address`; relays and branches are known and trusted as
    the directory says."""
    primary, smarthost = settings.domains[0], settings.smarthost
    own: dict[str, Any] = {}
    if settings.outbound == RELAY:
        own["by_relays"] = True
    elif settings.outbound == DIRECT:
        own["helo"] = outbound_name(primary)
    elif smarthost:
        own["outside"] = (f"[{smarthost.host}]:{smarthost.port}",)
        own |= {"login": True, "drains": smarthost.drain, "helo": primary, "bounces": True}
    return Postfix(
        role="hub",
        host=settings.hub.host,
        address=str(address),
        domains=settings.every_domain,
        exit=settings.outbound != RELAY,
        hidden=(settings.hub.host,),
        port25_probes=settings.port25_probes,
        forwarding=settings.forwards,
        network=str(settings.network),
        legacy=bool(settings.legacy),
        # One with a public address cannot reach the hub (model.flows), nor could it be believed.
        trusted=tuple(
            str(IPv4Network(address))
            for address in settings.legacy_servers.values()
            if is_private(address)
        ),
        **own,
    )


def own_zone_first(
    settings: Environment, addresses: Sequence[IPv4Address]
) -> dict[str, IPv4Address]:
    """The relays' `addresses` by host, in the order in which the hub tries them: those of its own
    zone, the first, before the others."""
    pairs = list(zip(settings.relays, addresses, strict=True))
    return {
        relay.host: address
        for near in (True, False)
        for relay, address in pairs
        if (settings.relay_zone(relay) == 0) is near
    }


def branch(host: str, address: str, domains: tuple[str, ...], hub: str, hub_host: str) -> Postfix:
    """A branch's server: keeps its own users' mail, hands everything else to the hub.

    `address` is its own, `hub` the hub's, and `hub_host` the hub's name.
    """
    return Postfix(
        role="branch",
        host=host,
        address=address,
        domains=domains,
        hidden=(host,),
        inside=hub,
        outside=(f"[{hub}]",),
        peers={hub_host: (f"[{hub}]",)},
    )
