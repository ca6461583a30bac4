"""What a stack takes of an account's quotas, told before anything is made.

Codes, names and defaults are those of Service Quotas, of "Amazon VPC quotas" (VPC User Guide), of
"Quotas for your transit gateways" (Transit Gateway guide), of "Site-to-Site VPN quotas" and of
"On-Demand Instance quotas" (EC2 User Guide).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.acl import AclRule
from model.flows import Firewall
from model.settings import TRANSIT_GATEWAY, Branch, Environment


@dataclass(frozen=True, kw_only=True)
class Quota:
    """A quota of an account in a Region."""

    service: str
    code: str
    name: str
    default: int | None
    """None: AWS raises it with the account's use, so that a guess would refuse what is allowed."""
    most: int | None = None
    """What AWS grants to nobody more of."""
    instead: str = ""
    """What to do where more is needed than one wants to ask for, or than is granted."""


VPCS = Quota(service="vpc", code="L-F678F1CE", name="VPCs per Region", default=5)
GATEWAYS = Quota(service="vpc", code="L-A4707A72", name="Internet gateways per Region", default=5)
ELASTIC_IPS = Quota(service="ec2", code="L-0263D0A3", name="EC2-VPC Elastic IPs", default=5)
NAT_GATEWAYS = Quota(
    service="vpc", code="L-FE5A380F", name="NAT gateways per availability zone", default=5
)
PEERINGS = Quota(
    service="vpc",
    code="L-7E9ECCDB",
    name="active VPC peering connections per VPC",
    default=50,
    most=125,
    instead="join branches by a Transit Gateway: branch_link: transit-gateway in the environment",
)
TRANSIT_GATEWAYS = Quota(
    service="ec2", code="L-A2478D36", name="transit gateways per account", default=5
)
ATTACHMENTS = Quota(
    service="ec2",
    code="L-E0233F82",
    name="attachments per transit gateway",
    default=5000,
    most=5000,
    instead="a second environment",
)
VPN_CONNECTIONS = Quota(
    service="ec2", code="L-3E6EC3A3", name="Site-to-Site VPN connections per Region", default=50
)
CUSTOMER_GATEWAYS = Quota(
    service="ec2", code="L-4FB7FF5D", name="customer gateways per Region", default=50
)
GROUP_RULES = Quota(
    service="vpc", code="L-0EA8095F", name="rules per security group and direction", default=60
)
ACL_RULES = Quota(
    service="vpc", code="L-2AEEBF1A", name="rules per network ACL and direction", default=20
)
VCPUS = Quota(
    service="ec2",
    code="L-1216C47A",
    name="vCPUs of running On-Demand Standard instances",
    default=None,
)
STANDARD = "acdhimrtz"
"""How the families of Standard instances begin ("On-Demand Instance quotas")."""
ROUTES = Quota(service="vpc", code="L-93826ACB", name="routes per route table", default=500)


@dataclass(frozen=True, kw_only=True)
class Use:
    """What a stack needs of a quota beside what others use already."""

    quota: Quota
    needed: int
    others: int | None = 0
    """None: nobody tells."""


def environment_uses(
    settings: Environment,
    firewall: Firewall,
    acl: tuple[AclRule, ...],
    vcpus: int,
    others: Mapping[Quota, int],
) -> list[Use]:
    """What an environment needs, `vcpus` for its hosts; `others` is what the account has in use for
    other stacks."""
    nats = len(settings.nat_zones)
    needs = {
        VPCS: 1,
        GATEWAYS: 1,
        ELASTIC_IPS: len(settings.relays) + nats,
        NAT_GATEWAYS: 1,
        GROUP_RULES: _most_rules(firewall),
        # The final deny counts.
        ACL_RULES: 1 + max(sum(rule.egress is way for rule in acl) for way in (False, True)),
        TRANSIT_GATEWAYS: int(settings.branch_link == TRANSIT_GATEWAY),
        VCPUS: vcpus,
    }
    return _uses(needs, others)


def branch_uses(
    settings: Branch, link: str, firewall: Firewall, vcpus: int, others: Mapping[Quota, int]
) -> list[Use]:
    """What a branch needs, of what the environment's `link` to all its branches has too."""
    nat = settings.way_out == "nat"
    needs = {
        VPCS: 1,
        GATEWAYS: 1,
        ELASTIC_IPS: int(nat),
        NAT_GATEWAYS: int(nat),
        GROUP_RULES: _most_rules(firewall),
        VCPUS: vcpus,
        **({ATTACHMENTS: 1} if link == TRANSIT_GATEWAY else {PEERINGS: 1, ROUTES: 1}),
    }
    return _uses(needs, others)


def office_uses(others: Mapping[Quota, int]) -> list[Use]:
    """What an office needs that is joined by a VPN."""
    return _uses({ATTACHMENTS: 1, VPN_CONNECTIONS: 1, CUSTOMER_GATEWAYS: 1}, others)


def _uses(needs: Mapping[Quota, int], others: Mapping[Quota, int]) -> list[Use]:
    known = {VCPUS: None, **others}
    return [Use(quota=q, needed=n, others=known.get(q, 0)) for q, n in needs.items() if n]


def quota_problems(uses: list[Use], limits: Mapping[Quota, int]) -> list[str]:
    """A sentence for each quota that does not suffice; `limits` are the account's own."""
    problems = []
    for use in uses:
        limit, total = limits.get(use.quota, use.quota.default), use.needed + (use.others or 0)
        beside = (
            "what others use is not known" if use.others is None else f"others use {use.others}"
        )
        if limit is not None and total > limit:
            problems.append(
                f"quota {use.quota.name}: must be at least {total} (this stack needs "
                f"{use.needed}, {beside}), the account has {limit}; " + _remedy(use.quota, total)
            )
    return problems


def _remedy(quota: Quota, total: int) -> str:
    if quota.most is not None and total > quota.most:
        return f"AWS grants at most {quota.most}: {quota.instead}"
    raise_it = (
        "raise it: aws service-quotas request-service-quota-increase --service-code "
        f"{quota.service} --quota-code {quota.code} --desired-value {total}"
    )
    return f"{raise_it}; or {quota.instead}" if quota.instead else raise_it


def _most_rules(firewall: Firewall) -> int:
    """The rules of the fullest group in its fuller direction."""
    return max(
        sum(getattr(flow, side) == host for flow in firewall.flows)
        for host in firewall.hosts
        for side in ("source", "destination")
    )
