"""KMS keys of a stack's own; they outlive what they encrypt."""

from __future__ import annotations

import pulumi_aws as aws
from pulumi import ComponentResource, ResourceOptions

from components.tags import named

DELETION_DAYS = 30
"""Days until a deleted key is gone, in which it can be had back (KMS allows 7 to 30)."""


class Key(ComponentResource):
    """A key for one purpose, with an alias of its name, rotated each year."""

    def __init__(self, name: str, *, purpose: str, protect: bool, opts: ResourceOptions) -> None:
        super().__init__("gatepost:keys:Key", name, None, opts)
        self.key = aws.kms.Key(
            name,
            description=f"{name}: {purpose}",
            enable_key_rotation=True,
            deletion_window_in_days=DELETION_DAYS,
            tags=named(name),
            opts=ResourceOptions(parent=self, protect=protect),
        )
        aws.kms.Alias(
            name,
            name=f"alias/{name}",
            target_key_id=self.key.key_id,
            opts=ResourceOptions(parent=self),
        )
        self.register_outputs({"key": self.key.arn})
