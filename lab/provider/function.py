"""What a function (a data source) is to the provider."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lab.provider.aws import Aws, ProviderError
from lab.provider.values import Values

Call = Callable[[Aws, Values], Values]
"""From the arguments of a function to its result."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function with the arguments it takes and the results that are secret."""

    arguments: tuple[str, ...]
    call: Call
    required: tuple[str, ...] = ()
    secret: tuple[str, ...] = ()
    anywhere: bool = False
    """Whether `region` may be another Region than the lab's."""


def check(token: str, function: Function, arguments: Values, region: str) -> None:
    """Raises ProviderError for an argument that is unknown, missing or of another Region."""
    for name in arguments:
        if name not in function.arguments:
            raise ProviderError(f"{token}: the argument {name} is not supported")
    for name in function.required:
        if name not in arguments:
            raise ProviderError(f"{token}: the argument {name} is missing")
    asked = arguments.get("region", region)
    if asked != region and not function.anywhere:
        raise ProviderError(f"{token}: the lab has one Region, {region}, got {asked}")


def filters(arguments: Values) -> list[dict[str, Any]]:
    """The API's filters of the argument `filters`."""
    return [
        {"Name": item["name"], "Values": item["values"]} for item in arguments.get("filters", [])
    ]
