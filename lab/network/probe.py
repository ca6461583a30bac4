"""`python -m lab.network.probe`, in a network namespace: try many ports at once.

Standard input is a JSON list of [protocol, address, port], the protocol `tcp` or `udp`; standard
output a list of `open`, `refused` or `nothing` in the same order. A refusal, TCP's reset or ICMP's
"port unreachable", came back from the other end, so it passed every filter. A UDP port that is
open and says nothing looks like one behind a filter. What the network has no part in, such as a
want of descriptors, is no answer: it ends the program.
"""

from __future__ import annotations

import asyncio
import errno
import json
import resource
import sys

LIMIT = 3.0
"""Seconds to wait for an answer: a lost SYN is sent again after 1 (RFC 6298), and after 2 more."""
AGAIN = 1.0
"""Seconds until a UDP packet is sent again, as TCP does by itself. Linux answers a peer with six
"port unreachable" at once and then one a second (icmp(7), icmp_ratelimit)."""

SPARE = 16
"""Descriptors that are no probe's: standard input, output and error, the event loop's own three,
and files that Python reads meanwhile."""

NO_WAY = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EINVAL})
"""What the network says that does not let a packet through: ICMP's "unreachable" (icmp(7)), a
neighbour that does not answer, no route, or a route that is a black hole (ip-route(8): EINVAL)."""

Target = tuple[str, str, int]
"""A protocol (`tcp` or `udp`), an address and a port."""


async def probe(protocol: str, address: str, port: int) -> str:
    """What a packet to `address` and `port` meets.

    Raises:
        OSError: the probe itself has failed.
    """
    attempt = {"tcp": _tcp, "udp": _udp}[protocol]
    try:
        await asyncio.wait_for(attempt(address, port), LIMIT)
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "nothing"
    except OSError as error:
        if error.errno not in NO_WAY:
            error.add_note(f"while probing {protocol} {address} {port}")
            raise
        return "nothing"
    return "open"


async def _tcp(address: str, port: int) -> None:
    _, writer = await asyncio.open_connection(address, port)
    writer.close()


async def _udp(address: str, port: int) -> None:
    """Send one byte, again and again, until something comes back."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Answer(answer), remote_addr=(address, port)
    )
    try:
        while not answer.done():
            transport.sendto(b"?")
            await asyncio.wait([answer], timeout=AGAIN)
    finally:
        transport.close()
    await answer


class _Answer(asyncio.DatagramProtocol):
    """The first datagram, or the first error that the kernel reports for the socket."""

    def __init__(self, answer: asyncio.Future[None]) -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._answer.done():
            self._answer.set_result(None)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


async def probe_all(targets: list[Target]) -> list[str]:
    """Probe all at the same time, as far as there are descriptors.

    Raises:
        OSError: a probe has failed.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = asyncio.Semaphore(max(1, descriptors - SPARE))

    async def in_turn(target: Target) -> str:
        async with free:
            return await probe(*target)

    return list(await asyncio.gather(*(in_turn(target) for target in targets)))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(probe_all(json.load(sys.stdin)))))
