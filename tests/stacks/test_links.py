"""How branches are joined: a Transit Gateway, an office's VPN, and what an account allows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recording import Recorder, run
from terms import TERMS

from model import contract
from model.fields import SettingsError
from stacks import branch, environment, office

JOINED = replace(
    TERMS,
    branch_link="transit-gateway",
    transit_gateway="tgw-dev",
    transit_routes="tgw-rtb-dev",
)
GET_PEERINGS = "aws:ec2/getVpcPeeringConnections:getVpcPeeringConnections"
GET_ATTACHMENTS = "aws:ec2transitgateway/getAttachments:getAttachments"
GET_TRANSIT_ROUTES = "aws:ec2transitgateway/getRouteTableRoutes:getRouteTableRoutes"
GET_TABLE = "aws:ec2/getRouteTable:getRouteTable"
GET_INSTANCES = "aws:ec2/getInstances:getInstances"
GET_VPCS = "aws:ec2/getVpcs:getVpcs"
GET_QUOTA = "aws:servicequotas/getServiceQuota:getServiceQuota"

OFFICE = {
    "name": "nagoya",
    "environment": "dev",
    "region": "us-east-1",
    "network": "192.168.99.0/24",
    "host": "ms9.example.jp",
    "address": "192.168.99.5",
    "gateway": "203.0.113.9",
    "people": "nagoya.yaml",
}


def build(
    raw: dict[str, Any], terms: contract.Contract, kind: Any = branch, **answers: Any
) -> tuple[Recorder, dict[str, Any]]:
    stack = f"{raw['environment']}-{raw['name']}"
    known = {"aws:ssm/getParameter:getParameter": {"value": contract.to_json(terms)}}
    return run(
        lambda: kind.build(stack, raw), stack_name=stack, answers=known | answers.pop("more", {})
    )


def ids(count: int, word: str = "other") -> dict[str, Any]:
    return {"ids": [f"{word}-{number}" for number in range(count)]}


def not_own(answer: dict[str, Any]) -> Any:
    """The answer to a question about everybody; nothing is the stack's own."""
    return lambda arguments: {"ids": []} if arguments.get("tags") else answer


# --- the environment ---


def test_without_a_transit_gateway_there_is_none_of_it(dev: dict[str, Any]) -> None:
    recorder, outputs = run(lambda: environment.build("dev", dev))
    assert not [kind for kind, _ in recorder.resources if "transitGateway" in kind]
    assert outputs["branch_link"] == "peering"


def test_the_environment_owns_one_route_for_all_branches(dev: dict[str, Any]) -> None:
    recorder, _ = run(lambda: environment.build("dev", dev | {"branch_link": "transit-gateway"}))
    [attachment] = recorder.of("ec2transitgateway/vpcAttachment:VpcAttachment")
    # No host with a fixed address is there, and it is the hub's zone.
    assert attachment.inputs["subnetIds"] == ["gatepost-dev-edge-a-id"]
    [route] = [r for r in recorder.of("ec2/route:Route") if r.inputs.get("transitGatewayId")]
    assert route.inputs["destinationCidrBlock"] == "192.168.0.0/16"
    assert route.inputs["routeTableId"] == "gatepost-dev-private-a-id"
    assert attachment.name in route.dependencies
    written = recorder.one("ssm/parameter:Parameter", "gatepost-dev-contract").inputs["value"]
    # SSM's own property is a secret, whatever is in it.
    terms = contract.from_json(written["value"], "written")
    assert (terms.branch_link, terms.transit_gateway) == ("transit-gateway", "gatepost-dev-id")


def test_a_branch_s_machine_is_bounded(dev: dict[str, Any], osaka: dict[str, Any]) -> None:
    recorder, _ = run(lambda: environment.build("dev", dev))
    [policy] = recorder.of("iam/policy:Policy")
    allowed = json.loads(policy.inputs["policy"])["Statement"]
    assert [(each["Effect"], each["Action"]) for each in allowed] == [
        ("Allow", ["s3:GetObject"]),
        ("Allow", ["s3:PutObject"]),
    ]
    assert all("/keys/branches/" in resource for resource in allowed[1]["Resource"])
    role = build(osaka, TERMS)[0].one("iam/role:Role", "gatepost-dev-osaka-server")
    assert role.inputs["permissionsBoundary"] == TERMS.boundary


# --- a branch ---


def test_a_branch_only_attaches_itself(osaka: dict[str, Any]) -> None:
    recorder, _ = build(osaka, JOINED)
    assert recorder.of("ec2/vpcPeeringConnection:VpcPeeringConnection") == []
    [attachment] = recorder.of("ec2transitgateway/vpcAttachment:VpcAttachment")
    assert attachment.inputs["transitGatewayId"] == "tgw-dev"
    assert attachment.inputs["subnetIds"] == ["gatepost-dev-osaka-transit-id"]
    subnet = recorder.one("ec2/subnet:Subnet", "gatepost-dev-osaka-transit")
    server = recorder.one("ec2/subnet:Subnet", "gatepost-dev-osaka-servers")
    assert subnet.inputs["availabilityZone"] == server.inputs["availabilityZone"]
    routes = {r.inputs["destinationCidrBlock"]: r for r in recorder.of("ec2/route:Route")}
    assert set(routes) == {"0.0.0.0/0", "10.1.0.0/16"}
    assert routes["10.1.0.0/16"].inputs["transitGatewayId"] == "tgw-dev"
    assert attachment.name in routes["10.1.0.0/16"].dependencies
    assert "rtb-private" not in str([r.inputs for r in recorder.resources.values()])


