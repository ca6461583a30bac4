"""The stack of an office that is not on AWS: its VPN, its route, and its part of the directory.

Its server, and the other end of the VPN, are its administrator's to set up, from the files that
`gatepost branch files` writes.
"""

from __future__ import annotations

from typing import Any

import pulumi_aws as aws
from pulumi import ResourceOptions

from components.directory import DirectoryPart
from components.vpn import Vpn
from model import contract, directory, prices
from model.contract import Contract
from model.fields import SettingsError
from model.people import People
from model.settings import Office
from stacks import account, vicinity
from stacks.common import provider, read_contract
from stacks.settings import load_branch_people, load_office, name_problems


def build(stack: str, raw: object) -> dict[str, Any]:
    """Declare an office's resources from its settings; returns the stack's outputs.

    Raises SettingsError before anything is declared but the provider.
    """
    settings = load_office(raw)
    aws_provider = provider(stack, settings.region, settings.environment)
    terms, account_id = read_contract(settings.environment, settings.region, aws_provider)
    people, problems = load_branch_people(settings, tuple(terms.domains), terms.alias_domains)
    problems = contract.branch_problems(terms, settings, account_id) + problems
    problems += name_problems(stack, settings)
    if problems or people is None:
        raise SettingsError(problems)
    vicinity.check(stack, settings, terms, aws_provider)
    account.check_office(stack, terms, aws_provider)
    outputs = _declare(stack, settings, terms, people, aws_provider)
    account.tell_cost(prices.office_cost(), settings.region)
    return outputs


def _declare(
    stack: str, settings: Office, terms: Contract, people: People, aws_provider: aws.Provider
) -> dict[str, Any]:
    name = f"gatepost-{stack}"
    opts = ResourceOptions(provider=aws_provider)
    vpn = Vpn(
        name,
        gateway=str(settings.gateway),
        network=str(settings.network),
        stack=stack,
        transit_gateway=terms.transit_gateway,
        routes=terms.transit_routes,
        opts=opts,
    )
    owner = directory.branch_owner(settings.name)
    objects = directory.objects(owner, people, host=settings.host, address=str(settings.address))
    if settings.fingerprint:
        objects += (directory.identity_object(owner, settings.host, settings.fingerprint),)
    DirectoryPart(f"{name}-people", bucket=terms.directory, objects=objects, opts=opts)
    return {
        "kind": "office",
        "environment": settings.environment,
        "network": str(settings.network),
        "host": settings.host,
        "hub_address": terms.hub_address,
        "hosts": [],
        "vpn": vpn.connection.id,
        "tunnels": vpn.tunnels,
    }
