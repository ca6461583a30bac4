"""`gatepost lab fault`: break something on purpose, and mend it."""

from __future__ import annotations

import argparse
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

from lab import hosts
from lab.faults import EVERY_HOST, NAT_IDLE, SOUND, Blocklist, FaultError, Faults
from lab.internet.plan import POSTFIX_HOSTS
from lab.session import Lab
from lab.world.model import Instance

ON, OFF = "on", "off"
Change = Callable[[Lab, Faults, argparse.Namespace], Faults]


def show(lab: Lab, arguments: argparse.Namespace) -> int:
    """Print what is broken on purpose."""
    faults = lab.faults
    if arguments.json:
        print(json.dumps(asdict(faults)))
    elif faults == SOUND:
        print("nothing is broken on purpose")
    else:
        for name, value in faults.made().items():
            shown = ", ".join(value) if isinstance(value, tuple) else value
            print(f"{name.replace('_', '-')}: {shown}")
    return 0


def change(lab: Lab, arguments: argparse.Namespace) -> int:
    """Make or mend one fault; returns once that is in force."""
    with lab.changing():
        lab.break_on_purpose(arguments.change(lab, lab.faults, arguments))
    return show(lab, arguments)


def _port_25(lab: Lab, faults: Faults, arguments: argparse.Namespace) -> Faults:
    name = arguments.host
    if name != EVERY_HOST:
        host = hosts.find(lab, name)
        if not isinstance(host, Instance):
            raise FaultError(f"port-25 {name}: only EC2 blocks port 25; {name} is outside")
        name = host.name
    return replace(faults, port_25=_with(faults.port_25, name, arguments.switch))


def _certificate(_lab: Lab, faults: Faults, arguments: argparse.Namespace) -> Faults:
    known = [host.namespace for host in POSTFIX_HOSTS]
    if arguments.host not in known:
        raise FaultError(f"certificate {arguments.host}: must be one of {', '.join(known)}")
    state = ON if arguments.which == "wrong" else OFF
    wrong = _with(faults.wrong_certificate, arguments.host, state)
    return replace(faults, wrong_certificate=wrong)


def _listed(_lab: Lab, faults: Faults, arguments: argparse.Namespace) -> Faults:
    try:
        address = str(ipaddress.IPv4Address(arguments.address))
    except ValueError as error:
        raise FaultError(f"listed {arguments.address}: no IPv4 address: {error}") from error
    return replace(faults, listed=_with(faults.listed, address, arguments.switch))


def _with(names: tuple[str, ...], name: str, state: str) -> tuple[str, ...]:
    others = {*names} - {name}
    return tuple(sorted(others | {name})) if state == ON else tuple(sorted(others))


@dataclass(frozen=True)
class Kind:
    """A fault's name on the command line, what it is, what makes or mends it, and its arguments."""

    name: str
    words: str
    change: Change
    arguments: Mapping[str, Mapping[str, Any]]


SWITCH = {"choices": [ON, OFF]}
KINDS = (
    Kind(
        "port-25",
        "mail to public addresses vanishes, as EC2 begins",
        _port_25,
        {"host": {"metavar": f"HOST|{EVERY_HOST}"}, "switch": SWITCH},
    ),
    Kind(
        "nat-idle",
        f"after how long a NAT gateway forgets an idle flow (AWS: {NAT_IDLE})",
        lambda _lab, faults, arguments: replace(faults, nat_idle=arguments.seconds),
        {"seconds": {"type": int, "metavar": "SECONDS"}},
    ),
    Kind(
        "blocklist",
        "how zen.spamhaus.org answers",
        lambda _lab, faults, arguments: replace(faults, blocklist=arguments.mode),
        {"mode": {"choices": get_args(Blocklist)}},
    ),
    Kind(
        "listed",
        "an address on zen.spamhaus.org",
        _listed,
        {"address": {}, "switch": SWITCH},
    ),
    Kind(
        "certificate",
        "what an outside mail host shows",
        _certificate,
        {"host": {"metavar": "HOST"}, "which": {"choices": ["wrong", "right"]}},
    ),
    Kind(
        "null-sender",
        "whether the smarthost takes bounces; Amazon SES does not",
        lambda _lab, faults, arguments: replace(
            faults, null_sender_refused=arguments.switch == "refused"
        ),
        {"switch": {"choices": ["refused", "accepted"]}},
    ),
    Kind(
        "smarthost-plain",
        "the smarthost offers a login, and no TLS",
        lambda _lab, faults, arguments: replace(faults, smarthost_plain=arguments.switch == ON),
        {"switch": SWITCH},
    ),
    Kind(
        "undelegated",
        "the registrar has delegated no zone yet (also: `gatepost lab up --undelegated`)",
        lambda _lab, faults, arguments: replace(faults, undelegated=arguments.switch == ON),
        {"switch": SWITCH},
    ),
    Kind(
        "dns",
        "whether outside resolvers keep what they know for its TTL when the DNS changes",
        lambda _lab, faults, arguments: replace(
            faults, dns_remembered=arguments.switch == "remembered"
        ),
        {"switch": {"choices": ["remembered", "forgotten"]}},
    ),
    Kind("none", "mend everything", lambda _lab, _faults, _arguments: SOUND, {}),
)


def add_parser(commands: argparse._SubParsersAction, run: Callable) -> argparse.ArgumentParser:
    """The command and its own commands; `run` gets the lab and calls `show` or `change`."""
    fault = commands.add_parser(
        "fault",
        help="break something on purpose: port 25, the NAT gateway, a blocklist, a certificate, …",
        description="Without a command: what is broken. Stays until mended, or `down`.",
    )
    fault.set_defaults(run=run, act=show)
    kinds = fault.add_subparsers(metavar="FAULT")
    for kind in KINDS:
        parser = kinds.add_parser(kind.name, help=kind.words, description=kind.words)
        add_json(parser, default=argparse.SUPPRESS)  # as it is before the kind, unless it is here
        parser.set_defaults(act=change, change=kind.change)
        for name, options in kind.arguments.items():
            parser.add_argument(name, **options)
    return fault


def add_json(parser: argparse.ArgumentParser, default: object = False) -> None:
    """The option of commands whose answer is for machines, too."""
    parser.add_argument("--json", action="store_true", default=default, help="for machines")
