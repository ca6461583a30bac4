"""What a stack file says: the settings of an environment and of a branch."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from model import fields, ports
from model.dns_settings import OUTBOUND_LABEL, POLICY_LABEL, Dns, dns_problems
from model.fields import SettingsError, setting
from model.forwarding import MODES as FORWARDING_MODES
from model.forwarding import SRS, Forwarding
from model.hosts import (
    IMAGE,
    INSTANCE_TYPE,
    LEGACY,
    NAME,
    RELAYS,
    ZONE,
    Hub,
    Legacy,
    Relay,
    host_problems,
    places,
)
from model.outbound import MODES, WELL_KNOWN_MX, Smarthost, smarthost_problems

KINDS = ("environment", "branch", "office")

FINGERPRINT = r"([0-9A-F]{2}:){31}[0-9A-F]{2}"
REGION = fields.matching(
    r"(?!cn-|us-gov-|us-iso|eu-iso|eusc-)[a-z]{2}(-[a-z]+)+-\d",
    "an AWS Region such as us-east-1, of the partition `aws`",
)
"""Policies name resources of that partition (IAM User Guide, "Amazon Resource Names (ARNs)")."""
SSH_KEY = fields.matching(
    r"(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/]+=*( .*)?",
    "one OpenSSH public key (EC2 takes ssh-ed25519 and ssh-rsa)",
)
BLOCKLIST = fields.matching(
    r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}=127(\.(\d+|\[[0-9.;]+\])){3}",
    "a DNS list and the answers that count, such as zen.spamhaus.org=127.0.0.[2..11]",
)
GIBIBYTES = fields.number(1, 16_384, "GiB")
"""What a gp3 volume can have (EBS User Guide, "General Purpose SSD volumes")."""

ZONES = (1, 3)
"""How many zones an environment may have."""

DEFAULT_TYPE = "t4g.small"

PEERING, TRANSIT_GATEWAY = "peering", "transit-gateway"
"""How the branches of an environment are joined to it."""


@dataclass(frozen=True, kw_only=True)
class Disks:
    """The data volumes of a mail host, which outlive its instance."""

    queue: int = setting(GIBIBYTES, "the queue's volume, in GiB", default=8)
    mail: int = setting(GIBIBYTES, "the mailboxes' volume, in GiB", default=20)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A company's mail: its domains, the relays in the DMZ and the hub inside."""

    region: str = setting(REGION, "the AWS Region")
    zones: tuple[str, ...] = setting(
        fields.several(ZONE, *ZONES), "its availability zones; add new ones at the end"
    )
    network: IPv4Network = setting(
        fields.network(16, 20), "the VPC's IPv4 network, /16 to /20; subnets are cut from it"
    )
    branches: IPv4Network = setting(
        fields.network(8, 24), "the supernet of all branches; only it may reach the hub's port 25"
    )
    branch_link: str = setting(
        fields.one_of(PEERING, TRANSIT_GATEWAY),
        "how branches are joined: VPC peering, free, for 50 branches (at most 125); or a Transit "
        "Gateway, 37 USD a month for each, for 5,000 and for offices that are not on AWS",
        default=PEERING,
    )
    nat: str = setting(
        fields.one_of("one", "per-zone"),
        "one NAT gateway for all zones, or one in each: another 33 USD a month for each zone",
        default="one",
    )
    domains: tuple[str, ...] = setting(
        fields.several(fields.domain, 1, 100), "the mail domains, the primary first"
    )
    alias_domains: dict[str, str] = setting(
        fields.mapping(fields.domain, fields.domain, 100),
        "domains in which every address of a mail domain exists too: alias domain, mail domain",
        default_factory=dict,
    )
    relays: tuple[Relay, ...] = setting(fields.records(Relay, *RELAYS), "the relays in the DMZ")
    hub: Hub = setting(fields.record(Hub), "the mail server inside")
    outbound: str = setting(
        fields.one_of(*MODES),
        "how the hub sends to the Internet: through the relays, direct through NAT, or to a "
        "smarthost",
        default="relay",
    )
    smarthost: Smarthost | None = setting(
        fields.record(Smarthost), "the smarthost, of use with outbound: smarthost", default=None
    )
    port25_probes: tuple[str, ...] = setting(
        fields.several(fields.domain, 2, 8),
        "MX hosts by which a block of outbound port 25 is told from other troubles",
        default=WELL_KNOWN_MX,
    )
    blocklists: tuple[str, ...] = setting(
        fields.several(BLOCKLIST, 0, 8),
        "lists of strangers from whom no mail is taken; mind their terms of use",
        default=("zen.spamhaus.org=127.0.0.[2..11]",),
    )
    forwarding: str = setting(
        fields.one_of(*FORWARDING_MODES),
        "whether aliases of the environment's file may lead outside: `srs` rewrites the sender of "
        "what is forwarded (docs/decisions/forwarding.md)",
        default="none",
    )
    senders_outside: tuple[IPv4Network, ...] = setting(
        fields.several(fields.network(24, 32, private=False), 0, 16),
        "networks on the Internet that send under our domains, to our own people too: newsletters, "
        "shops. SPF names them",
        default=(),
    )
    delegated: bool = setting(
        fields.flag,
        "whether the registrar's delegation points at the zones: reverse names, certificates and "
        "MTA-STS wait for it",
        default=False,
    )
    dns: Dns = setting(fields.record(Dns), "what the public zones hold", default=Dns())
    people: str = setting(fields.text, "the file of people, relative to the stack file")
    legacy: tuple[Legacy, ...] = setting(
        fields.records(Legacy, 0, LEGACY),
        "servers from which the company migrates (docs/operations.md)",
        default=(),
    )
    image: str = setting(IMAGE, "the Debian 13 image id of every host without its own, pinned")
    instance_type: str = setting(
        INSTANCE_TYPE, "the instance type of every host without its own", default=DEFAULT_TYPE
    )
    disks: Disks = setting(fields.record(Disks), "sizes of the data volumes", default=Disks())
    protect: bool = setting(
        fields.flag,
        "whether Elastic IPs, zones, key, directory and volumes are protected from deletion",
        default=False,
    )
    administrator_key: str = setting(SSH_KEY, "the public key of the administrators' SSH")

    @property
    def every_domain(self) -> tuple[str, ...]:
        """Every domain that takes mail: the mail domains, then the alias domains."""
        return (*self.domains, *self.alias_domains)

    @property
    def forwards(self) -> bool:
        """Whether mail is forwarded outside."""
        return self.forwarding == SRS

    @property
    def smarthost_port(self) -> int:
        """The smarthost's port; the usual one where none is named."""
        return self.smarthost.port if self.smarthost else ports.SUBMISSION

    @property
    def legacy_servers(self) -> dict[str, IPv4Address]:
        """The addresses of the servers to migrate from, by name."""
        return {server.name: server.address for server in self.legacy}

    @property
    def relay_hosts(self) -> tuple[str, ...]:
        """The relays' host names, in order."""
        return tuple(relay.host for relay in self.relays)

    def relay_zone(self, relay: Relay) -> int:
        """The number of a relay's zone among the environment's."""
        return self.zones.index(relay.zone) if relay.zone else 0

    @property
    def nat_zones(self) -> tuple[str, ...]:
        """The zones that have a NAT gateway."""
        return self.zones if self.nat == "per-zone" else self.zones[:1]

    @property
    def relay_places(self) -> tuple[int, ...]:
        """The place of each relay, in order."""
        return places(self.relays)


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A branch office: a VPC of its own whose server keeps local mail, the rest is the hub's."""

    name: str = setting(NAME, "the branch's name")
    environment: str = setting(NAME, "the stack name of its environment")
    region: str = setting(REGION, "the AWS Region, the same as the environment's")
    zone: str = setting(ZONE, "the availability zone of its server")
    network: IPv4Network = setting(
        fields.network(16, 26), "its VPC's IPv4 network, within the environment's supernet"
    )
    way_out: str = setting(
        fields.one_of("address", "nat"),
        "its way to Debian's packages: a public address that nothing can reach (4 USD a month), "
        "or a NAT gateway (33)",
        default="address",
    )
    host: str = setting(fields.domain, "its mail server's host name")
    people: str = setting(fields.text, "the file of its people, relative to the stack file")
    image: str = setting(IMAGE, "the Debian 13 image id, pinned")
    instance_type: str = setting(INSTANCE_TYPE, "the server's instance type", default=DEFAULT_TYPE)
    disks: Disks = setting(fields.record(Disks), "sizes of the data volumes", default=Disks())
    protect: bool = setting(
        fields.flag, "whether its key and volumes are protected from deletion", default=False
    )
    administrator_key: str = setting(SSH_KEY, "the public key of the administrators' SSH")


