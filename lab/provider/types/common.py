"""Properties that many types share."""

from __future__ import annotations

from collections.abc import Iterable

from lab.provider import checks
from lab.provider.resource import Property
from lab.provider.values import Values

TAGS = Property(check=checks.tags)
TIMEOUTS = Property(computed=True)
"""Limits of the real provider's waiting; the emulator answers at once."""
POLICY = Property(required=True, check=checks.policy, normal=checks.same_json)


def exactly_one(new: Values, *names: str) -> Iterable[str]:
    """Complain unless one of the inputs is given."""
    given = [name for name in names if name in new]
    if len(given) != 1:
        yield f"exactly one of {', '.join(names)} is needed, got {', '.join(given) or 'none'}"
