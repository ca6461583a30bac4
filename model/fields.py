"""Typed settings from plain data: declare fields, get every error at once.

A settings class is a frozen dataclass whose fields are made by `setting(kind, doc)`. A *kind* turns
a raw value into a typed one or raises `ValueError` with the half-sentence that follows the path:
`must be between 1 and 4, got 9`.
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

Kind = Callable[[Any], Any]

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A host name label: RFC 1123 section 2.1, at most 63 characters (RFC 1035 section 2.3.4)."""


class SettingsError(Exception):
    """Everything wrong with a stack's settings; `problems` has one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__(f"{len(problems)} {noun} in the settings:\n  " + "\n  ".join(problems))


class Problems(ValueError):
    """What is wrong within a value that has parts: (path within it, sentence) of each part."""

    def __init__(self, parts: list[tuple[str, str]]) -> None:
        self.parts = parts
        super().__init__("; ".join(f"{path}: {sentence}" for path, sentence in parts))


def setting(kind: Kind, doc: str, **default: Any) -> Any:
    """A dataclass field read by `kind` and described by `doc`; `default=` makes it optional."""
    return dataclasses.field(metadata={"kind": kind, "doc": doc}, **default)


def unknown_key(path: str, key: object, known: list[str]) -> str:
    """The sentence for a key that means nothing, with the nearest one that does."""
    near = difflib.get_close_matches(str(key), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"{path}: unknown key; {hint}"


def read(cls: type[Any], data: object, path: str = "") -> tuple[dict[str, Any], list[str]]:
    """Read `data` as the settings class `cls`.

    Returns the values that could be read, by field name, and a sentence for each that could not,
    so that checks across fields can still run on the rest. Errors name `path` and the key.
    """
    if not isinstance(data, Mapping):
        return {}, [f"{path or 'settings'}: must be a mapping of keys, got {data!r}"]
    fields = {f.name: f for f in dataclasses.fields(cls)}
    where = f"{path}." if path else ""
    problems = [
        unknown_key(f"{where}{key}", key, list(fields)) for key in data if key not in fields
    ]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in data:
            if field.default is not dataclasses.MISSING:
                values[name] = field.default
            elif field.default_factory is not dataclasses.MISSING:
                values[name] = field.default_factory()
            else:
                problems.append(f"{where}{name}: missing; {field.metadata['doc']}")
            continue
        try:
            values[name] = field.metadata["kind"](data[name])
        except Problems as problem:
            problems += [f"{where}{name}{path}: {text}" for path, text in problem.parts]
        except ValueError as problem:
            problems.append(f"{where}{name}: {problem}")
    return values, problems


def record(cls: type[Any]) -> Kind:
    """A mapping read as the settings class `cls`."""

    def kind(raw: Any) -> Any:
        values, problems = read(cls, raw)
        if problems:
            raise Problems([_part(problem) for problem in problems])
        return cls(**values)

    return kind


def records(cls: type[Any], least: int, most: int) -> Kind:
    """A list of `least` to `most` mappings, each read as the settings class `cls`."""
    one = record(cls)

    def kind(raw: Any) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            raise ValueError(f"must be a list of {least} to {most}, got {raw!r}")
        found, parts = each(one, raw)
        if not least <= len(raw) <= most:
            parts.insert(0, ("", f"must be between {least} and {most}, got {len(raw)}"))
        if parts:
            raise Problems(parts)
        return tuple(found)

    return kind


def _part(problem: str) -> tuple[str, str]:
    path, _, text = problem.partition(": ")
    return (f".{path}" if path != "settings" else ""), text


def text(raw: Any) -> str:
    """A non-empty string."""
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError(f"must be a text, got {raw!r}")
    return raw


def matching(pattern: str, meaning: str) -> Kind:
    """A string that matches `pattern` as a whole; `meaning` ends `must be …`."""
    compiled = re.compile(pattern)

    def kind(raw: Any) -> str:
        if not isinstance(raw, str) or not compiled.fullmatch(raw):
            raise ValueError(f"must be {meaning}, got {raw!r}")
        return raw

    return kind


def one_of(*choices: str) -> Kind:
    """One of a few words."""

    def kind(raw: Any) -> str:
        if raw not in choices:
            raise ValueError(f"must be {' or '.join(choices)}, got {raw!r}")
        return raw

    return kind


def flag(raw: Any) -> bool:
    """True or false; YAML's words for them are read by YAML, a quoted one is refused."""
    if not isinstance(raw, bool):
        raise ValueError(f"must be true or false, got {raw!r}")
    return raw


