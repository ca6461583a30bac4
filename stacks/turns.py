"""Whose turn it is: of several relays that are out of date, one `up` replaces one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws
from pulumi import InvokeOptions

from components.tags import BIRTH, STACK
from userdata import render

ALIVE = ["pending", "running", "stopping", "stopped"]
"""States of an instance that is there (EC2 User Guide, "Instance state changes")."""


def birth(image: str, instance_type: str, document: str) -> str:
    """A short name for what a host is made from; `document` is its user data, ids left out.

    Raises SettingsError if it exceeds EC2's limit: at preview, when the ids are not known yet.
    """
    render.pack(document)
    text = "\n".join((image, instance_type, document))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def held(stack: str, births: Mapping[str, str], provider: aws.Provider) -> set[str]:
    """The hosts, of those in `births`, that must wait.

    A host that has an instance of another birth is out of date. The first of them is replaced
    now, the others keep what they have until the next `up`: never two relays at a time.
    """
    stale = [host for host in births if _is_stale(stack, host, births[host], provider)]
    if len(stale) > 1:
        pulumi.log.warn(
            f"this `up` renews {stale[0]} only; {', '.join(stale[1:])} wait: "
            "run it again once mail comes in"
        )
    return set(stale[1:])


def _is_stale(stack: str, host: str, wanted: str, provider: aws.Provider) -> bool:
    tags = {"Name": host, STACK: stack}
    return bool(_ids(tags, provider)) and not _ids(tags | {BIRTH: wanted}, provider)


def _ids(tags: Mapping[str, str], provider: aws.Provider) -> Sequence[str]:
    found = aws.ec2.get_instances(
        instance_tags=tags, instance_state_names=ALIVE, opts=InvokeOptions(provider=provider)
    )
    return found.ids
