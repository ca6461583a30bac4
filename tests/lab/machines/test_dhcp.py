"""DHCP messages: what a client asks, and what it is told (RFC 2131, RFC 2132)."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.machines import dhcp
from tests.lab.machines.bench import RESOLVER, ROUTER, instance, world

ITEM = instance(1)
LEASE = dhcp.lease_of(world(ITEM), ITEM.interface)
NOTHING = IPv4Address("0.0.0.0")


def message(kind: int, *, mac: str = LEASE.mac, current: IPv4Address = NOTHING, **options: bytes):
    """A client's message; options by the names that the module has for them."""
    client = bytes.fromhex(mac.replace(":", ""))
    header = dhcp.HEADER.pack(
        *(dhcp.BOOTREQUEST, 1, len(client), 0, 0x12345678, 0, 0x8000),
        *(current.packed, bytes(4), bytes(4), bytes(4), client, b"", b"", dhcp.MAGIC),
    )
    numbered = {dhcp.MESSAGE_TYPE: bytes([kind])}
    numbered |= {getattr(dhcp, name): value for name, value in options.items()}
    encoded = (bytes([number, len(value)]) + value for number, value in numbered.items())
    return header + b"\0" + b"".join(encoded) + bytes([dhcp.END])


def replied(request: bytes) -> tuple[tuple, dict[int, bytes]] | None:
    """The reply's header fields and options."""
    parsed = dhcp.parse(request)
    assert parsed is not None
    reply = dhcp.answer(parsed, LEASE)
    if reply is None:
        return None
    options = {}
    rest = reply[dhcp.HEADER.size :]
    while rest[0] != dhcp.END:
        options[rest[0]] = rest[2 : 2 + rest[1]]
        rest = rest[2 + rest[1] :]
    return dhcp.HEADER.unpack_from(reply), options


def test_discover_is_offered_what_ec2_gives() -> None:
    answer = replied(message(dhcp.DISCOVER))
    assert answer is not None
    header, options = answer
    assert header[0] == dhcp.BOOTREPLY
    assert header[4] == 0x12345678
    assert header[8] == IPv4Address(ITEM.interface.private_ip).packed
    assert options == {
        53: bytes([dhcp.OFFER]),
        54: ROUTER.packed,
        51: struct.pack("!I", 3600),
        1: bytes([255, 255, 255, 0]),
        3: ROUTER.packed,
        6: RESOLVER.packed,
        15: b"ap-northeast-1.compute.internal",
        26: struct.pack("!H", 1500),
    }


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        (message(dhcp.REQUEST, REQUESTED_ADDRESS=LEASE.address.packed), dhcp.ACK),
        (message(dhcp.REQUEST, current=LEASE.address), dhcp.ACK),
        (message(dhcp.REQUEST, REQUESTED_ADDRESS=bytes([10, 1, 1, 99])), dhcp.NAK),
        (message(dhcp.REQUEST), dhcp.NAK),
    ],
)
def test_only_the_right_address_is_granted(request_: bytes, kind: int) -> None:
    answer = replied(request_)
    assert answer is not None
    assert answer[1][dhcp.MESSAGE_TYPE] == bytes([kind])


@pytest.mark.parametrize(
    "request_", [message(dhcp.DISCOVER, mac="02:00:00:00:00:09"), message(dhcp.OFFER), message(7)]
)
def test_strangers_and_other_messages_get_nothing(request_: bytes) -> None:
    assert replied(request_) is None


@given(st.binary(max_size=400))
def test_rubbish_is_no_request(data: bytes) -> None:
    assert dhcp.parse(data) is None


@given(st.binary(max_size=60))
def test_spoilt_options_do_no_harm(data: bytes) -> None:
    sound = dhcp.parse(message(dhcp.DISCOVER))
    parsed = dhcp.parse(message(dhcp.DISCOVER)[:-1] + data)
    assert sound is not None
    assert parsed is None or parsed.client == sound.client


def test_checksum_is_the_standards() -> None:
    """The example of RFC 1071 section 3: the sum of these words is ddf2."""
    assert dhcp._checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2
