"""What every stack does alike: the provider, and a host as the outputs show it."""

from __future__ import annotations

from typing import Any

import pulumi_aws as aws
from pulumi import Input, InvokeOptions

from components.tags import ENVIRONMENT, STACK
from model import contract
from model.contract import Contract
from model.fields import SettingsError
from model.settings import Environment


def provider(stack: str, region: str, environment: str) -> aws.Provider:
    """The one provider of a stack, with the tags that tell whose a resource is."""
    tags = {STACK: stack, ENVIRONMENT: environment}
    return aws.Provider("aws", region=region, default_tags={"tags": tags})


def read_contract(
    environment: str, region: str, aws_provider: aws.Provider
) -> tuple[Contract, str]:
    """The contract of an environment, and the account that was asked for it.

    Raises SettingsError if there is none where the stack is deployed to.
    """
    options = InvokeOptions(provider=aws_provider)
    account = aws.get_caller_identity(opts=options).account_id
    name = contract.parameter_name(environment)
    try:
        found = aws.ssm.get_parameter(name=name, opts=options)
    except Exception as error:
        # Pulumi raises a plain Exception; the words are the provider's for what is not there.
        if "couldn't find resource" not in str(error):
            raise
        raise SettingsError(
            [
                f"environment {environment}: no parameter {name} in account {account}, {region}; "
                "bring the environment up first, and its branches in the same account and Region"
            ]
        ) from None
    return contract.from_json(found.value, name), account


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


def settings_output(settings: Environment) -> dict[str, Any]:
    """What the outputs of an environment repeat of its settings."""
    return {
        "kind": "environment",
        "domains": list(settings.domains),
        "alias_domains": dict(settings.alias_domains),
        "outbound": settings.outbound,
        "smarthost": settings.smarthost.host if settings.smarthost else "",
        "smarthost_port": settings.smarthost_port,
        "network": str(settings.network),
        "branches": str(settings.branches),
        "branch_link": settings.branch_link,
        "legacy": legacy(settings),
        "delegated": settings.delegated,
    }


def legacy(settings: Environment) -> dict[str, str]:
    """The addresses of the servers to migrate from, as text, by name."""
    return {name: str(address) for name, address in settings.legacy_servers.items()}
