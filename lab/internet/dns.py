"""The zones that the lab's Internet serves, and Knot DNS's configuration for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.internet.endpoints import endpoint_addresses
from lab.internet.plan import HOSTS, MAIL_HOSTS, MIRROR, NAMES, ROOT_SERVERS, OutsideHost
from lab.internet.zonefile import (
    ZoneError,
    absolute,
    master_file,
    name_servers,
    within,
    zone_text,
)
from lab.world.model import World, Zone

TTL = 60
"""Seconds, for the lab's own records: short, so that a cache never outlives a change for long."""
SERVER = absolute(NAMES.host)
"""Who serves each zone that names no servers of its own."""
SOA = f"{SERVER} hostmaster.{SERVER} 1 1800 900 604800 {TTL}"

FOLDER = "/etc/lab/knot"
"""Where knotd finds its files, as seen from the machine it runs on."""
CONTROL = "/run/knot.sock"


Lines = Sequence[str]
"""Lines of a master file."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """What is served: `zones` maps absolute names to master files.

    `undelegated` are public zones whose parent, a zone or the registrar, has no NS record for
    them: as on the real Internet, nobody finds those.
    """

    zones: Mapping[str, str]
    undelegated: tuple[str, ...]


def served(
    world: World,
    mirror_names: Iterable[str],
    *,
    entries: Mapping[str, Sequence[str]] | None = None,
    outside: Mapping[str, Lines] | None = None,
    registered: bool = True,
) -> Served:
    """All zones of the lab's Internet, unsigned.

    `mirror_names` are host names of Debian's archive, which lead to the mirror. `entries` are the
    values of the DS records by which the root vouches for signed zones, `outside` more lines for
    zones of the lab's own, both by absolute name: for an outside host's domain, for the root, or a
    whole zone of any other name. Unless `registered`, the registrar delegates no public zone.

    Raises:
        ZoneError: a hosted zone is malformed, there twice, or takes a name of an outside host.
    """
    public = public_zones(world)
    more = outside or {}
    delegated = {
        name: zone for name, zone in public.items() if registered and _is_delegated(zone, public)
    }
    zones = {name: zone_text(zone) for name, zone in delegated.items()}
    for host in MAIL_HOSTS:
        name = absolute(host.domain or "")
        zones[name] = master_file([*_mail_domain(host), *more.get(name, ())])
    zones |= {name: master_file(lines) for name, lines in more.items() if name not in {*zones, "."}}
    servers = {name: name_servers(zone) for name, zone in delegated.items()}
    delegations = []
    for name in (zone for zone in zones if not _lies_within_another(zone, zones)):
        delegations += [f"{name} {TTL} IN NS {ns}" for ns in servers.get(name, (SERVER,))]
        delegations += [f"{name} {TTL} IN DS {ds}" for ds in (entries or {}).get(name, ())]
    own = set(_own_names(world, mirror_names))
    own |= {(ns, "A", NAMES.address) for names in servers.values() for ns in names}
    own_lines = [
        f"{name} {TTL} IN {kind} {value}"
        for name, kind, value in sorted(own)
        # The root serves itself whatever lies beneath no other zone.
        if not any(within(name, zone) for zone in zones)
    ]
    zones["."] = master_file([*_root_apex(), *delegations, *own_lines, *more.get(".", ())])
    return Served(zones=zones, undelegated=tuple(sorted(set(public) - set(delegated))))


def knot_config(zones: Iterable[str]) -> str:
    """knotd's configuration (knot.conf(5)) for master files named by `zone_file`."""
    lines = [
        "server:",
        "    listen: 0.0.0.0@53",
        "    rundir: /run",
        "control:",
        f"    listen: {CONTROL}",
        "log:",
        "  - target: stdout",
        "    any: info",
        "database:",
        f"    storage: {FOLDER}/db",
        "template:",
        "  - id: default",
        f"    storage: {FOLDER}",
        # Route 53's serial is always 1: load the file whole and keep no journal of differences.
        "    zonefile-load: whole",
        "    zonefile-sync: -1",
        "    journal-content: none",
        "    semantic-checks: on",
        "zone:",
    ]
    for zone in sorted(zones):
        lines += [f'  - domain: "{zone}"', f'    file: "{zone_file(zone)}"']
    return "\n".join([*lines, ""])