@dataclass(frozen=True, kw_only=True)
class Office:
    """An office that is not on AWS: a VPN leads to it, and its server is its administrator's."""

    name: str = setting(NAME, "the office's name")
    environment: str = setting(NAME, "the stack name of its environment")
    region: str = setting(REGION, "the AWS Region, the same as the environment's")
    network: IPv4Network = setting(
        fields.network(16, 30), "its IPv4 network, within the environment's supernet"
    )
    host: str = setting(fields.domain, "its mail server's host name")
    address: IPv4Address = setting(
        fields.private_address, "its mail server's address, within its network"
    )
    gateway: IPv4Address = setting(
        fields.public_address, "the public address of its VPN gateway; it must not change"
    )
    people: str = setting(fields.text, "the file of its people, relative to the stack file")
    fingerprint: str = setting(
        fields.matching(FINGERPRINT, "a SHA-256 as mail/install.sh prints it"),
        "the fingerprint of its mail server's key, as `mail/install.sh` prints it; without it its "
        "mail waits",
        default="",
    )


def read_environment(raw: object) -> tuple[dict[str, Any], list[str]]:
    """Read an environment's settings: the values that are right, and every problem."""
    values, problems = fields.read(Environment, raw, "environment")
    problems += _zone_problems("environment.zones", values.get("region"), values.get("zones", ()))
    problems += _network_problems(values.get("network"), values.get("branches"))
    problems += host_problems(values)
    problems += smarthost_problems(values)
    domains: tuple[str, ...] = values.get("domains", ())
    aliases: dict[str, str] = values.get("alias_domains", {})
    if domains and "dns" in values:
        problems += _domain_problems(aliases, domains)
        problems += dns_problems(values["dns"], values, (*domains, *aliases))
    return values, problems


