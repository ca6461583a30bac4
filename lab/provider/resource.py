"""What a resource type is to the provider: its properties, and four functions over the AWS API."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.provider import values
from lab.provider.aws import Aws
from lab.provider.values import UNKNOWN, Values

Check = Callable[[Any], str | None]
"""Returns what is wrong with a value, or None."""


@dataclass(frozen=True, kw_only=True)
class Property:
    """One input, in the terms of Terraform's schema, which the real provider is made of."""

    required: bool = False
    default: Any = None
    """What an absent input stands for."""
    computed: bool = False
    """An absent input means "whatever AWS has", so that it never differs (Optional+Computed)."""
    replaces: bool = False
    """A change makes a new resource (ForceNew)."""
    secret: bool = False
    unordered: bool = False
    """A list that is a set."""
    fields: Mapping[str, Property] | None = None
    """The properties of an object, or of each object of a list."""
    check: Check | None = None
    normal: Callable[[Any], Any] = field(default=lambda value: value)
    """The form in which two values are compared."""
    refused: str | None = None
    """Why the lab does not take this input."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource type. State and inputs are plain values under their camelCase names."""

    token: str
    inputs: Mapping[str, Property]
    outputs: tuple[str, ...] = ()
    """Unknown in a preview of a creation, as are absent computed inputs."""
    create: Callable[[Aws, Values], str]
    """One API call that makes the object and returns its id."""
    settle: Callable[[Aws, str, Values], None] | None = None
    """The calls that complete a new object; when one fails the object is deleted again."""
    read: Callable[[Aws, str, Values], Values | None]
    """The object's properties as the API reports them now; None when it is gone."""
    update: Callable[[Aws, str, Values, Values, set[str]], None] | None = None
    """Receives the old state, the new inputs and the names of the changed inputs."""
    delete: Callable[[Aws, str, Values], None]
    named: str | None = None
    """The input that gets a generated name (Pulumi's auto-naming) when absent."""
    check: Callable[[Values], Iterable[str]] | None = None
    replaced_by: Callable[[Values, set[str]], set[str]] | None = None
    """More inputs that force a replacement, given the new inputs and the changed names."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A difference at `path` (a property path such as `rootBlockDevice.volumeSize`)."""

    path: str
    kind: str
    """`add`, `delete` or `update`."""
    replaces: bool

    @property
    def name(self) -> str:
        """The top-level input."""
        return self.path.partition(".")[0].partition("[")[0]


def complaints(
    inputs: Mapping[str, Property], given: Values, prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield (path, reason) for every input that is unknown to the table, missing or malformed."""
    for name, value in given.items():
        if name.startswith("__"):
            continue
        known = inputs.get(name)
        if known is None:
            yield prefix + name, f"the lab's provider does not support the property {prefix + name}"
        elif known.refused:
            yield prefix + name, known.refused
        elif value != UNKNOWN:
            yield from _value_complaints(known, value, prefix + name)
    for name, known in inputs.items():
        if known.required and name not in given:
            yield prefix + name, f"missing required property {prefix + name}"


def _value_complaints(known: Property, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if known.fields is not None:
        for where, item in _objects(path, value):
            if isinstance(item, Mapping):
                yield from complaints(known.fields, dict(item), f"{where}.")
            elif item != UNKNOWN:
                yield where, f"{where} must be an object, got {item!r}"
    elif known.check is not None and not values.has_unknown(value):
        reason = known.check(value)
        if reason is not None:
            yield path, f"{path}: {reason}"


def _objects(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, list):
        return [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    return [(path, value)]


def filled(inputs: Mapping[str, Property], given: Values) -> Values:
    """The inputs with their defaults, without the engine's own keys."""
    defaults = {n: p.default for n, p in inputs.items() if p.default is not None}
    return defaults | {k: v for k, v in given.items() if not k.startswith("__")}


def changes(
    inputs: Mapping[str, Property], new: Values, old: Values, prefix: str = ""
) -> Iterator[Change]:
    """Yield how `new` inputs differ from the `old` state."""
    for name, known in inputs.items():
        if known.refused or (name not in new and known.computed):
            continue
        wanted, actual = new.get(name, known.default), old.get(name)
        if known.fields is not None and isinstance(wanted, Mapping) and isinstance(actual, Mapping):
            yield from changes(known.fields, dict(wanted), dict(actual), f"{prefix}{name}.")
        elif differs(known, wanted, actual):
            yield Change(path=prefix + name, kind=_kind(wanted, actual), replaces=known.replaces)


def _kind(wanted: Any, actual: Any) -> str:
    if _blank(actual):
        return "add"
    return "delete" if _blank(wanted) else "update"


def differs(known: Property, wanted: Any, actual: Any) -> bool:
    """Whether an input differs from the state; absent, empty and false are the same."""
    if _blank(wanted) and _blank(actual):
        return False
    if values.has_unknown(wanted):
        return True
    if known.fields is not None and isinstance(wanted, list) and isinstance(actual, list):
        return len(wanted) != len(actual) or _items_differ(known, wanted, actual)
    if _blank(wanted) or _blank(actual):
        return True
    if known.unordered and isinstance(wanted, list) and isinstance(actual, list):
        return sorted(map(known.normal, wanted)) != sorted(map(known.normal, actual))
    return known.normal(wanted) != known.normal(actual)


def _items_differ(known: Property, wanted: Sequence[Any], actual: Sequence[Any]) -> bool:
    assert known.fields is not None
    if known.unordered:
        wanted, actual = sorted(wanted, key=repr), sorted(actual, key=repr)
    fields = known.fields
    return any(any(changes(fields, w, a)) for w, a in zip(wanted, actual, strict=True))


def _blank(value: Any) -> bool:
    return value is None or value is False or (not value and isinstance(value, (str, list, dict)))


def settled(inputs: Mapping[str, Property], state: Values, actual: Values) -> Values:
    """The state after a reading: what did not really change keeps its present form and order."""
    merged = dict(state)
    for name, value in actual.items():
        known = inputs.get(name)
        same = known is not None and name in state and not differs(known, state[name], value)
        if not same:
            merged[name] = value
    return {name: value for name, value in merged.items() if value is not None}
