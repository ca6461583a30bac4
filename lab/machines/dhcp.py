"""DHCP as a VPC gives it: each instance gets the address that EC2 gave its interface.

RFC 2131 (messages) and RFC 2132 (options), for one client per link. Requests are read from, and
answers written to, the link itself, below the packet filter: security groups and network ACLs do
not filter DHCP (VPC User Guide, "Control traffic to your AWS resources using security groups").
"""

from __future__ import annotations

import ctypes
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.machines.categories import internal_domain
from lab.network.names import resolver_address, router_address
from lab.world.model import Interface, World

SERVER_PORT = 67
CLIENT_PORT = 68
LEASE = 3600
"""Seconds; EC2's leases last an hour."""
MTU = 1500
"""Of the lab's links. EC2 gives 9001, of which a path through an Internet gateway keeps 1500."""

BOOTREQUEST, BOOTREPLY = 1, 2
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
MAGIC = bytes([99, 130, 83, 99])
HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s4s")
ETHER_IP = 0x0800
SO_ATTACH_FILTER = 26
"""asm-generic/socket.h; Python's socket module does not name it."""

# Option numbers of RFC 2132 (119: RFC 3397).
SUBNET_MASK, ROUTER, NAME_SERVER, DOMAIN, INTERFACE_MTU = 1, 3, 6, 15, 26
REQUESTED_ADDRESS, LEASE_TIME, MESSAGE_TYPE, SERVER_ID = 50, 51, 53, 54
END = 255


@dataclass(frozen=True, kw_only=True)
class Lease:
    """What one interface is told."""

    mac: str
    address: IPv4Address
    network: IPv4Network
    resolver: IPv4Address
    domain: str

    @property
    def router(self) -> IPv4Address:
        """The VPC router in the subnet, which also is the DHCP server's name to the client."""
        return router_address(self.network)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A client's message, as far as it matters."""

    kind: int
    transaction: int
    flags: int
    client: bytes
    current: IPv4Address
    requested: IPv4Address | None


def lease_of(world: World, interface: Interface) -> Lease:
    """The lease for an interface; StopIteration if its subnet or VPC is not in the world."""
    subnet = next(subnet for subnet in world.subnets if subnet.id == interface.subnet)
    vpc = next(vpc for vpc in world.vpcs if vpc.id == interface.vpc)
    return Lease(
        mac=interface.mac,
        address=IPv4Address(interface.private_ip),
        network=IPv4Network(subnet.cidr),
        resolver=resolver_address(IPv4Network(vpc.cidrs[0])),
        domain=internal_domain(world.region),
    )


def parse(message: bytes) -> Request | None:
    """A client's DHCP message, or None if it is none (RFC 2131 section 2)."""
    if len(message) < HEADER.size:
        return None
    fields = HEADER.unpack_from(message)
    operation, _, length, _, transaction, _, flags, current, *_, client, _, _, magic = fields
    if operation != BOOTREQUEST or magic != MAGIC or length > len(client):
        return None
    options = _options(message[HEADER.size :])
    if len(options.get(MESSAGE_TYPE, b"")) != 1:
        return None
    requested = options.get(REQUESTED_ADDRESS, b"")
    return Request(
        kind=options[MESSAGE_TYPE][0],
        transaction=transaction,
        flags=flags,
        client=client[:length],
        current=IPv4Address(current),
        requested=IPv4Address(requested) if len(requested) == 4 else None,
    )


def answer(request: Request, lease: Lease) -> bytes | None:
    """The message to send back, or None where RFC 2131 section 4.3 wants silence."""
    if request.client != bytes.fromhex(lease.mac.replace(":", "")):
        return None
    if request.kind == DISCOVER:
        return _reply(OFFER, request, lease)
    if request.kind == REQUEST:
        wanted = request.requested or request.current
        return _reply(ACK if wanted == lease.address else NAK, request, lease)
    return None


def _options(data: bytes) -> dict[int, bytes]:
    """Options by number; a spoilt list ends where it is spoilt."""
    options = {}
    position = 0
    while position < len(data) and data[position] != END:
        if data[position] == 0:
            position += 1
            continue
        length = data[position + 1] if position + 1 < len(data) else 0
        options[data[position]] = data[position + 2 : position + 2 + length]
        position += 2 + length
    return options


def _reply(kind: int, request: Request, lease: Lease) -> bytes:
    nothing = bytes(4)
    given = nothing if kind == NAK else lease.address.packed
    header = HEADER.pack(
        *(BOOTREPLY, 1, len(request.client), 0, request.transaction, 0, request.flags),
        *(request.current.packed, given, nothing, nothing, request.client, b"", b"", MAGIC),
    )
    options = {MESSAGE_TYPE: bytes([kind]), SERVER_ID: lease.router.packed}
    if kind != NAK:
        options |= {
            LEASE_TIME: struct.pack("!I", LEASE),
            SUBNET_MASK: lease.network.netmask.packed,
            ROUTER: lease.router.packed,
            NAME_SERVER: lease.resolver.packed,
            DOMAIN: lease.domain.encode(),
            INTERFACE_MTU: struct.pack("!H", MTU),
        }
    encoded = (bytes([number, len(value)]) + value for number, value in options.items())
    return header + b"".join(encoded) + bytes([END])


def open_link(name: str) -> socket.socket:
    """A socket for the DHCP traffic of a link in the present network namespace; raises OSError."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    # Unbound and with protocol 0 nothing arrives yet: the filter is there before the first packet.
    _attach_filter(link)
    link.bind((name, ETHER_IP))
    return link


def serve(link: socket.socket, lease: Lease) -> bool:
    """Take one packet from the link and answer it; returns whether there was something to say."""
    packet, address = link.recvfrom(65535)
    name, _, _, _, sender = address
    header = (packet[0] & 0x0F) * 4
    request = parse(packet[header + 8 :])
    message = answer(request, lease) if request else None
    if message is None:
        return False
    link.sendto(_datagram(lease.router, message), (name, ETHER_IP, 0, 0, sender))
    return True


def _datagram(source: IPv4Address, payload: bytes) -> bytes:
    """An IP packet to 255.255.255.255: the client has no address yet that could be used."""
    udp = struct.pack("!HHHH", SERVER_PORT, CLIENT_PORT, 8 + len(payload), 0) + payload
    destination = IPv4Address("255.255.255.255")

    def header(checksum: int) -> bytes:
        fields = (0x45, 0x10, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, checksum)
        return struct.pack("!BBHHHBBH", *fields) + source.packed + destination.packed

    return header(_checksum(header(0))) + udp


def _checksum(header: bytes) -> int:
    """The IP header's checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _attach_filter(link: socket.socket) -> None:
    """Let the kernel drop all but unfragmented UDP to the server's port (socket(7), bpf(4))."""
    program = (
        (0x30, 0, 0, 9),  # ldb [9]: the protocol
        (0x15, 0, 6, socket.IPPROTO_UDP),  # jeq, else drop
        (0x28, 0, 0, 6),  # ldh [6]: flags and fragment offset
        (0x45, 4, 0, 0x1FFF),  # jset: drop what is not the first fragment
        (0xB1, 0, 0, 0),  # ldxb 4*([0]&0xf): the header's length
        (0x48, 0, 0, 2),  # ldh [x+2]: the destination port
        (0x15, 0, 1, SERVER_PORT),  # jeq, else drop
        (0x06, 0, 0, 0xFFFF),  # accept
        (0x06, 0, 0, 0),  # drop
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    fprog = struct.pack("HP", len(program), ctypes.addressof(code))
    link.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