def number(least: int, most: int, unit: str) -> Kind:
    """A whole number of `unit` within the two bounds."""

    def kind(raw: Any) -> int:
        if isinstance(raw, bool) or not isinstance(raw, int) or not least <= raw <= most:
            raise ValueError(f"must be between {least} and {most} {unit}, got {raw!r}")
        return raw

    return kind


def several(item: Kind, least: int, most: int) -> Kind:
    """A list of `least` to `most` values of one kind, none twice."""

    def kind(raw: Any) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            raise ValueError(f"must be a list of {least} to {most}, got {raw!r}")
        found, parts = each(item, raw)
        if not least <= len(raw) <= most:
            parts.append(("", f"must be between {least} and {most}, got {len(raw)}"))
        twice = sorted({str(one) for one in found if found.count(one) > 1})
        if twice:
            parts.append(("", f"must name each once, got {', '.join(twice)} twice"))
        if parts:
            raise Problems(parts)
        return tuple(found)

    return kind


def each(item: Kind, raw: list[Any]) -> tuple[list[Any], list[tuple[str, str]]]:
    """What could be read of a list of one kind, and (place, sentence) of what could not."""
    found: list[Any] = []
    parts: list[tuple[str, str]] = []
    for index, one in enumerate(raw):
        try:
            found.append(item(one))
        except Problems as problem:
            parts += [(f"[{index}]{path}", text) for path, text in problem.parts]
        except ValueError as problem:
            parts.append((f"[{index}]", str(problem)))
    return found, parts


def mapping(key: Kind, value: Kind, most: int) -> Kind:
    """A mapping of at most `most` keys of one kind to values of another, in the file's order."""

    def kind(raw: Any) -> dict[Any, Any]:
        if not isinstance(raw, Mapping):
            raise ValueError(f"must be a mapping, got {raw!r}")
        if len(raw) > most:
            raise ValueError(f"must have at most {most} keys, got {len(raw)}")
        parts: list[tuple[str, str]] = []
        found = {}
        for name, item in raw.items():
            pair, wrong = each(lambda half: half[0](half[1]), [(key, name), (value, item)])
            parts += [(f".{name}{path[3:]}", text) for path, text in wrong]
            if not wrong:
                found[pair[0]] = pair[1]
        if parts:
            raise Problems(parts)
        return found

    return kind


def domain(raw: Any) -> str:
    """A DNS name of two labels or more, lower case, no final dot, at most 253 characters."""
    labels = raw.split(".") if isinstance(raw, str) else []
    if len(labels) < 2 or len(raw) > 253 or not all(LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"must be a domain name in lower case such as example.jp, got {raw!r}")
    return raw


def network(shortest: int, longest: int, *, private: bool = True) -> Kind:
    """An IPv4 network with a prefix length within the two bounds, of private address space
    (RFC 1918) or not."""

    def kind(raw: Any) -> ipaddress.IPv4Network:
        try:
            net = ipaddress.IPv4Network(raw)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"must be an IPv4 network such as 10.1.0.0/16, got {raw!r} ({error})"
            ) from None
        if not shortest <= net.prefixlen <= longest:
            raise ValueError(f"must be between /{shortest} and /{longest}, got /{net.prefixlen}")
        if any(net.subnet_of(block) for block in PRIVATE) is not private:
            no = "" if private else "no "
            raise ValueError(f"must be {no}private address space (RFC 1918), got {net}")
        return net

    return kind


def private_address(raw: Any) -> ipaddress.IPv4Address:
    """A private IPv4 address (RFC 1918)."""
    found = _address(raw)
    if not is_private(found):
        raise ValueError(f"must be private address space (RFC 1918), got {found}")
    return found


def public_address(raw: Any) -> ipaddress.IPv4Address:
    """An IPv4 address that is none of private address space (RFC 1918), and no host's own."""
    found = _address(raw)
    if is_private(found) or found.is_loopback or found.is_multicast:
        raise ValueError(f"must be a public address, got {found}")
    return found


def host_address(raw: Any) -> ipaddress.IPv4Address:
    """The IPv4 address of a host, private or public."""
    found = _address(raw)
    return found if is_private(found) else public_address(raw)


def is_private(address: ipaddress.IPv4Address) -> bool:
    """Whether the address is one of private address space (RFC 1918)."""
    return any(address in block for block in PRIVATE)


def _address(raw: Any) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(raw)
    except (ValueError, TypeError):
        raise ValueError(f"must be an IPv4 address such as 10.1.0.5, got {raw!r}") from None


PRIVATE = tuple(
    ipaddress.IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
