"""The contract: what an environment publishes, without secrets, for its branches to read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from ipaddress import IPv4Address, IPv4Network

from model.fields import SettingsError
from model.settings import TRANSIT_GATEWAY, Branch, Office

VERSION = 2


def parameter_name(environment: str) -> str:
    """The SSM parameter that holds the contract of the environment stack of that name."""
    return f"/gatepost/{environment}/contract"


@dataclass(frozen=True, kw_only=True)
class Contract:
    """An environment as its branches see it; all plain text, so that it is JSON as it stands."""

    version: int
    environment: str
    account: str
    region: str
    vpc: str
    network: str
    branches: str
    branch_link: str
    """`peering`: a branch adds its route to `route_table`; or `transit-gateway`."""
    route_table: str
    transit_gateway: str
    """Its id, and that of its route table; empty with peering."""
    transit_routes: str
    hub: str
    hub_address: str
    domains: list[str]
    alias_domains: dict[str, str]
    directory: str
    boundary: str
    """The ARN of the policy that bounds what the roles of branches' machines may do."""

    @property
    def every_domain(self) -> tuple[str, ...]:
        """Every domain that takes mail: the mail domains, then the alias domains."""
        return (*self.domains, *self.alias_domains)


LIMIT = 4096
"""Bytes of a standard parameter (AWS General Reference, "Systems Manager quotas")."""


def to_json(contract: Contract) -> str:
    """The parameter's value; raises SettingsError if SSM would not take it."""
    value = json.dumps(asdict(contract), sort_keys=True)
    if len(value) > LIMIT:
        raise SettingsError(
            [
                "environment: domains and alias_domains are in what branches read of it, which "
                f"must be at most {LIMIT} bytes, got {len(value)}: take some out"
            ]
        )
    return value


def from_json(value: str, where: str) -> Contract:
    """Read a contract; raises SettingsError, naming `where`, if it is none of this version."""
    try:
        data = json.loads(value)
    except json.JSONDecodeError as error:
        raise SettingsError([f"{where}: must be a contract in JSON, got {error}"]) from None
    names = {field.name for field in fields(Contract)}
    if not isinstance(data, dict) or data.get("version") != VERSION or set(data) != names:
        raise SettingsError(
            [
                f"{where}: must be a contract of version {VERSION}; "
                "run `pulumi up` of the environment with this release first"
            ]
        )
    return Contract(**data)


def branch_problems(contract: Contract, branch: Branch | Office, account: str) -> list[str]:
    """Where the settings of a branch or an office do not fit the environment that they name.

    `account` is the one that the stack is deployed to.
    """
    kind = "office" if isinstance(branch, Office) else "branch"
    problems = []
    supernet = IPv4Network(contract.branches)
    if not branch.network.subnet_of(supernet):
        problems.append(
            f"{kind}.network: must be within {supernet}, the supernet that environment "
            f"{contract.environment} declares, got {branch.network}"
        )
    if account != contract.account:
        problems.append(
            f"{kind}: must be deployed to its environment's account {contract.account}, "
            f"got {account}"
        )
    if branch.region != contract.region:
        problems.append(
            f"{kind}.region: must be the environment's {contract.region}, got {branch.region!r}"
        )
    if branch.host in (contract.hub, *contract.every_domain):
        problems.append(f"{kind}.host: must be a name of its own, got {branch.host!r}")
    if IPv4Address(contract.hub_address) in branch.network:
        problems.append(f"{kind}.network: must not hold the hub's {contract.hub_address}")
    if kind == "office" and contract.branch_link != TRANSIT_GATEWAY:
        problems.append(
            f"office: needs a Transit Gateway for its VPN; environment {contract.environment} has "
            f"branch_link: {contract.branch_link}, set it to {TRANSIT_GATEWAY}"
        )
    return problems
