"""All resource types by their token: the TYPES of every module in lab/provider/types."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib import import_module

from lab.provider import types
from lab.provider.resource import Property, Resource

GLOBAL_SERVICES = ("aws:iam/", "aws:route53/")
"""Services without Regions: their resources take no `region`."""

NO_TYPES = ("common",)
"""Modules that hold what several types share."""


def _listed() -> Iterator[Resource]:
    for module in pkgutil.iter_modules(types.__path__):
        if module.name not in NO_TYPES:
            yield from import_module(f"{types.__name__}.{module.name}").TYPES


def _with_region(resource: Resource) -> Resource:
    """Since version 7 of the real provider each regional resource takes a `region`."""
    if resource.token.startswith(GLOBAL_SERVICES):
        return resource
    region = Property(computed=True, replaces=True)
    return replace(resource, inputs={**resource.inputs, "region": region})


RESOURCES: Mapping[str, Resource] = {
    resource.token: _with_region(resource) for resource in _listed()
}
