"""Property values of the engine's protocol as plain Python values, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.runtime.rpc import UNKNOWN

Values = dict[str, Any]
Properties = Mapping[str, PropertyValue]


def plain(properties: Properties) -> Values:
    """Plain values without secret marks; null means absent, whole numbers are int."""
    return {key: _plain(value) for key, value in properties.items() if value.value is not None}


def _plain(value: PropertyValue) -> Any:
    inner = value.value
    if isinstance(inner, Mapping):
        return plain(inner)
    if isinstance(inner, tuple):
        return [_plain(item) for item in inner]
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    return inner


def wrapped(values: Mapping[str, Any], secret: Iterable[str] = ()) -> dict[str, PropertyValue]:
    """Protocol values of plain ones; the keys in `secret` are marked as secrets."""
    hidden = set(secret)
    return {
        key: PropertyValue(_wrapped(value).value, is_secret=key in hidden)
        for key, value in values.items()
        if value is not None
    }


def _wrapped(value: Any) -> PropertyValue:
    if isinstance(value, Mapping):
        return PropertyValue({k: _wrapped(v) for k, v in value.items() if v is not None})
    if isinstance(value, (list, tuple)):
        return PropertyValue([_wrapped(item) for item in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    return PropertyValue(value)


def secret_keys(properties: Properties) -> set[str]:
    """The top-level keys whose value is or contains a secret."""
    return {key for key, value in properties.items() if value.contains_secret()}


def has_unknown(value: Any) -> bool:
    """Whether a plain value is, or contains, what a preview cannot know yet."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return value == UNKNOWN
