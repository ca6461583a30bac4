"""What every stack does alike: the provider, and a host as the outputs show it."""

from __future__ import annotations

from typing import Any

import pulumi_aws as aws
from pulumi import Input

from components.tags import STACK


def provider(stack: str, region: str) -> aws.Provider:
    """The one provider of a stack, with the tags that tell whose a resource is."""
    return aws.Provider("aws", region=region, default_tags={"tags": {STACK: stack}})


def host_output(
    host: str, role: str, private_ip: str, instance: aws.ec2.Instance, public_ip: Input[str]
) -> dict[str, Any]:
    """One host as the stack's outputs list it."""
    return {
        "host": host,
        "role": role,
        "private_ip": private_ip,
        "public_ip": public_ip,
        "instance": instance.id,
    }
