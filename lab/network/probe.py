"""`python -m lab.network.probe`, in a network namespace: try many TCP connections at once.

Standard input is a JSON list of [address, port]; standard output a list of `open`, `refused` or
`nothing` in the same order. A refusal came back from the other end, so it passed every filter.
"""

from __future__ import annotations

import asyncio
import json
import sys

LIMIT = 3.0
"""Seconds to wait for an answer: a lost SYN is sent again after 1 (RFC 6298), and after 2 more."""


async def probe(address: str, port: int) -> str:
    """What a connection to `address` and `port` meets."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(address, port), LIMIT)
    except ConnectionRefusedError:
        return "refused"
    except (TimeoutError, OSError):
        return "nothing"
    writer.close()
    return "open"


async def probe_all(targets: list[tuple[str, int]]) -> list[str]:
    """Probe all at the same time."""
    return list(await asyncio.gather(*(probe(address, port) for address, port in targets)))


if __name__ == "__main__":
    print(json.dumps(asyncio.run(probe_all(json.load(sys.stdin)))))
