"""What the lab takes of the caller's environment: all but what leads to a real account."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

FORGOTTEN = (
    *("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"),
    *("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "PULUMI_ACCESS_TOKEN", "PYTHONDONTWRITEBYTECODE"),
)
"""Variables that nothing of the lab may see: a real account, or Python without bytecode, which
makes every run compile pulumi_aws anew. To be empty is not enough: botocore then looks for a
profile without a name."""


def remembered(caller: Mapping[str, str]) -> dict[str, str]:
    """An environment without what is FORGOTTEN."""
    return {name: value for name, value in caller.items() if name not in FORGOTTEN}


def forget(environment: MutableMapping[str, str]) -> None:
    """Take what is FORGOTTEN out of an environment, such as this process's own."""
    for name in FORGOTTEN:
        environment.pop(name, None)