def forwarding(values: dict[str, Any]) -> Forwarding:
    """Where an environment's aliases may lead to, by those of its settings that are right."""
    hosts = [relay.host for relay in values.get("relays", ())]
    hosts += [values["hub"].host] if "hub" in values else []
    mode = values.get("forwarding", Forwarding.mode)
    return Forwarding(mode=mode, names=(*values.get("alias_domains", ()), *hosts))


def read_branch(raw: object) -> tuple[dict[str, Any], list[str]]:
    """Read a branch's settings: the values that are right, and every problem."""
    values, problems = fields.read(Branch, raw, "branch")
    zones = (values["zone"],) if "zone" in values else ()
    return values, problems + list(_zone_problems("branch.zone", values.get("region"), zones))


def read_office(raw: object) -> tuple[dict[str, Any], list[str]]:
    """Read an office's settings: the values that are right, and every problem."""
    values, problems = fields.read(Office, raw, "office")
    network, address = values.get("network"), values.get("address")
    # Neither the network's own address nor its broadcast address is a host's (RFC 1122).
    if network and address and (address not in network or address in (network[0], network[-1])):
        problems.append(f"office.address: must be a host of {network}, got {address}")
    return values, problems


def check_kind(raw: object, keys: Collection[str]) -> str:
    """The kind of stack that a stack file describes.

    `keys` are all of the file's keys that are ours: `kind`, and the section of that name. Raises
    SettingsError for any other of both.
    """
    problems = []
    if raw not in KINDS:
        listed = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
        problems.append(f"kind: must be {listed}, got {raw!r}")
    known = ["kind", *([str(raw)] if raw in KINDS else KINDS)]
    problems += [
        fields.unknown_key(f"gatepost:{key}", key, known) for key in keys if key not in known
    ]
    if problems:
        raise SettingsError(problems)
    return str(raw)


def _zone_problems(path: str, region: str | None, zones: tuple[str, ...]) -> Iterator[str]:
    for zone in zones:
        if region and zone[:-1] != region:
            yield f"{path}: must be in {region}, got {zone!r}"


def _network_problems(network: IPv4Network | None, branches: IPv4Network | None) -> Iterator[str]:
    if network and branches and network.overlaps(branches):
        yield f"environment.branches: must not overlap the network {network}, got {branches}"


def _domain_problems(aliases: dict[str, str], domains: tuple[str, ...]) -> Iterator[str]:
    for alias, domain in aliases.items():
        if alias in domains:
            yield f"environment.alias_domains: must not be mail domains themselves, got {alias!r}"
        if domain not in domains:
            listed = ", ".join(domains)
            yield f"environment.alias_domains.{alias}: must be one of {listed}, got {domain!r}"
    every = (*domains, *aliases)
    for domain in every:
        label, _, parent = domain.partition(".")
        if label in (OUTBOUND_LABEL, POLICY_LABEL) and parent in every:
            yield f"environment.domains: must not begin with {label}, a name in use, got {domain!r}"
