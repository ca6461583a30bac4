"""What the lab knows of AWS: plain, frozen data read from the account's API and from nothing else.

Every class mirrors one AWS object; names follow the EC2 and Route 53 API references. Collections
are tuples sorted by id so that two readings of one state compare equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["ingress", "egress"]
TargetKind = Literal[
    "local",
    "internet_gateway",
    "nat_gateway",
    "peering",
    "transit_gateway",
    "gateway_endpoint",
    "interface",
]
TransitKind = Literal["vpc", "vpn"]


@dataclass(frozen=True, kw_only=True)
class Vpc:
    """A VPC with its IPv4 blocks; the resolver answers at the first block's base address + 2."""

    id: str
    name: str
    cidrs: tuple[str, ...]
    internet_gateway: str | None


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet; `route_table` is its associated table or, without one, the VPC's main table."""

    id: str
    name: str
    vpc: str
    cidr: str
    zone: str
    route_table: str


@dataclass(frozen=True, kw_only=True)
class Route:
    """One route; `destination` is a CIDR or a prefix list id; a blackhole is not `active`."""

    destination: str
    kind: TargetKind
    target: str
    active: bool


@dataclass(frozen=True, kw_only=True)
class RouteTable:
    id: str
    vpc: str
    routes: tuple[Route, ...]


@dataclass(frozen=True, kw_only=True)
class NatGateway:
    id: str
    subnet: str
    private_ip: str
    public_ip: str


@dataclass(frozen=True, kw_only=True)
class Peering:
    """A peering connection; traffic passes only while it is `active`."""

    id: str
    requester: str
    accepter: str
    active: bool


@dataclass(frozen=True, kw_only=True)
class TransitAttachment:
    """A VPC or a VPN (`resource`) that is attached to a Transit Gateway.

    `table` is the gateway's table by which what comes from here goes on, None without one. A VPC
    reaches the gateway from the zones of `subnets` only.
    """

    id: str
    gateway: str
    kind: TransitKind
    resource: str
    subnets: tuple[str, ...]
    table: str | None


@dataclass(frozen=True, kw_only=True)
class TransitRoute:
    """A route of a Transit Gateway, static or propagated; a blackhole leads to no `attachment`."""

    destination: str
    attachment: str | None


@dataclass(frozen=True, kw_only=True)
class TransitTable:
    id: str
    gateway: str
    routes: tuple[TransitRoute, ...]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One security group rule.

    `protocol` is `tcp`, `udp`, `icmp` or `-1` (all). Ports are inclusive, None where the protocol
    has none. Exactly one of `cidr`, `group` and `prefix_list` names the peer.
    """

    id: str
    group_id: str
    direction: Direction
    protocol: str
    from_port: int | None
    to_port: int | None
    cidr: str | None = None
    group: str | None = None
    prefix_list: str | None = None
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class SecurityGroup:
    id: str
    name: str
    vpc: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, kw_only=True)
class AclRule:
    """One rule of a network ACL; the lowest `number` that matches a packet decides.

    `protocol` and ports are as in `Rule`: for ICMP they are the type and the code, -1 means any.
    `cidr` is the source of what comes in and the destination of what goes out.
    """

    number: int
    direction: Direction
    protocol: str
    from_port: int | None
    to_port: int | None
    cidr: str
    allow: bool


@dataclass(frozen=True, kw_only=True)
class NetworkAcl:
    """A network ACL and the subnets at whose border it filters; what no rule names is denied.

    A subnet that no ACL names is not filtered, as with a VPC's default ACL as EC2 makes it.
    """

    id: str
    name: str
    vpc: str
    subnets: tuple[str, ...]
    rules: tuple[AclRule, ...]

    @property
    def passes_all(self) -> bool:
        """Whether the first rule of each direction lets everything through, as EC2 makes it."""
        # The last one that is put in for a direction stays: that of the lowest number.
        first = {rule.direction: rule for rule in sorted(self.rules, key=lambda r: -r.number)}
        return len(first) == 2 and all(
            rule.allow and rule.protocol == "-1" and rule.cidr == "0.0.0.0/0"
            for rule in first.values()
        )


@dataclass(frozen=True, kw_only=True)
class PrefixList:
    id: str
    name: str
    cidrs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Interface:
    """A network interface of an instance or of an Instance Connect endpoint (`owner`)."""

    id: str
    owner: str
    vpc: str
    subnet: str
    mac: str
    private_ip: str
    public_ip: str | None
    groups: tuple[str, ...]
    source_dest_check: bool


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An EC2 instance that is running; `user_data` is byte for byte what the API holds."""

    id: str
    name: str
    role: str
    image: str
    type: str
    zone: str
    interface: Interface
    user_data: bytes
    iam_role: str | None
    public_key: str | None
    tokens_required: bool
    hop_limit: int
    tags: tuple[tuple[str, str], ...] = ()
    launched: str = ""
    """When it was started last, as ISO 8601: another time after a stop and a start."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """An EBS volume that is no instance's root; `size` in GiB.

    `kms_key` is the key's ARN. `device` and `attached` (ISO 8601) are None without an `instance`.
    """

    id: str
    name: str
    size: int
    zone: str
    encrypted: bool
    kms_key: str | None = None
    instance: str | None = None
    device: str | None = None
    attached: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConnectEndpoint:
    """An EC2 Instance Connect endpoint: where an administrator's SSH enters a VPC."""

    id: str
    interface: Interface


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record set; `name` is absolute with its final dot, `values` as Route 53 holds them."""

    name: str
    type: str
    ttl: int
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SigningKey:
    """An active key-signing key (KSK) of a hosted zone; its private half never leaves KMS.

    `kms_key` is the ARN by which KMS signs (`kms:Sign`) and tells the public half. `dnskey` and
    `ds` are what the zone's DNSKEY and the parent's DS record hold, as zone file text.
    """

    name: str
    kms_key: str
    tag: int
    dnskey: str
    ds: str


@dataclass(frozen=True, kw_only=True)
class Zone:
    """A hosted zone; a private one is seen from `vpcs` only.

    `signed` is whether Route 53 serves signatures (DNSSEC), by the `keys`.
    """

    id: str
    name: str
    private: bool
    vpcs: tuple[str, ...]
    records: tuple[Record, ...]
    signed: bool = False
    keys: tuple[SigningKey, ...] = ()


@dataclass(frozen=True, kw_only=True)
class World:
    """All of one account's Region that the lab builds from."""

    region: str
    account: str
    vpcs: tuple[Vpc, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    nat_gateways: tuple[NatGateway, ...] = ()
    peerings: tuple[Peering, ...] = ()
    transit_attachments: tuple[TransitAttachment, ...] = ()
    transit_tables: tuple[TransitTable, ...] = ()
    groups: tuple[SecurityGroup, ...] = ()
    network_acls: tuple[NetworkAcl, ...] = ()
    prefix_lists: tuple[PrefixList, ...] = ()
    instances: tuple[Instance, ...] = ()
    stopped: tuple[str, ...] = ()
    """Ids of instances that do not run but could be started again."""
    volumes: tuple[Volume, ...] = ()
    connect_endpoints: tuple[ConnectEndpoint, ...] = ()
    zones: tuple[Zone, ...] = ()
    pointers: tuple[tuple[str, str], ...] = field(default=())
    """(address, name) of each Elastic IP whose reverse name (PTR) has been set."""
