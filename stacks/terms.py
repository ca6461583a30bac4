"""What an environment publishes for its branches: the contract, and the most that they may do."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi_aws as aws
from pulumi import Output, ResourceOptions

from components.directory import branch_boundary
from components.network import EnvironmentNetwork
from components.tags import named
from model import contract
from model.settings import Environment

LONGEST = {"vpc": 21, "route_table": 21, "transit_gateway": 21, "transit_routes": 25}
"""How long the ids are: 17 digits behind `vpc-`, `rtb-`, `tgw-` and `tgw-rtb-` (EC2 User Guide,
"Resource IDs")."""


def publish(
    name: str,
    stack: str,
    settings: Environment,
    *,
    account: str,
    bucket: str,
    hub_address: str,
    network: EnvironmentNetwork,
    opts: ResourceOptions,
) -> None:
    """Declare the parameter with the contract of the environment `stack`, and the boundary in it.

    `name` begins the resources' names; `bucket` is the directory's.
    """
    transit = network.transit
    boundary = branch_boundary(name, bucket, opts)

    def value(ids: Mapping[str, str]) -> str:
        return contract.to_json(
            contract.Contract(
                version=contract.VERSION,
                environment=stack,
                account=account,
                region=settings.region,
                network=str(settings.network),
                branches=str(settings.branches),
                branch_link=settings.branch_link,
                hub=settings.hub.host,
                hub_address=hub_address,
                domains=list(settings.domains),
                alias_domains=dict(settings.alias_domains),
                directory=bucket,
                **ids,
            )
        )

    ids = {
        "vpc": network.vpc.id,
        "route_table": network.hub_table,
        "transit_gateway": transit.id if transit else "",
        "transit_routes": transit.association_default_route_table_id if transit else "",
        "boundary": boundary.arn,
    }
    # Whether it is too long is told at preview, when no id is known yet.
    arn = f"arn:aws:iam::{account}:policy/{name}-branches"
    value({each: "x" * length for each, length in LONGEST.items()} | {"boundary": arn})
    aws.ssm.Parameter(
        f"{name}-contract",
        name=contract.parameter_name(stack),
        description="What branches read of this environment; no secrets",
        type="String",
        value=Output.all(**ids).apply(value),
        tags=named(f"{name}-contract"),
        opts=opts,
    )
