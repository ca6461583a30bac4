"""Small tools for the answers of boto3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def pages(client: Any, call: str, key: str, **parameters: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the items under `key` from every page of `call`."""
    for page in client.get_paginator(call).paginate(**parameters):
        yield from page[key]


def filters(**values: list[str]) -> list[dict[str, Any]]:
    """EC2 filters: `filters(state=["available"])`; `_` stands for `-` in a filter's name."""
    return [{"Name": name.replace("_", "-"), "Values": value} for name, value in values.items()]


def tags(item: Mapping[str, Any]) -> dict[str, str]:
    """The tags of an EC2 object as a dictionary."""
    return {tag["Key"]: tag["Value"] for tag in item.get("Tags", ())}
