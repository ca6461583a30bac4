"""What the account allows and what a stack costs: asked and told before anything is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import InvokeOptions

from components.tags import STACK
from model import acl, flows, prices, quotas
from model.contract import Contract
from model.fields import SettingsError
from model.flows import Firewall
from model.prices import Item
from model.quotas import Quota, Use
from model.settings import TRANSIT_GATEWAY, Branch, Environment
from stacks import machines

AVAILABLE = {"name": "state", "values": ["available", "pending"]}
ATTACHED = {
    "name": "state",
    "values": ["available", "initiating", "modifying", "pending", "pendingAcceptance"],
}
"""What is deleted is listed for a while."""
VPN = {"name": "resource-type", "values": ["vpn"]}

MOST_VALUES = 200
"""How many values a filter may have (EC2 API Reference, DescribeNatGateways)."""


def check_environment(stack: str, settings: Environment, provider: aws.Provider) -> None:
    """Raise SettingsError if a quota does not suffice, or an image does not fit its machine."""
    hosts = [*machines.of_environment(settings)]
    machines.check(hosts, settings.region, provider)
    rules = acl.dmz_acl(settings.outbound, settings.network, settings.branches)
    firewall = flows.environment_firewall(
        settings.outbound, settings.branches, settings.smarthost_port, settings.legacy_servers
    )
    others = {
        **_others(stack, provider),
        quotas.NAT_GATEWAYS: _nats(stack, settings.nat_zones, provider),
    }
    vcpus = machines.vcpus(hosts, provider)
    _judge(quotas.environment_uses(settings, firewall, rules, vcpus, others), provider)


def check_branch(
    stack: str, settings: Branch, terms: Contract, firewall: Firewall, provider: aws.Provider
) -> None:
    """As check_environment, for a branch: of the environment's VPC and route table too."""
    hosts = [*machines.of_branch(settings)]
    machines.check(hosts, settings.region, provider)
    others = dict(_others(stack, provider))
    if settings.way_out == "nat":
        others[quotas.NAT_GATEWAYS] = _nats(stack, (settings.zone,), provider)
    if terms.branch_link == TRANSIT_GATEWAY:
        others[quotas.ATTACHMENTS] = _attachments(stack, _of(terms), provider)
    else:
        others |= _peerings(stack, settings, terms, provider)
    vcpus = machines.vcpus(hosts, provider)
    _judge(quotas.branch_uses(settings, terms.branch_link, firewall, vcpus, others), provider)


def check_office(stack: str, terms: Contract, provider: aws.Provider) -> None:
    """As check_environment, for an office that is joined by a VPN."""
    others = {
        quotas.ATTACHMENTS: _attachments(stack, _of(terms), provider),
        quotas.VPN_CONNECTIONS: _attachments(stack, VPN, provider),
    }
    _judge(quotas.office_uses(others), provider)


def tell_cost(items: list[Item], region: str) -> None:
    """Tell the fixed cost in the log: the last thing that a program says."""
    pulumi.log.info(prices.describe(items, region))


def _of(terms: Contract) -> dict[str, Any]:
    return {"name": "transit-gateway-id", "values": [terms.transit_gateway]}


def _attachments(stack: str, of: dict[str, Any], provider: aws.Provider) -> int:
    """How many others' attachments to Transit Gateways there are, of those that a filter names."""
    options = InvokeOptions(provider=provider)
    only: list[Any] = [of, ATTACHED]
    everyone = aws.ec2transitgateway.get_attachments(filters=only, opts=options).ids
    own = aws.ec2transitgateway.get_attachments(filters=only, tags={STACK: stack}, opts=options)
    return len(set(everyone) - set(own.ids))


def _nats(stack: str, zones: Iterable[str], provider: aws.Provider) -> int:
    """How many NAT gateways others have in that of the zones where they have most."""
    return max(_nats_in(stack, zone, provider) for zone in zones)


def _nats_in(stack: str, zone: str, provider: aws.Provider) -> int:
    # EC2 does not filter NAT gateways by zone.
    options = InvokeOptions(provider=provider)
    inside: list[Any] = [{"name": "availability-zone", "values": [zone]}]
    subnets = aws.ec2.get_subnets(filters=inside, opts=options).ids
    count = 0
    for first in range(0, len(subnets), MOST_VALUES):
        only: list[Any] = [
            AVAILABLE,
            {"name": "subnet-id", "values": subnets[first : first + MOST_VALUES]},
        ]
        everyone = aws.ec2.get_nat_gateways(filters=only, opts=options).ids
        own = aws.ec2.get_nat_gateways(filters=only, tags={STACK: stack}, opts=options).ids
        count += len(set(everyone) - set(own))
    return count


def _peerings(
    stack: str, settings: Branch, terms: Contract, provider: aws.Provider
) -> dict[Quota, int]:
    """What others have of the environment's peerings, and of the routes of the hub's table."""
    options = InvokeOptions(provider=provider)
    peerings = {
        found
        for side in ("requester-vpc-info.vpc-id", "accepter-vpc-info.vpc-id")
        for found in aws.ec2.get_vpc_peering_connections(
            filters=[
                {"name": side, "values": [terms.vpc]},
                {"name": "status-code", "values": ["active", "pending-acceptance"]},
            ],
            opts=options,
        ).ids
    }
    own = aws.ec2.get_vpc_peering_connections(tags={STACK: stack}, opts=options).ids
    table = aws.ec2.get_route_table(route_table_id=terms.route_table, opts=options)
    routes = [route for route in table.routes if route.cidr_block != str(settings.network)]
    return {quotas.PEERINGS: len(peerings - set(own)), quotas.ROUTES: len(routes)}


def _others(stack: str, provider: aws.Provider) -> Mapping[Quota, int]:
    """What the account has in use beside this stack's own; an Internet gateway is a VPC's."""
    options = InvokeOptions(provider=provider)
    own = {STACK: stack}
    vpcs = len(aws.ec2.get_vpcs(opts=options).ids)
    vpcs -= len(aws.ec2.get_vpcs(tags=own, opts=options).ids)
    addresses = len(aws.ec2.get_eips(opts=options).allocation_ids)
    addresses -= len(aws.ec2.get_eips(tags=own, opts=options).allocation_ids)
    return {quotas.VPCS: vpcs, quotas.GATEWAYS: vpcs, quotas.ELASTIC_IPS: addresses}


def _judge(uses: list[Use], provider: aws.Provider) -> None:
    problems = quotas.quota_problems(uses, _limits((use.quota for use in uses), provider))
    if problems:
        raise SettingsError(problems)


def _limits(wanted: Iterable[Quota], provider: aws.Provider) -> dict[Quota, int]:
    """The account's own limits; where Service Quotas does not answer, the defaults hold."""
    found = {}
    for quota in wanted:
        try:
            answer = aws.servicequotas.get_service_quota(
                service_code=quota.service,
                quota_code=quota.code,
                opts=InvokeOptions(provider=provider),
            )
        except Exception as error:  # noqa: BLE001 - what Pulumi raises for a refused call
            kept = "nothing" if quota.default is None else f"AWS's default of {quota.default}"
            pulumi.log.info(
                f"quota {quota.name}: Service Quotas did not answer ({error}); {kept} is assumed"
            )
            continue
        found[quota] = int(answer.value)
    return found
