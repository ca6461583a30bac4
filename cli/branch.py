"""`gatepost branch new`: a branch's or an office's stack file, with a free network."""

from __future__ import annotations

import argparse
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import yaml

from cli.words import complain
from cli.written import write_new
from lab.stackfile import FOLDER, read_stack
from model import addressing
from model.fields import SettingsError
from model.neighbours import Neighbour, conflicts, stack_name
from model.settings import Environment, read_branch, read_environment, read_office
from stacks.settings import neighbours

LENGTH = 24
"""The prefix of a network that is chosen: 256 addresses, the seed's own size of a branch."""

BRANCH = """\
# A branch of the environment "{environment}": keeps its own people's mail, the rest is the hub's.
config:
  pulumi:disable-default-providers: [aws]
  gatepost:kind: branch
  gatepost:branch:
    name: {name}
    environment: {environment}
    region: {region}
    # The zone of its server; any of the Region will do.
    zone: {zone}
    # Within the environment's {supernet}, and no other branch's. It cannot be changed later.
    network: {network}
    host: {host}
    # Who has a mailbox here.
    people: {people}
    # Debian 13, the environment's own; forward with gatepost image update.
    image: {image}
    instance_type: {instance_type}
    administrator_key: {administrator_key}
"""

OFFICE = """\
# An office of the environment "{environment}" that is not on AWS: a VPN leads to its mail server.
# What its administrator needs: gatepost branch files {environment}-{name} --out DIR
config:
  pulumi:disable-default-providers: [aws]
  gatepost:kind: office
  gatepost:office:
    name: {name}
    environment: {environment}
    region: {region}
    # The office's own network, within the environment's {supernet}, and no other branch's.
    network: {network}
    # Its mail server there.
    host: {host}
    address: {address}
    # The public address of its VPN gateway.
    gateway: {gateway}
    # Who has a mailbox there.
    people: {people}
"""

PEOPLE = """\
# Who has a mailbox at {name}: addresses in {domains}.
users: []
"""


def new(arguments: argparse.Namespace, project: Path) -> int:
    """Write the stack file and the file of people; 1, and no file, if anything is wrong."""
    try:
        written = files(arguments, project)
        for path in written:
            if path.exists():
                raise FileExistsError(f"{path} exists: remove it, or choose another name")
        write_new(written)
    except (SettingsError, OSError, ValueError) as error:
        complain(f"branch new: {error}")
        return 1
    stack = stack_name(arguments.environment, arguments.name)
    print("\n".join(str(path) for path in written))
    print(f"now: put its people in, then pulumi stack init {stack} && pulumi up -s {stack}")
    return 0


def files(arguments: argparse.Namespace, project: Path) -> dict[Path, str]:
    """The two files of a new branch, by path; raises SettingsError or ValueError."""
    folder = project / FOLDER
    stack = stack_name(arguments.environment, arguments.name)
    environment = _environment(project, arguments.environment)
    others = neighbours(arguments.environment, stack, folder)
    text = _text(arguments, environment, others)
    _check(stack, text, environment, others)
    people = PEOPLE.format(name=arguments.name, domains=", ".join(environment.domains))
    return {
        folder / f"Pulumi.{stack}.yaml": text,
        folder / _people_file(arguments): people,
    }


def _environment(project: Path, name: str) -> Environment:
    config = read_stack(project, name)
    raw = config.get("gatepost:environment")
    if raw is None:
        kind = config.get("gatepost:kind", "a stack without a gatepost:kind")
        raise SettingsError([f"stack {name}: must be an environment, got {kind}"])
    values, problems = read_environment(raw)
    if problems:
        raise SettingsError(problems)
    return Environment(**values)


def _text(arguments: argparse.Namespace, environment: Environment, others: list[Neighbour]) -> str:
    network = _network(arguments, environment, others)
    common = {
        "name": arguments.name,
        "environment": arguments.environment,
        "region": environment.region,
        "supernet": environment.branches,
        "network": network,
        "host": arguments.host,
        "people": _people_file(arguments),
    }
    if arguments.gateway:
        address = arguments.address or _fifth(network)
        return OFFICE.format(**common, address=address, gateway=arguments.gateway)
    return BRANCH.format(
        **common,
        zone=environment.zones[0],
        image=environment.image,
        instance_type=environment.instance_type,
        administrator_key=environment.administrator_key,
    )


def _fifth(network: IPv4Network) -> IPv4Address:
    """Where an office's server is unless it is said; raises ValueError for too small a network."""
    if network.num_addresses <= addressing.HUB_HOST:
        raise ValueError(
            f"office.network: must have {addressing.HUB_HOST + 1} addresses or more, got {network}"
        )
    return network[addressing.HUB_HOST]


def _network(
    arguments: argparse.Namespace, environment: Environment, others: list[Neighbour]
) -> IPv4Network:
    if arguments.network:
        return IPv4Network(arguments.network)
    taken = [other.network for other in others if other.network]
    return addressing.free_network(environment.branches, taken, LENGTH)


def _check(stack: str, text: str, environment: Environment, others: list[Neighbour]) -> None:
    """Judge what would be written as `pulumi up` will; raises SettingsError."""
    config: dict[str, Any] = yaml.safe_load(text)["config"]
    kind = config["gatepost:kind"]
    read = {"branch": read_branch, "office": read_office}[kind]
    values, problems = read(config[f"gatepost:{kind}"])
    seen = {key: values.get(key) for key in ("network", "name", "host", "gateway")}
    problems += conflicts(kind, Neighbour(where=f"stack {stack}", **seen), others)
    network = values.get("network")
    if network and not network.subnet_of(environment.branches):
        problems.append(
            f"{kind}.network: must be within {environment.branches}, the environment's supernet, "
            f"got {network}"
        )
    if values.get("host") in (environment.hub.host, *environment.relay_hosts, *environment.domains):
        problems.append(f"{kind}.host: must be a name of its own, got {values['host']!r}")
    if problems:
        raise SettingsError(problems)


def _people_file(arguments: argparse.Namespace) -> str:
    return f"people/{stack_name(arguments.environment, arguments.name)}.yaml"
