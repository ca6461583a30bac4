"""All resource types by their token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lab.provider.resource import Property, Resource
from lab.provider.types import (
    acls,
    addresses,
    groups,
    iam,
    instances,
    interfaces,
    kms,
    objects,
    route53,
    routing,
    s3,
    ssm,
    transit,
    volumes,
    vpc,
)

GLOBAL_SERVICES = ("aws:iam/", "aws:route53/")
"""Services without Regions: their resources take no `region`."""


def _with_region(resource: Resource) -> Resource:
    """Since version 7 of the real provider each regional resource takes a `region`."""
    if resource.token.startswith(GLOBAL_SERVICES):
        return resource
    region = Property(computed=True, replaces=True)
    return replace(resource, inputs={**resource.inputs, "region": region})


RESOURCES: Mapping[str, Resource] = {
    resource.token: _with_region(resource)
    for module in (
        acls,
        addresses,
        groups,
        iam,
        instances,
        interfaces,
        kms,
        objects,
        route53,
        routing,
        s3,
        ssm,
        transit,
        volumes,
        vpc,
    )
    for resource in module.TYPES
}