def test_a_route_that_overlaps_is_refused_unless_it_is_the_stack_s_own(
    osaka: dict[str, Any],
) -> None:
    own = {"destinationCidrBlock": "192.168.10.0/24"}
    wide = {"destinationCidrBlock": "192.168.0.0/20"}
    one: dict[str, Any] = {GET_TRANSIT_ROUTES: {"routes": [own]}}
    with pytest.raises(SettingsError, match=r"overlap 192\.168\.10\.0/24 of a route of tgw-r"):
        build(osaka, JOINED, more=one)
    attached = {GET_ATTACHMENTS: ids(1), GET_VPCS: ids(1, "vpc")}
    build(osaka, JOINED, more=one | attached)
    with pytest.raises(SettingsError, match=r"must not overlap 192\.168\.0\.0/20"):
        build(osaka, JOINED, more={GET_TRANSIT_ROUTES: {"routes": [own, wide]}} | attached)


def test_a_peered_branch_s_route_is_known_by_its_peering(osaka: dict[str, Any]) -> None:
    route = {"cidrBlock": "192.168.10.0/24", "vpcPeeringConnectionId": "pcx-1"}
    table = {GET_TABLE: {"routes": [route]}}
    with pytest.raises(SettingsError, match=r"overlap 192\.168\.10\.0/24 of a route of rtb-"):
        build(osaka, TERMS, more=table)
    build(osaka, TERMS, more=table | {GET_PEERINGS: {"ids": ["pcx-1"]}})


def test_a_host_of_another_stack_is_refused(osaka: dict[str, Any]) -> None:
    def instances(arguments: dict[str, Any]) -> dict[str, Any]:
        tags = arguments["instanceTags"]
        assert tags["gatepost:environment"] == "dev"
        return {"ids": [] if "gatepost:stack" in tags else ["i-1"]}

    with pytest.raises(SettingsError, match=r"branch\.host: must be its own, got ms2\.example\.jp"):
        build(osaka, TERMS, more={GET_INSTANCES: instances})


def test_another_account_and_another_name_are_refused_together(osaka: dict[str, Any]) -> None:
    known = {
        "aws:ssm/getParameter:getParameter": {"value": contract.to_json(TERMS)},
        "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": "999999999999"},
    }
    with pytest.raises(SettingsError) as caught:
        run(lambda: branch.build("other", osaka), stack_name="other", answers=known)
    assert "account 123456789012, got 999999999999" in str(caught.value)
    assert "stack: must be called dev-osaka" in str(caught.value)


# --- quotas ---


@pytest.mark.parametrize(
    ("others", "limit", "said"),
    [
        (50, 50, "must be at least 51 .*raise it: .*; or join branches by a Transit Gateway"),
        (125, 200, None),
        (125, 125, "must be at least 126 .*AWS grants at most 125: join branches by a Transit"),
    ],
)
def test_peerings_beyond_the_quota_are_refused_with_the_way_out(
    osaka: dict[str, Any], others: int, limit: int, said: str | None
) -> None:
    more = {
        GET_PEERINGS: not_own(ids(others, "pcx")),
        GET_QUOTA: lambda asked: {"value": limit if asked["quotaCode"] == "L-7E9ECCDB" else 1000},
    }
    if said is None:
        build(osaka, TERMS, more=more)
        return
    with pytest.raises(SettingsError, match=said):
        build(osaka, TERMS, more=more)


def test_attachments_beyond_the_limit_are_refused(osaka: dict[str, Any]) -> None:
    more = {
        GET_ATTACHMENTS: not_own(ids(5000)),
        GET_QUOTA: {"value": 5000},
    }
    with pytest.raises(SettingsError, match="AWS grants at most 5000: a second environment"):
        build(osaka, JOINED, more=more)


# --- an office ---


def test_an_office_has_a_vpn_with_one_route_and_hidden_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nagoya.yaml").write_text("users: [goro@example.jp]\n")
    monkeypatch.setattr("stacks.settings.HERE", tmp_path)
    recorder, outputs = build(OFFICE, JOINED, office)
    connection = recorder.one("ec2/vpnConnection:VpnConnection", "gatepost-dev-nagoya")
    assert connection.inputs["staticRoutesOnly"] is True
    assert connection.inputs["transitGatewayId"] == "tgw-dev"
    assert connection.secrets == {
        "customerGatewayConfiguration",
        "tunnel1PresharedKey",
        "tunnel2PresharedKey",
    }
    [route] = recorder.of("ec2transitgateway/route:Route")
    assert route.inputs["destinationCidrBlock"] == "192.168.99.0/24"
    assert route.inputs["transitGatewayRouteTableId"] == "tgw-rtb-dev"
    [customer] = recorder.of("ec2/customerGateway:CustomerGateway")
    assert customer.inputs["ipAddress"] == "203.0.113.9"
    assert {o.inputs["key"] for o in recorder.of("s3/bucketObjectv2:BucketObjectv2")} == {
        "addresses/branches/nagoya.json",
        "people/branches/nagoya.json",
    }
    assert outputs["hosts"] == []


def test_an_office_without_a_transit_gateway_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nagoya.yaml").write_text("users: [goro@example.jp]\n")
    monkeypatch.setattr("stacks.settings.HERE", tmp_path)
    with pytest.raises(SettingsError, match="office: needs a Transit Gateway for its VPN"):
        build(OFFICE, TERMS, office)
