"""The hosts that an environment's stack file names: relays, the hub, servers to migrate from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from model import addressing, fields
from model.dns_settings import KEY_DIGEST, OUTBOUND_LABEL, POLICY_LABEL
from model.fields import setting
from model.neighbours import SERVER

NAME = fields.matching(
    r"[a-z][a-z0-9-]{0,19}", "1 to 20 of a-z, 0-9 and -, beginning with a letter"
)
ZONE = fields.matching(
    r"[a-z]{2}(-[a-z]+)+-\d[a-z]", "an availability zone's name such as us-east-1a"
)
IMAGE = fields.matching(
    r"ami-([0-9a-f]{8}|[0-9a-f]{17})", "an image id such as ami-0123456789abcdef0"
)
INSTANCE_TYPE = fields.matching(r"[a-z0-9-]+\.[a-z0-9]+", "an instance type such as t4g.small")

RELAYS = (1, 4)
"""How many relays an environment may have."""

LABEL_LENGTH = 34
"""The most characters of a host's label: it ends the name of the host's IAM role, which has at most
64 (IAM User Guide, "IAM and AWS STS quotas") and begins with `gatepost-` and the stack's name."""

NAT_LABEL = re.compile(r"nat(-[a-z])?")
"""What the NAT gateways' addresses are called in a stack, beside those of the relays."""

LEGACY = 10
"""How many servers an environment may migrate from at a time."""


@dataclass(frozen=True, kw_only=True)
class Relay:
    """A relay of the DMZ. Its place gives its address, which it keeps: add new ones at the end."""

    host: str = setting(fields.domain, "its host name: what the Internet sees")
    zone: str = setting(ZONE, "its availability zone; without it the first", default="")
    place: int = setting(
        fields.number(*addressing.PLACES, "of its subnet's places"),
        "the place that its address follows from; without it, its place in this list, from 1. Name "
        "it when you take out a relay before it",
        default=0,
    )
    image: str = setting(IMAGE, "its own image id, while images are moved forward", default="")
    instance_type: str = setting(INSTANCE_TYPE, "its own instance type", default="")
    tlsa: tuple[str, ...] = setting(
        fields.several(KEY_DIGEST, 1, 3),
        "digests of its certificate's key for DANE; while a key is changed, the next one's too",
        default=(),
    )


@dataclass(frozen=True, kw_only=True)
class Hub:
    """The mail server inside, in the first zone."""

    host: str = setting(fields.domain, "its host name")
    image: str = setting(IMAGE, "its own image id, while images are moved forward", default="")
    instance_type: str = setting(INSTANCE_TYPE, "its own instance type", default="")


@dataclass(frozen=True, kw_only=True)
class Legacy:
    """A server from which the company migrates: users of the environment may still be `at` it."""

    name: str = setting(NAME, "what the file of people calls it")
    address: IPv4Address = setting(
        fields.host_address,
        "where it takes mail on port 25; with a private address it may also send to the hub",
    )


def places(relays: tuple[Relay, ...]) -> tuple[int, ...]:
    """The place of each relay in its zone's DMZ, from which its address follows."""
    return tuple(relay.place or number for number, relay in enumerate(relays, 1))


def host_problems(values: dict[str, Any]) -> Iterator[str]:
    """Where an environment's hosts do not fit one another, or the rest of its `values`."""
    relays: tuple[Relay, ...] = values.get("relays", ())
    yield from _legacy_problems(values)
    yield from _relay_problems(relays, values.get("zones"))
    hosts = [(f"relays[{index}].host", relay.host) for index, relay in enumerate(relays)]
    if "hub" in values:
        hosts.append(("hub.host", values["hub"].host))
    aliases = tuple(values.get("alias_domains", ()))
    yield from _name_problems(hosts, values.get("domains", ()), aliases)
    yield from _label_problems(hosts)


def _legacy_problems(values: dict[str, Any]) -> Iterator[str]:
    """A server to migrate from is outside: neither in the VPC nor at a branch."""
    names: list[str] = []
    taken: list[IPv4Address] = []
    for index, server in enumerate(values.get("legacy", ())):
        path = f"environment.legacy[{index}]"
        if server.name in names or server.address in taken:
            yield f"{path}: must be a server of its own, got {server.name} {server.address} again"
        names.append(server.name)
        taken.append(server.address)
        for key in ("network", "branches"):
            if key in values and server.address in values[key]:
                yield f"{path}.address: must not be in {key} {values[key]}, got {server.address}"


def _relay_problems(relays: tuple[Relay, ...], zones: tuple[str, ...] | None) -> Iterator[str]:
    numbers = places(relays)
    for index, relay in enumerate(relays):
        if numbers[index] in numbers[:index]:
            path = f"environment.relays[{index}].place"
            yield f"{path}: must be a place of its own, got {numbers[index]} again"
        if zones and relay.zone and relay.zone not in zones:
            listed = ", ".join(zones)
            yield f"environment.relays[{index}].zone: must be one of {listed}, got {relay.zone!r}"


def _name_problems(
    hosts: list[tuple[str, str]], domains: tuple[str, ...], aliases: tuple[str, ...]
) -> Iterator[str]:
    names = [host for _, host in hosts]
    for index, (path, host) in enumerate(hosts):
        label, _, parent = host.partition(".")
        if host in names[:index]:
            yield f"environment.{path}: must be a name of its own, got {host!r} again"
        if label in (OUTBOUND_LABEL, POLICY_LABEL) and parent in (*domains, *aliases):
            yield f"environment.{path}: must not begin with {label}, a name in use, got {host!r}"
        if f"-{label}".endswith(SERVER):
            yield f"environment.{path}: must not end in {SERVER}, as branches' do, got {host!r}"
        if not domains:
            continue
        if host in domains or host in aliases:
            yield f"environment.{path}: must not be a mail domain itself, got {host!r}"
        elif path != "hub.host" and not host.endswith(f".{domains[0]}"):
            # Its A record goes into the primary domain's zone.
            yield f"environment.{path}: must be a host of {domains[0]}, got {host!r}"


def _label_problems(hosts: list[tuple[str, str]]) -> Iterator[str]:
    """The first label of a host's name is the name of its resources in the stack."""
    labels = [host.partition(".")[0] for _, host in hosts]
    for index, (path, host) in enumerate(hosts):
        label, where = labels[index], f"environment.{path}"
        if label in labels[:index] and host not in [other for _, other in hosts[:index]]:
            yield f"{where}: must have a first label of its own, got {label!r} again in {host!r}"
        if len(label) > LABEL_LENGTH:
            yield (
                f"{where}: must have a first label of at most {LABEL_LENGTH} characters, "
                f"got {len(label)} in {host!r}"
            )
        if NAT_LABEL.fullmatch(label):
            yield f"{where}: must not begin with {label}, a NAT gateway's name, got {host!r}"
