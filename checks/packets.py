"""Packets made by hand, sent from one host and looked for on another."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Literal

from checks.suite import Failed, Scene

LIMIT = 10.0
"""Seconds within which a packet must arrive that is let through."""

SYN, ACK = 0x02, 0x10
"""TCP's flags: a request has the first, its answer both, what follows the second (RFC 9293)."""

_CAPTURE = """
import json, os, socket, sys, time
words, ready, limit = json.load(sys.stdin)
ETH_P_IP, OUTGOING, SEGMENTS = 0x0800, 4, (6, 17)
capture = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
open(ready, "w").close()
seen, end = set(), time.monotonic() + limit
try:
    while words[-1] not in seen and time.monotonic() < end:
        capture.settimeout(max(0.01, end - time.monotonic()))
        try:
            packet, where = capture.recvfrom(65535)
        except TimeoutError:
            break
        if where[2] != OUTGOING and packet[9] in SEGMENTS:
            seen |= {word for word in words if word.encode() in packet}
finally:
    os.unlink(ready)
print(json.dumps(sorted(seen)))
"""

_SEND = """
import json, socket, struct, sys
def checksum(data):
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
def segment(p, number, word):
    ports = struct.pack("!HH", p["source_port"], p["destination_port"])
    if p["protocol"] == "udp":
        head, at = ports + struct.pack("!HH", 8 + len(word), 0), 6
    else:
        head, at = ports + struct.pack("!IIBBHHH", 1, 1, 5 << 4, p["flags"], 65535, 0, 0), 16
    length = len(head) + len(word)
    ends = socket.inet_aton(p["source"]) + socket.inet_aton(p["destination"])
    total = checksum(ends + struct.pack("!BBH", 0, number, length) + head + word)
    return head[:at] + struct.pack("!H", total) + head[at + 2:] + word
out = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
for p, word in json.load(sys.stdin):
    number = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}[p["protocol"]]
    body = segment(p, number, word.encode())
    # The kernel fills in the identification and the checksum of the header (raw(7)).
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, number, 0)
    ends = socket.inet_aton(p["source"]) + socket.inet_aton(p["destination"])
    out.sendto(head + ends + body, (p["destination"], 0))
"""


@dataclass(frozen=True, kw_only=True)
class Packet:
    """One packet; `flags` are TCP's."""

    protocol: Literal["tcp", "udp"]
    source: str
    source_port: int
    destination: str
    destination_port: int
    flags: int = SYN


def arrived(
    scene: Scene, sender: str, receiver: str, packets: Sequence[Packet], control: Packet
) -> list[Packet]:
    """Which of the packets that `sender` sends reach `receiver`, wanted there or not.

    `control` is sent last and must arrive: once it is there, the others would have been before.

    Raises:
        Failed: the control did not arrive, or a host could not send or capture.
    """
    sent = {secrets.token_hex(8): packet for packet in (*packets, control)}
    ready = f"/run/{secrets.token_hex(8)}.ready"
    with ThreadPoolExecutor() as pool:
        question = json.dumps([list(sent), ready, LIMIT])
        capture = pool.submit(_python, scene, receiver, _CAPTURE, question)
        # The capture removes its file when it ends, and ends within the limit.
        waiting = f"until test -e {ready}; do sleep 0.05; done"
        scene.run(receiver, ["timeout", f"{LIMIT:.0f}", "sh", "-c", waiting], limit=2 * LIMIT)
        orders = [(asdict(packet), word) for word, packet in sent.items()]
        _python(scene, sender, _SEND, json.dumps(orders))
        seen = set(json.loads(capture.result()))
    found = [packet for word, packet in sent.items() if word in seen]
    if control not in found:
        raise Failed(f"{receiver} did not get what {sender} may send it: {control}")
    return [packet for packet in found if packet is not control]


def _python(scene: Scene, host: str, program: str, text: str) -> str:
    result = scene.run(host, ["python3", "-c", program], stdin=text, limit=2 * LIMIT)
    if result.code:
        raise Failed(f"on {host}: {result.err.strip().splitlines()[-1:] or result.code}")
    return result.out
