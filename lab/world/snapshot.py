"""A `World` as JSON text and back, without loss; bytes travel as base64."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, fields
from typing import Any

from lab.world.model import (
    AclRule,
    ConnectEndpoint,
    Instance,
    Interface,
    NatGateway,
    NetworkAcl,
    Peering,
    PrefixList,
    Record,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    SigningKey,
    Subnet,
    TransitAttachment,
    TransitRoute,
    TransitTable,
    Volume,
    Vpc,
    World,
    Zone,
)

_PARTS: dict[tuple[type, str], type[Any]] = {
    (World, "vpcs"): Vpc,
    (World, "subnets"): Subnet,
    (World, "route_tables"): RouteTable,
    (World, "nat_gateways"): NatGateway,
    (World, "peerings"): Peering,
    (World, "transit_attachments"): TransitAttachment,
    (World, "transit_tables"): TransitTable,
    (World, "groups"): SecurityGroup,
    (World, "network_acls"): NetworkAcl,
    (World, "prefix_lists"): PrefixList,
    (World, "instances"): Instance,
    (World, "volumes"): Volume,
    (World, "connect_endpoints"): ConnectEndpoint,
    (World, "zones"): Zone,
    (RouteTable, "routes"): Route,
    (TransitTable, "routes"): TransitRoute,
    (SecurityGroup, "rules"): Rule,
    (NetworkAcl, "rules"): AclRule,
    (Instance, "interface"): Interface,
    (ConnectEndpoint, "interface"): Interface,
    (Zone, "records"): Record,
    (Zone, "keys"): SigningKey,
}
"""The class of what a field holds, where that is one of the model's own."""


def to_json(world: World) -> str:
    """Write `world` as JSON; equal worlds give equal text."""
    return json.dumps(asdict(world), default=_encode, indent=1, sort_keys=True)


def from_json(text: str) -> World:
    """Read what `to_json` wrote.

    Raises:
        json.JSONDecodeError: `text` is not JSON.
        TypeError, KeyError: `text` is JSON of another shape.
    """
    return _build(World, json.loads(text))


def _encode(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON: {value!r}")


def _build(cls: type[Any], data: dict[str, Any]) -> Any:
    return cls(**{field.name: _value(cls, field.name, data[field.name]) for field in fields(cls)})


def _value(cls: type[Any], name: str, value: Any) -> Any:
    part = _PARTS.get((cls, name))
    if part is not None and isinstance(value, list):
        return tuple(_build(part, item) for item in value)
    if part is not None:
        return _build(part, value)
    if (cls, name) == (Instance, "user_data"):
        return base64.b64decode(value, validate=True)
    if isinstance(value, list):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value
