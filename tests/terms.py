"""The contract of an environment as the tests of branches read it."""

from __future__ import annotations

from model import contract

TERMS = contract.Contract(
    version=contract.VERSION,
    environment="dev",
    account="123456789012",
    region="us-east-1",
    vpc="vpc-dev",
    network="10.1.0.0/16",
    branches="192.168.0.0/16",
    branch_link="peering",
    route_table="rtb-private",
    transit_gateway="",
    transit_routes="",
    hub="ms.example.jp",
    hub_address="10.1.11.5",
    domains=["example.jp", "example.co.jp"],
    alias_domains={},
    directory="directory-bucket",
    boundary="arn:aws:iam::123456789012:policy/gatepost-dev-branches",
)
TERMS_JSON = contract.to_json(TERMS)