def zone_file(zone: str) -> str:
    """The file name of a zone's master file; the root's is `root.zone`."""
    return f"{zone.rstrip('.').replace('/', '_') or 'root'}.zone"


def reverse_name(address: str) -> str:
    """The name under in-addr.arpa of an IPv4 address, absolute (RFC 1035 section 3.5)."""
    return ipaddress.IPv4Address(address).reverse_pointer + "."


def internal_domain(region: str) -> str:
    """The domain of private names (VPC User Guide, "EC2 instance hostnames")."""
    return "ec2.internal." if region == "us-east-1" else f"{region}.compute.internal."


def public_domain(region: str) -> str:
    """The domain of public names (VPC User Guide, "EC2 instance hostnames")."""
    return (
        "compute-1.amazonaws.com." if region == "us-east-1" else f"{region}.compute.amazonaws.com."
    )


def public_zones(world: World) -> dict[str, Zone]:
    """The public hosted zones by absolute name.

    Raises:
        ZoneError: one is there twice, or takes a name of an outside host.
    """
    zones: dict[str, Zone] = {}
    for zone in world.zones:
        name = absolute(zone.name)
        if zone.private:
            continue
        if name in zones:
            raise ZoneError(f"public zone {name} exists twice ({zones[name].id}, {zone.id})")
        for host in HOSTS:
            if within(name, absolute(host.domain or host.host)):
                raise ZoneError(
                    f"public zone {name} ({zone.id}): the name belongs to the lab's outside host"
                    f" {host.namespace}; choose another"
                )
        zones[name] = zone
    return zones


def _is_delegated(zone: Zone, public: Mapping[str, Zone]) -> bool:
    name = absolute(zone.name)
    if not _lies_within_another(name, public):
        return True  # the lab plays the registrar of every zone without a parent here
    parents = [parent for parent in public if parent != name and within(name, parent)]
    parent = public[max(parents, key=len)]
    return any(r.type == "NS" and absolute(r.name) == name for r in parent.records)


def _lies_within_another(name: str, zones: Iterable[str]) -> bool:
    return any(zone != name and within(name, zone) for zone in zones)


def _mail_domain(host: OutsideHost) -> Lines:
    domain = absolute(host.domain or "")
    return [
        f"{domain} {TTL} IN SOA {SOA}",
        f"{domain} {TTL} IN NS {SERVER}",
        f"{domain} {TTL} IN MX 10 {absolute(host.host)}",
        f'{domain} {TTL} IN TXT "v=spf1 mx -all"',
        # Without a policy of its own the host name in HELO would have no SPF (RFC 7208, 2.3).
        f'{absolute(host.host)} {TTL} IN TXT "v=spf1 a -all"',
        f"{absolute(host.host)} {TTL} IN A {host.address}",
    ]


def _root_apex() -> Lines:
    return [f". {TTL} IN SOA {SOA}", *root_hints()]


def root_hints() -> Lines:
    """Where the root is served, also as the `root-hints` of unbound.conf(5)."""
    lines = []
    for name, address in ROOT_SERVERS.items():
        lines += [f". {TTL} IN NS {absolute(name)}", f"{absolute(name)} {TTL} IN A {address}"]
    return lines


def _own_names(world: World, mirror_names: Iterable[str]) -> Iterable[tuple[str, str, str]]:
    yield from ((absolute(host.host), "A", host.address) for host in HOSTS)
    yield from ((absolute(name), "A", MIRROR.address) for name in mirror_names)
    for name, address in endpoint_addresses(world.region).items():
        yield absolute(name), "A", address
    yield from _reverse_and_public_names(world)


def _reverse_and_public_names(world: World) -> Iterable[tuple[str, str, str]]:
    """EC2 names every public address; an Elastic IP's own reverse name takes that one's place."""
    pointers = {host.address: absolute(host.host) for host in HOSTS}
    for address in _public_addresses(world):
        name = f"ec2-{address.replace('.', '-')}.{public_domain(world.region)}"
        pointers[address] = name
        yield name, "A", address
    pointers |= {address: absolute(name) for address, name in world.pointers}
    for address, name in pointers.items():
        yield reverse_name(address), "PTR", name


def _public_addresses(world: World) -> set[str]:
    addresses = {instance.interface.public_ip for instance in world.instances}
    addresses |= {endpoint.interface.public_ip for endpoint in world.connect_endpoints}
    addresses |= {gateway.public_ip for gateway in world.nat_gateways}
    return {address for address in addresses if address}
