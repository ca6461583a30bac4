"""A deployment that exists in memory only: the seed's hosts, with answers that a test chooses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from checks.deployment import Answer, Fences, OutsideHost, Result, Target

RELAY = {
    "host": "dmz-ms.example.jp",
    "role": "relay",
    "private_ip": "10.1.1.4",
    "public_ip": "198.51.100.25",
}
HUB = {"host": "ms.example.jp", "role": "hub", "private_ip": "10.1.11.5", "public_ip": ""}
BRANCH = {
    "host": "ms2.example.jp",
    "role": "branch",
    "private_ip": "192.168.10.5",
    "public_ip": "198.51.100.30",
}
NAT = "198.51.100.9"


def outputs(outbound: str = "relay", *, branch: bool = True) -> dict[str, dict[str, Any]]:
    """What the stacks of the seed's page tell."""
    found: dict[str, dict[str, Any]] = {
        "dev": {
            "kind": "environment",
            "domains": ["example.jp", "example.co.jp"],
            "alias_domains": {},
            "delegated": True,
            "name_servers": {"example.jp": ["ns-1.test"], "example.co.jp": ["ns-1.test"]},
            "ds": {},
            "records": [
                {"name": RELAY["host"], "type": "A", "values": [RELAY["public_ip"]]},
                {"name": "example.jp", "type": "TXT", "values": ["v=spf1 -all", 'say "x"']},
            ],
            "exits": {RELAY["host"]: RELAY["public_ip"]},
            "outbound": outbound,
            "smarthost_port": 587,
            "network": "10.1.0.0/16",
            "branches": "192.168.0.0/16",
            "hosts": [RELAY, HUB],
            "nat": NAT,
            "legacy": {},
            "shell": "eice-dev",
        }
    }
    if branch:
        found["dev-osaka"] = {
            "kind": "branch",
            "network": "192.168.10.0/24",
            "hub_address": "10.1.11.5",
            "hosts": [BRANCH],
            "nat": "",
            "shell": "eice-osaka",
        }
    return found


@dataclass
class FakeDeployment:
    """Commands are answered by `replies`; TCP passes for (source, address, port) in `open`, UDP
    for those in `names`."""

    told: dict[str, dict[str, Any]] = field(default_factory=outputs)
    replies: dict[tuple[str, tuple[str, ...]], Result] = field(default_factory=dict)
    open: set[tuple[str, str, int]] = field(default_factory=set)
    names: set[tuple[str, str, int]] = field(default_factory=set)
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    fenced: Fences = field(default_factory=lambda: Fences(groups=(), acls=()))

    def outputs(self) -> dict[str, dict[str, Any]]:
        return self.told

    def outside(self) -> Sequence[OutsideHost]:
        return [
            OutsideHost(
                name="internet", host="mx.example.net", domain="example.net", address="192.0.2.10"
            ),
            OutsideHost(
                name="internet2",
                host="mx.example.com",
                domain="example.com",
                address="203.0.113.10",
            ),
        ]

    def run(self, host: str, argv: Sequence[str], *, stdin: str = "", limit: float = 60) -> Result:
        self.asked.append((host, tuple(argv)))
        return self.replies.get((host, tuple(argv)), Result(code=0, out="", err=""))

    def connect(self, source: str, targets: Iterable[Target]) -> dict[Target, Answer]:
        found = {}
        for protocol, address, port in targets:
            passing = {"tcp": self.open, "udp": self.names}[protocol]
            passes = (source, address, port) in passing
            found[protocol, address, port] = Answer.OPEN if passes else Answer.NOTHING
        return found

    def fences(self) -> Fences:
        return self.fenced
