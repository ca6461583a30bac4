"""What a stack file says: the settings of an environment and of a branch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from model import fields
from model.fields import SettingsError, setting

KINDS = ("environment", "branch")

NAME = fields.matching(
    r"[a-z][a-z0-9-]{0,19}", "1 to 20 of a-z, 0-9 and -, beginning with a letter"
)
REGION = fields.matching(r"[a-z]{2}(-[a-z]+)+-\d", "an AWS Region such as us-east-1")
ZONE = fields.matching(
    r"[a-z]{2}(-[a-z]+)+-\d[a-z]", "an availability zone's name such as us-east-1a"
)
IMAGE = fields.matching(
    r"ami-([0-9a-f]{8}|[0-9a-f]{17})", "an image id such as ami-0123456789abcdef0"
)
INSTANCE_TYPE = fields.matching(r"[a-z0-9-]+\.[a-z0-9]+", "an instance type such as t4g.small")
SSH_KEY = fields.matching(
    r"(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/]+=*( .*)?",
    "one OpenSSH public key (EC2 takes ssh-ed25519 and ssh-rsa)",
)


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A company's mail: its domains, the relay in the DMZ and the hub inside."""

    region: str = setting(REGION, "the AWS Region")
    zone: str = setting(ZONE, "the availability zone of all its hosts")
    network: IPv4Network = setting(
        fields.network(16, 20), "the VPC's IPv4 network, /16 to /20; subnets are cut from it"
    )
    branches: IPv4Network = setting(
        fields.network(8, 24), "the supernet of all branches; only it may reach the hub's port 25"
    )
    domains: tuple[str, ...] = setting(fields.domains, "the mail domains, the primary first")
    relay: str = setting(fields.domain, "the relay's host name: what the Internet sees")
    hub: str = setting(fields.domain, "the hub's host name")
    outbound: str = setting(
        fields.one_of("relay", "direct"),
        "how the hub sends to the Internet: through the relay, or direct through NAT",
        default="relay",
    )
    delegated: bool = setting(
        fields.flag,
        "whether the registrar's delegation points at the zones; reverse names wait for it",
        default=False,
    )
    people: str = setting(fields.text, "the file of people, relative to the stack file")
    image: str = setting(IMAGE, "the Debian 13 image id, pinned")
    instance_type: str = setting(INSTANCE_TYPE, "the hosts' instance type", default="t4g.small")
    administrator_key: str = setting(SSH_KEY, "the public key of the administrators' SSH")


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A branch office: a VPC of its own whose server keeps local mail, the rest is the hub's."""

    name: str = setting(NAME, "the branch's name")
    environment: str = setting(NAME, "the stack name of its environment")
    region: str = setting(REGION, "the AWS Region, the same as the environment's")
    zone: str = setting(ZONE, "the availability zone of its server")
    network: IPv4Network = setting(
        fields.network(16, 26), "its VPC's IPv4 network, within the environment's supernet"
    )
    host: str = setting(fields.domain, "its mail server's host name")
    people: str = setting(fields.text, "the file of its people, relative to the stack file")
    image: str = setting(IMAGE, "the Debian 13 image id, pinned")
    instance_type: str = setting(INSTANCE_TYPE, "the server's instance type", default="t4g.small")
    administrator_key: str = setting(SSH_KEY, "the public key of the administrators' SSH")


def read_environment(raw: object) -> tuple[dict[str, Any], list[str]]:
    """Read an environment's settings: the values that are right, and every problem."""
    values, problems = fields.read(Environment, raw, "environment")
    return values, problems + list(_environment_problems(values))


def read_branch(raw: object) -> tuple[dict[str, Any], list[str]]:
    """Read a branch's settings: the values that are right, and every problem."""
    values, problems = fields.read(Branch, raw, "branch")
    return values, problems + list(_zone_problems("branch", values))


def check_kind(raw: object) -> str:
    """The kind of stack that a stack file describes; raises SettingsError for any other."""
    if raw not in KINDS:
        raise SettingsError([f"kind: must be {' or '.join(KINDS)}, got {raw!r}"])
    return str(raw)


def _zone_problems(path: str, values: dict[str, Any]) -> Iterator[str]:
    region, zone = values.get("region"), values.get("zone")
    if region and zone and zone[:-1] != region:
        yield f"{path}.zone: must be in {region}, got {zone!r}"


def _environment_problems(values: dict[str, Any]) -> Iterator[str]:
    yield from _zone_problems("environment", values)
    network, branches = values.get("network"), values.get("branches")
    if network and branches and network.overlaps(branches):
        yield f"environment.branches: must not overlap the network {network}, got {branches}"
    relay, hub, names = values.get("relay"), values.get("hub"), values.get("domains")
    if relay and relay == hub:
        yield f"environment.hub: must differ from the relay's name, got {hub!r}"
    if not names:
        return
    if relay and not relay.endswith(f".{names[0]}"):
        # Its A record goes into the primary domain's zone.
        yield f"environment.relay: must be a host of {names[0]}, got {relay!r}"
    for key, host in (("relay", relay), ("hub", hub)):
        if host in names:
            yield f"environment.{key}: must not be a mail domain itself, got {host!r}"
