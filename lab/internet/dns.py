"""The zones that the lab's Internet serves, and Knot DNS's configuration for them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.internet.endpoints import endpoint_addresses
from lab.internet.plan import HOSTS, MAIL_HOSTS, MIRROR, NAMES, OutsideHost
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
SOA = f"{absolute(NAMES.host)} hostmaster.{absolute(NAMES.host)} 1 1800 900 604800 {TTL}"

FOLDER = "/etc/lab/knot"
"""Where knotd finds its files, as seen from the machine it runs on."""
CONTROL = "/run/knot.sock"


@dataclass(frozen=True, kw_only=True)
class Served:
    """What is served: `zones` maps absolute names to master files.

    `undelegated` are public zones whose parent zone holds no NS record for them: as on the real
    Internet, nobody finds those.
    """

    zones: Mapping[str, str]
    undelegated: tuple[str, ...]


def served(world: World, mirror_names: Iterable[str]) -> Served:
    """All zones of the lab's Internet.

    `mirror_names` are host names of Debian's archive, which lead to the mirror.

    Raises:
        ZoneError: a hosted zone is malformed, there twice, or takes a name of an outside host.
    """
    public = _public_zones(world)
    delegated = {name: zone for name, zone in public.items() if _is_delegated(zone, public)}
    zones = {name: zone_text(zone) for name, zone in delegated.items()}
    for host in MAIL_HOSTS:
        zones[absolute(host.domain or "")] = _mail_domain_zone(host)
    servers = {name: name_servers(zone) for name, zone in delegated.items()}
    zones["."] = _root_zone(world, zones, servers, mirror_names)
    return Served(zones=zones, undelegated=tuple(sorted(set(public) - set(delegated))))


def knot_config(zones: Iterable[str]) -> str:
    """knotd's configuration (knot.conf(5)) for master files named by `zone_file`."""
    lines = [
        "server:",
        f"    listen: {NAMES.address}@53",
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


def _public_zones(world: World) -> dict[str, Zone]:
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
    parents = [parent for parent in public if parent != name and within(name, parent)]
    if not parents:
        return True  # the lab plays the registrar of every zone without a parent here
    parent = public[max(parents, key=len)]
    return any(r.type == "NS" and absolute(r.name) == name for r in parent.records)


def _mail_domain_zone(host: OutsideHost) -> str:
    domain = absolute(host.domain or "")
    return master_file(
        [
            f"{domain} {TTL} IN SOA {SOA}",
            f"{domain} {TTL} IN NS {absolute(NAMES.host)}",
            f"{domain} {TTL} IN MX 10 {absolute(host.host)}",
            f'{domain} {TTL} IN TXT "v=spf1 mx -all"',
            # Without a policy of its own the host name in HELO would have no SPF (RFC 7208, 2.3).
            f'{absolute(host.host)} {TTL} IN TXT "v=spf1 a -all"',
            f"{absolute(host.host)} {TTL} IN A {host.address}",
        ]
    )


def _root_zone(
    world: World,
    zones: Mapping[str, str],
    servers: Mapping[str, tuple[str, ...]],
    mirror_names: Iterable[str],
) -> str:
    """The root serves itself whatever lies beneath no other zone, and delegates the others."""
    root = absolute(NAMES.host)
    own = {(absolute(host.host), "A", host.address) for host in HOSTS}
    own |= {(absolute(name), "A", MIRROR.address) for name in mirror_names}
    endpoints = endpoint_addresses(world.region)
    own |= {(absolute(name), "A", address) for name, address in endpoints.items()}
    own |= set(_reverse_and_public_names(world))
    own |= {(ns, "A", NAMES.address) for names in servers.values() for ns in names}
    lines = [f". {TTL} IN SOA {SOA}", f". {TTL} IN NS {root}"]
    for zone in sorted(zones):
        lines += [f"{zone} {TTL} IN NS {ns}" for ns in servers.get(zone, (root,))]
    for name, kind, value in sorted(own):
        if not any(within(name, zone) for zone in zones):
            lines.append(f"{name} {TTL} IN {kind} {value}")
    return master_file(lines)


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
