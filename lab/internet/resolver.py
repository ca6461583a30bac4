"""Unbound's configuration: each VPC's resolver, and the outside hosts' own.

Both resolve from the lab's root. A VPC's resolver also knows the private zones associated with the
VPC and EC2's internal names, each as a zone of its own (`auth-zone`, unbound.conf(5)), of which the
most specific one answers: as the rules of Route 53 Resolver do ("Domain names that VPC Resolver
creates autodefined system rules for", Route 53 Developer Guide).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from lab.internet.dns import SOA, TTL, internal_domain, reverse_name
from lab.internet.plan import NAMES
from lab.internet.zonefile import ZoneError, absolute, master_file, within, zone_text
from lab.world.model import Vpc, World

LINK_LOCAL_RESOLVER = "169.254.169.253"
"""VPC User Guide, "Amazon DNS server"."""

PRIVATE_REVERSE_ZONES = (
    "10.in-addr.arpa.",
    *(f"{second}.172.in-addr.arpa." for second in range(16, 32)),
    "168.192.in-addr.arpa.",
)
"""RFC 1918's ranges: a VPC's resolver answers for them itself, and Unbound does (RFC 6303)."""

SERVED_THOUGH_RESERVED = (
    "test.",
    "2.0.192.in-addr.arpa.",
    "100.51.198.in-addr.arpa.",
    "113.0.203.in-addr.arpa.",
)
"""Unbound answers NXDOMAIN for these unless told otherwise; here they are ordinary zones."""


def resolver_address(vpc: Vpc) -> str:
    """The first block's base address + 2 (VPC User Guide, "Amazon DNS server")."""
    return str(ipaddress.IPv4Network(vpc.cidrs[0])[2])


def vpc_zones(world: World, vpc: Vpc) -> dict[str, str]:
    """The master files of the zones that are seen inside `vpc` only, by absolute name.

    Raises:
        ZoneError: a private zone is malformed or associated twice under one name.
    """
    zones = _internal_zones(world, vpc)
    seen: dict[str, str] = {}
    for zone in world.zones:
        if not zone.private or vpc.id not in zone.vpcs:
            continue
        name = absolute(zone.name)
        if name in seen:
            raise ZoneError(
                f"VPC {vpc.id} sees private zone {name} twice ({seen[name]}, {zone.id})"
            )
        seen[name] = zone.id
        zones[name] = zone_text(zone)
    return zones


def unbound_config(
    *,
    addresses: Iterable[str],
    folder: str,
    control: str,
    zones: Mapping[str, str],
    anchor: str | None = None,
    caching: bool = True,
) -> str:
    """An unbound.conf(5); `zones` maps zone names to the names of their files in `folder`.

    With the root's key in the file `anchor` it validates (DNSSEC) and sets the AD bit; without, it
    does neither, like a VPC's resolver by default. Without `caching` it asks anew each time.
    """
    ordinary = [*SERVED_THOUGH_RESERVED]
    ordinary += [
        reverse
        for reverse in PRIVATE_REVERSE_ZONES
        if any(within(zone, reverse) or within(reverse, zone) for zone in zones)
    ]
    lines = [
        "server:",
        *(f"    interface: {address}" for address in addresses),
        "    access-control: 0.0.0.0/0 allow",
        "    do-ip6: no",
        '    username: ""',
        '    chroot: ""',
        f'    directory: "{folder}"',
        '    pidfile: ""',
        "    use-syslog: no",
        "    do-daemonize: no",
        "    num-threads: 1",
        *_validation(anchor),
        '    root-hints: "root.hints"',
        # A record made a moment ago must not stay unknown for a zone's whole minimum TTL.
        "    cache-max-negative-ttl: 1",
        *(() if caching else ("    cache-max-ttl: 0",)),
        *(f'    local-zone: "{zone}" nodefault' for zone in ordinary),
        "remote-control:",
        "    control-enable: yes",
        f"    control-interface: {control}",
    ]
    for zone in sorted(zones):
        lines += [
            "auth-zone:",
            f'    name: "{zone}"',
            f'    zonefile: "{zones[zone]}"',
            "    for-downstream: no",
            "    for-upstream: yes",
            "    fallback-enabled: no",
        ]
    return "\n".join([*lines, ""])


def _validation(anchor: str | None) -> list[str]:
    if anchor is None:
        return ['    module-config: "iterator"']
    return ['    module-config: "validator iterator"', f'    trust-anchor-file: "{anchor}"']


def private_name(address: str, region: str) -> str:
    """An instance's private name (EC2 User Guide, "IP name")."""
    return f"ip-{address.replace('.', '-')}.{internal_domain(region)}"


def _internal_zones(world: World, vpc: Vpc) -> dict[str, str]:
    records: dict[str, list[str]] = {internal_domain(world.region): []}
    for address in sorted(_private_addresses(world, vpc)):
        name = private_name(address, world.region)
        records[internal_domain(world.region)].append(f"{name} {TTL} IN A {address}")
        reverse = reverse_name(address)
        for zone in PRIVATE_REVERSE_ZONES:
            if within(reverse, zone):
                records.setdefault(zone, []).append(f"{reverse} {TTL} IN PTR {name}")
    return {zone: master_file([*_apex(zone), *lines]) for zone, lines in records.items()}


def _apex(zone: str) -> list[str]:
    return [f"{zone} {TTL} IN SOA {SOA}", f"{zone} {TTL} IN NS {absolute(NAMES.host)}"]


def _private_addresses(world: World, vpc: Vpc) -> set[str]:
    interfaces = [instance.interface for instance in world.instances]
    interfaces += [endpoint.interface for endpoint in world.connect_endpoints]
    return {interface.private_ip for interface in interfaces if interface.vpc == vpc.id}
