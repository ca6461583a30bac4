"""Tags, found by their resource instead of by looking through all of the account's.

moto asks for the tags of each object that it shows by a search over every tag there is: an account
with hundreds of VPCs would take seconds for what takes AWS no longer than before.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.models.tags import TagBackend
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE, get_prefix

WILDCARDS = set("*?\\")


def describe_tags(
    moto: Any, self: Any, filters: dict[str, list[str]] | None = None
) -> list[dict[str, str]]:
    """The tags of whole ids at once; any other search is moto's."""
    if filters is None or set(filters) != {"resource-id"}:
        return moto(self, filters)
    wanted = filters["resource-id"]
    if any(set(identifier) & WILDCARDS for identifier in wanted):
        return moto(self, filters)
    return [
        {
            "resource_id": identifier,
            "key": key,
            "value": value,
            "resource_type": EC2_PREFIX_TO_RESOURCE.get(get_prefix(identifier), ""),
        }
        for identifier in dict.fromkeys(wanted)
        if identifier in self.tags
        for key, value in self.tags[identifier].items()
    ]


CORRECTIONS = ((TagBackend, "describe_tags", describe_tags),)
