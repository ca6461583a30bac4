"""Whether EC2 can launch what a stack's hosts name: an image, and a type that fits and is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pulumi_aws as aws
from pulumi import InvokeOptions

from model import quotas
from model.fields import SettingsError
from model.settings import Branch, Environment


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a host is launched from and where, and the keys of the stack file that say so."""

    image: str
    image_key: str
    instance_type: str
    type_key: str
    zone: str
    zone_key: str


def of_environment(settings: Environment) -> Iterator[Machine]:
    """The relays and the hub; what a host does not name itself the environment does."""
    relays = [(f"environment.relays[{n}]", r, r.zone) for n, r in enumerate(settings.relays)]
    for path, host, zone in [*relays, ("environment.hub", settings.hub, "")]:
        yield Machine(
            image=host.image or settings.image,
            image_key=f"{path if host.image else 'environment'}.image",
            instance_type=host.instance_type or settings.instance_type,
            type_key=f"{path if host.instance_type else 'environment'}.instance_type",
            zone=zone or settings.zones[0],
            zone_key=f"{path}.zone" if zone else "environment.zones[0]",
        )


def of_branch(settings: Branch) -> Iterator[Machine]:
    """The branch's server."""
    yield Machine(
        image=settings.image,
        image_key="branch.image",
        instance_type=settings.instance_type,
        type_key="branch.instance_type",
        zone=settings.zone,
        zone_key="branch.zone",
    )


def vcpus(machines: Iterable[Machine], provider: aws.Provider) -> int:
    """How many vCPUs the Standard ones among the hosts' instance types have together."""
    types = [machine.instance_type for machine in machines]
    options = InvokeOptions(provider=provider)
    each = {
        name: aws.ec2.get_instance_type(instance_type=name, opts=options).default_vcpus
        for name in set(types)
        if name[0] in quotas.STANDARD
    }
    return sum(each.get(name, 0) for name in types)


def check(machines: Iterable[Machine], region: str, provider: aws.Provider) -> None:
    """Raise SettingsError for each image that is not there or that does not run on its type.

    So too for a type that its zone lacks. EC2 would say so only once the old host is gone, as that
    makes room for the new one.
    """
    options = InvokeOptions(provider=provider)
    machines = tuple(machines)
    zones = _zones({machine.instance_type for machine in machines}, options)
    problems: dict[str, None] = {}
    for machine in machines:
        architecture = _architecture(machine.image, options)
        if not architecture:
            problems[
                f"{machine.image_key}: must be an image that this account may launch in {region}, "
                f"got {machine.image}"
            ] = None
        elif not _runs(machine.instance_type, architecture, options):
            problems[
                f"{machine.type_key}: must be an instance type of {region} with the architecture "
                f"{architecture}, as {machine.image_key} {machine.image} has, got "
                f"{machine.instance_type}"
            ] = None
        elif machine.zone not in zones[machine.instance_type]:
            problems[
                f"{machine.zone_key}: must be a zone that has {machine.type_key} "
                f"{machine.instance_type} ({', '.join(zones[machine.instance_type])}), got "
                f"{machine.zone}"
            ] = None
    if problems:
        raise SettingsError(list(problems))


def _architecture(image: str, options: InvokeOptions) -> str:
    """The architecture of an image; empty if there is none of that id."""
    only: list[Any] = [{"name": "image-id", "values": [image]}]
    try:
        # An image is pinned for longer than it is offered to new users.
        found = aws.ec2.get_ami(filters=only, include_deprecated=True, opts=options)
    except Exception as error:
        # Pulumi raises a plain Exception; the words are the provider's for an empty answer.
        if "query returned no results" not in str(error):
            raise
        return ""
    return found.architecture


def _zones(types: Iterable[str], options: InvokeOptions) -> dict[str, list[str]]:
    """The zones of the Region that have each instance type: not every zone has every one."""
    only: list[Any] = [{"name": "instance-type", "values": sorted(types)}]
    found = aws.ec2.get_instance_type_offerings(
        filters=only, location_type="availability-zone", opts=options
    )
    pairs = sorted(zip(found.instance_types, found.locations, strict=True))
    return {name: [zone for each, zone in pairs if each == name] for name in types}


def _runs(instance_type: str, architecture: str, options: InvokeOptions) -> bool:
    """Whether there is an instance type of that name and architecture in the Region."""
    only: list[Any] = [
        {"name": "instance-type", "values": [instance_type]},
        {"name": "processor-info.supported-architecture", "values": [architecture]},
    ]
    found = aws.ec2.get_instance_types(filters=only, opts=options)
    return instance_type in found.instance_types
