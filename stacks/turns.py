"""Whose turn it is: of several relays that are out of date, one `up` replaces one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pulumi
import pulumi_aws as aws
from pulumi import InvokeOptions

from components.tags import BIRTH, ROLE, STACK
from model.fields import SettingsError
from model.flows import RELAY
from userdata import render

ALIVE = ["pending", "running", "stopping", "stopped"]
"""States of an instance that is there (EC2 User Guide, "Instance state changes")."""

RUNNING = ["running"]


def birth(image: str, instance_type: str, key: str, document: str) -> str:
    """A short name for what a host is made from; `document` is its user data, ids left out.

    Raises SettingsError if it exceeds EC2's limit: at preview, when the ids are not known yet.
    """
    render.pack(document)
    text = "\n".join((image, instance_type, key, document))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class _Relay:
    """What there is of a relay: an instance, of the birth that it should have, that runs."""

    there: bool
    current: bool
    runs: bool


def held(stack: str, births: Mapping[str, str], provider: aws.Provider) -> set[str]:
    """The relays, of those in `births`, that must wait.

    One that has an instance of another birth is out of date. One that does not run has nothing to
    lose and is renewed at once. Of those that run the first is renewed, but only while every other
    relay of the stack runs and stays: the others keep what they have until the next `up`.
    """
    relays = {host: _look(stack, host, births[host], provider) for host in births}
    stale = [host for host, relay in relays.items() if relay.runs and not relay.current]
    if not stale:
        return set()
    away = [*_away(relays), *_leaving(stack, births, provider)]
    if away:
        pulumi.log.warn(
            f"{', '.join(stale)} must be renewed and wait in this `up`: {', '.join(away)}. "
            "Run it again once mail comes in by another relay"
        )
        return set(stale)
    if len(stale) > 1:
        pulumi.log.warn(
            f"this `up` renews {stale[0]} only; {', '.join(stale[1:])} wait: "
            "run it again once mail comes in"
        )
    return set(stale[1:])


def check_places(
    stack: str,
    network: IPv4Network,
    addresses: Mapping[str, IPv4Address],
    provider: aws.Provider,
) -> None:
    """Raise SettingsError if a relay that is there would get another address of its `network`.

    `addresses` are those that the settings give, by host. An interface cannot change its address:
    with its relay it would be replaced, out of turn, for another relay's place in a list.
    """
    problems = []
    for host, wanted in addresses.items():
        found = _instances({"Name": host, STACK: stack}, ALIVE, provider).private_ips or ()
        for has in map(IPv4Address, found):
            if has != wanted and has in network:
                problems.append(
                    f"environment.relays: {host} must keep its address {has}, its zone and place "
                    f"now give {wanted}; set its zone and its `place`, and add new relays at the "
                    "end"
                )
    if problems:
        raise SettingsError(problems)


def _look(stack: str, host: str, wanted: str, provider: aws.Provider) -> _Relay:
    tags = {"Name": host, STACK: stack}
    there = bool(_instances(tags, ALIVE, provider).ids)
    return _Relay(
        there=there,
        current=there and bool(_instances(tags | {BIRTH: wanted}, ALIVE, provider).ids),
        runs=there and bool(_instances(tags, RUNNING, provider).ids),
    )


def _away(relays: Mapping[str, _Relay]) -> list[str]:
    return [
        f"{host} {'does not run' if relay.there else 'is made'}"
        for host, relay in relays.items()
        if not relay.runs
    ]


def _leaving(stack: str, births: Mapping[str, str], provider: aws.Provider) -> list[str]:
    """Relays of the stack that run and that the settings name no more."""
    running = set(_instances({ROLE: RELAY, STACK: stack}, RUNNING, provider).ids)
    for host in births:
        running -= set(_instances({"Name": host, STACK: stack}, RUNNING, provider).ids)
    return [f"{identifier} is taken away" for identifier in sorted(running)]


def _instances(
    tags: Mapping[str, str], states: Sequence[str], provider: aws.Provider
) -> aws.ec2.GetInstancesResult:
    return aws.ec2.get_instances(
        instance_tags=tags, instance_state_names=states, opts=InvokeOptions(provider=provider)
    )
