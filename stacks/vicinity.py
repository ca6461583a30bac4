"""The other branches of an environment, as far as a branch may see them before it is made.

Three places tell of them, and none needs a permission over another branch: the stack files beside
its own, the routes of the environment's link, and the names of instances. The directory's objects
are not read: who may read those could read everybody's people.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pulumi_aws as aws
from pulumi import InvokeOptions

from components.tags import ENVIRONMENT, STACK
from model.contract import Contract
from model.fields import SettingsError
from model.neighbours import Neighbour, conflicts
from model.settings import TRANSIT_GATEWAY, Branch, Office
from stacks import settings as files
from stacks.turns import ALIVE


def check(stack: str, settings: Branch | Office, terms: Contract, provider: aws.Provider) -> None:
    """Raise SettingsError where another branch has this one's network, name or host already."""
    own = Neighbour(
        where=f"stack {stack}",
        network=settings.network,
        name=settings.name,
        host=settings.host,
        gateway=settings.gateway if isinstance(settings, Office) else None,
    )
    options = InvokeOptions(provider=provider)
    others = [
        *files.neighbours(settings.environment, stack),
        *_by_route(stack, settings, terms, options),
        *_by_host(stack, settings, options),
    ]
    kind = "office" if isinstance(settings, Office) else "branch"
    problems = list(conflicts(kind, own, others))
    if problems:
        raise SettingsError(problems)


def _by_route(
    stack: str, settings: Branch | Office, terms: Contract, options: InvokeOptions
) -> list[Neighbour]:
    """Whoever has a route in the environment that is not this stack's own."""
    if terms.branch_link == TRANSIT_GATEWAY:
        table, routes = terms.transit_routes, _transit_routes(stack, settings, terms, options)
    else:
        table, routes = terms.route_table, _peering_routes(stack, terms, options)
    return [Neighbour(where=f"a route of {table}", network=network) for network in routes]


def _peering_routes(stack: str, terms: Contract, options: InvokeOptions) -> list[IPv4Network]:
    own = aws.ec2.get_vpc_peering_connections(tags={STACK: stack}, opts=options).ids
    table = aws.ec2.get_route_table(route_table_id=terms.route_table, opts=options)
    return [
        IPv4Network(route.cidr_block)
        for route in table.routes
        if route.vpc_peering_connection_id and route.vpc_peering_connection_id not in own
    ]


def _transit_routes(
    stack: str, settings: Branch | Office, terms: Contract, options: InvokeOptions
) -> list[IPv4Network]:
    """The routes that overlap the stack's network; they do not tell whose they are.

    A Transit Gateway takes no second route for one network, so that the route of a network that
    the stack has attached already is its own.
    """
    network = str(settings.network)
    found = {
        route.destination_cidr_block
        for match in ("subnet", "supernet")
        for route in aws.ec2transitgateway.get_route_table_routes(
            transit_gateway_route_table_id=terms.transit_routes,
            filters=[{"name": f"route-search.{match}-of-match", "values": [network]}],
            opts=options,
        ).routes
    }
    if network in found and _attached(stack, settings, terms, options):
        found.remove(network)
    return [IPv4Network(cidr) for cidr in found]


def _attached(
    stack: str, settings: Branch | Office, terms: Contract, options: InvokeOptions
) -> bool:
    """Whether the stack has attached this very network to the Transit Gateway."""
    attachments = aws.ec2transitgateway.get_attachments(
        filters=[{"name": "transit-gateway-id", "values": [terms.transit_gateway]}],
        tags={STACK: stack},
        opts=options,
    ).ids
    if isinstance(settings, Office) or not attachments:
        return bool(attachments)
    only: list[Any] = [{"name": "cidr", "values": [str(settings.network)]}]
    return bool(aws.ec2.get_vpcs(tags={STACK: stack}, filters=only, opts=options).ids)


def _by_host(stack: str, settings: Branch | Office, options: InvokeOptions) -> list[Neighbour]:
    """Whoever has an instance of this host name in the environment, other than this stack."""
    tags = {"Name": settings.host, ENVIRONMENT: settings.environment}
    everyone = aws.ec2.get_instances(instance_tags=tags, instance_state_names=ALIVE, opts=options)
    own = aws.ec2.get_instances(
        instance_tags=tags | {STACK: stack}, instance_state_names=ALIVE, opts=options
    )
    return [
        Neighbour(where=f"instance {identifier}", host=settings.host)
        for identifier in everyone.ids
        if identifier not in own.ids
    ]
