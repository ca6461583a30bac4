"""A branch is deployed, refreshed and destroyed with nothing but its principal's policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli.main import main
from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine
from lab.session import cache_folder
from lab.stackfile import region
from model import contract, principal
from model.contract import Contract
from model.principal import BRANCH, STACK
from tests.lab.engine.gate import ACCOUNT, Asked, Gate
from tests.lab.engine.linked import LINKS, linked


class Company:
    """The environment `dev`, joined by one kind of link; its contract."""

    def __init__(self, folder: Path, endpoint: str, built: Path) -> None:
        self.folder, self.endpoint, self.built = folder, endpoint, built
        self.project = folder / "project"
        self.region = region(self.project, ["dev"])
        self.engine(endpoint).up("dev")
        ssm: Any = self.client("ssm")
        name = contract.parameter_name("dev")
        value = ssm.get_parameter(Name=name)["Parameter"]["Value"]
        self.terms: Contract = contract.from_json(value, name)

    def client(self, service: str) -> Any:
        session = boto3.Session("x", "y", region_name=self.region)
        return session.client(service, endpoint_url=self.endpoint)

    def engine(self, endpoint: str) -> Engine:
        return Engine(
            engine=self.built,
            state=self.folder / "state",
            project=self.project,
            endpoint=endpoint,
            region=self.region,
            checkpoints=False,
        )


@pytest.fixture(scope="module", params=LINKS)
def company(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Company]:
    built = ensure_engine(cache_folder(), print)
    folder = tmp_path_factory.mktemp(request.param)
    with linked(folder / "project", request.param) as emulator:
        yield Company(folder, emulator.endpoint, built)


def live(company: Company, stack: str, policy: dict[str, Any]) -> Gate:
    """The whole life of a stack through a gate; what was denied is in the gate."""
    with Gate(company.endpoint, company.region, policy).open() as gate:
        engine = company.engine(gate.endpoint)
        engine.up(stack)
        assert engine.up(stack, refresh=True).changes == ()
        engine.destroy(stack)
    return gate


def test_the_policy_suffices_for_a_branch(company: Company) -> None:
    gate = live(company, "dev-osaka", principal.branch_policy(company.terms, "osaka"))
    assert gate.denied == []
    assert {
        "ec2:RunInstances",
        "iam:PutRolePolicy",
        "s3:PutObject",
        "s3:DeleteObjectVersion",
    } <= gate.allowed


def test_the_policy_suffices_for_an_office(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not company.terms.transit_gateway:
        pytest.skip("an office needs a Transit Gateway")
    monkeypatch.setattr("cli.commands.PROJECT", company.project)
    argv = ["branch", "new", "nagoya", "--environment", "dev", "--host", "ms9.example.jp"]
    assert main([*argv, "--gateway", "192.0.2.200"]) == 0
    gate = live(company, "dev-nagoya", principal.office_policy(company.terms, "nagoya"))
    assert gate.denied == []
    assert "ec2:CreateVpnConnection" in gate.allowed


def test_a_policy_fits_into_iam(company: Company) -> None:
    for policy in (
        principal.branch_policy(company.terms, "a" * 20),
        principal.office_policy(company.terms, "a" * 20),
    ):
        assert len(json.dumps(policy, separators=(",", ":"))) <= principal.LIMIT
        sids = [statement["Sid"] for statement in policy["Statement"]]
        assert len(set(sids)) == len(sids)


RESOURCE, REQUEST = f"aws:resourcetag/{STACK}", f"aws:requesttag/{STACK}"
FORBIDDEN: dict[str, Callable[[Contract], Asked]] = {
    "another branch's people": lambda terms: Asked(
        action="s3:PutObject",
        resource=f"arn:aws:s3:::{terms.directory}/people/branches/kobe.json",
    ),
    "the environment's people": lambda terms: Asked(
        action="s3:PutObject",
        resource=f"arn:aws:s3:::{terms.directory}/people/environment.json",
    ),
    "reading another's people": lambda terms: Asked(
        action="s3:GetObject",
        resource=f"arn:aws:s3:::{terms.directory}/people/branches/kobe.json",
    ),
    "the hosts' software": lambda terms: Asked(
        action="s3:PutObject",
        resource=f"arn:aws:s3:::{terms.directory}/software/environment/hub-0.tar.gz",
    ),
    "the bucket's policy": lambda terms: Asked(
        action="s3:PutBucketPolicy", resource=f"arn:aws:s3:::{terms.directory}"
    ),
    "a version of another's people": lambda terms: Asked(
        action="s3:DeleteObjectVersion",
        resource=f"arn:aws:s3:::{terms.directory}/people/branches/kobe.json",
    ),
    "which versions there are of another's": lambda terms: Asked(
        action="s3:ListBucketVersions",
        resource=f"arn:aws:s3:::{terms.directory}",
        keys={"s3:prefix": "people/branches/kobe.json"},
    ),
    "which versions there are of all": lambda terms: Asked(
        action="s3:ListBucketVersions", resource=f"arn:aws:s3:::{terms.directory}"
    ),
    "the contract": lambda terms: Asked(
        action="ssm:PutParameter", resource=_ssm(terms, "/gatepost/dev/contract")
    ),
    "another parameter": lambda terms: Asked(
        action="ssm:GetParameter", resource=_ssm(terms, "/gatepost/dev/secret")
    ),
    "the hub": lambda terms: Asked(
        action="ec2:TerminateInstances",
        resource=_ec2(terms, "instance/i-1"),
        keys={RESOURCE: "dev"},
    ),
    "a rule of the hub's group": lambda terms: Asked(
        action="ec2:AuthorizeSecurityGroupIngress",
        resource=_ec2(terms, "security-group/sg-1"),
        keys={RESOURCE: "dev"},
    ),
    "another table's routes": lambda terms: Asked(
        action="ec2:CreateRoute",
        resource=_ec2(terms, "route-table/rtb-dmz"),
        keys={RESOURCE: "dev"},
    ),
    "the Transit Gateway itself": lambda terms: Asked(
        action="ec2:ModifyTransitGateway",
        resource=_ec2(terms, f"transit-gateway/{terms.transit_gateway or 'tgw-1'}"),
        keys={RESOURCE: "dev"},
    ),
    "an instance in another's name": lambda terms: Asked(
        action="ec2:RunInstances", resource=_ec2(terms, "instance/new"), keys={REQUEST: "dev"}
    ),
    "a tag on the hub": lambda terms: Asked(
        action="ec2:CreateTags",
        resource=_ec2(terms, "instance/i-1"),
        keys={RESOURCE: "dev", REQUEST: "dev-osaka"},
    ),
    "a role without the boundary": lambda terms: Asked(
        action="iam:CreateRole", resource=_role("gatepost-dev-osaka-x")
    ),
    "a role that passes for another branch's": lambda terms: Asked(
        action="iam:CreateRole",
        resource=_role("gatepost-dev-osaka-x"),
        keys={
            "iam:permissionsboundary": terms.boundary,
            f"aws:requesttag/{BRANCH}": "kobe",
        },
    ),
    "a role without a branch": lambda terms: Asked(
        action="iam:CreateRole",
        resource=_role("gatepost-dev-osaka-x"),
        keys={"iam:permissionsboundary": terms.boundary},
    ),
    "another branch's tag on its role": lambda _: Asked(
        action="iam:TagRole",
        resource=_role("gatepost-dev-osaka-server"),
        keys={f"aws:requesttag/{BRANCH}": "kobe"},
    ),
    "rights for the hub's role": lambda terms: Asked(
        action="iam:PutRolePolicy",
        resource=_role("gatepost-dev-ms"),
        keys={"iam:permissionsboundary": terms.boundary},
    ),
    "the boundary gone": lambda terms: Asked(
        action="iam:DeleteRolePermissionsBoundary",
        resource=_role("gatepost-dev-osaka-server"),
        keys={"iam:permissionsboundary": terms.boundary},
    ),
    "the boundary wider": lambda terms: Asked(
        action="iam:CreatePolicyVersion", resource=terms.boundary
    ),
    "its role for a function": lambda _: Asked(
        action="iam:PassRole",
        resource=_role("gatepost-dev-osaka-server"),
        keys={"iam:passedtoservice": "lambda.amazonaws.com"},
    ),
    "the role of a branch whose name begins like its own": lambda _: Asked(
        action="iam:PassRole",
        resource=_role("gatepost-dev-osaka-east-server"),
        keys={"iam:passedtoservice": "ec2.amazonaws.com"},
    ),
    "who may take that role": lambda _: Asked(
        action="iam:UpdateAssumeRolePolicy", resource=_role("gatepost-dev-osaka-east-server")
    ),
    "the role of a relay whose name begins like its own": lambda _: Asked(
        action="iam:PassRole",
        resource=_role("gatepost-dev-osaka-ms"),
        keys={"iam:passedtoservice": "ec2.amazonaws.com"},
    ),
    "that relay's role gone": lambda _: Asked(
        action="iam:DeleteRole", resource=_role("gatepost-dev-osaka-ms")
    ),
    "the hub's volume": lambda terms: Asked(
        action="ec2:CreateTags",
        resource=_ec2(terms, "volume/vol-1"),
        keys={RESOURCE: "dev", REQUEST: "dev-osaka"},
    ),
    "the hub's disks": lambda terms: Asked(
        action="kms:Decrypt",
        resource=f"arn:aws:kms:{terms.region}:{ACCOUNT}:key/1",
        keys={RESOURCE: "dev"},
    ),
    "public names": lambda _: Asked(
        action="route53:ChangeResourceRecordSets", resource="arn:aws:route53:::hostedzone/Z1"
    ),
}


def _ec2(terms: Contract, resource: str) -> str:
    return f"arn:aws:ec2:{terms.region}:{ACCOUNT}:{resource}"


def _ssm(terms: Contract, name: str) -> str:
    return f"arn:aws:ssm:{terms.region}:{ACCOUNT}:parameter{name}"


def _role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("kind", ["branch", "office"])
def test_the_policy_allows_nothing_of_others(company: Company, what: str, kind: str) -> None:
    policies = {"branch": principal.branch_policy, "office": principal.office_policy}
    policy = policies[kind](company.terms, "osaka")
    with Gate(company.endpoint, company.region, policy).open() as gate:
        assert not gate.judge(FORBIDDEN[what](company.terms))


def test_a_machine_of_a_branch_cannot_be_given_more_than_the_boundary(company: Company) -> None:
    bounded = principal.machine_boundary(company.terms.directory)
    bucket = f"arn:aws:s3:::{company.terms.directory}"
    machine = {f"aws:principaltag/{BRANCH}": "osaka", "aws:ec2instancesourcevpc": "vpc-1"}
    with Gate(company.endpoint, company.region, bounded).open() as gate:
        own = "people/branches/osaka.json"
        for action, key in (
            ("s3:GetObject", own),
            ("s3:GetObject", "keys/environment/ms.json"),
            ("s3:PutObject", "keys/branches/osaka/ms2.json"),
        ):
            asked = Asked(action=action, resource=f"{bucket}/{key}", keys=machine)
            assert gate.judge(asked)
            # Whoever assumes the role elsewhere may choose the tag; no tag is no branch's.
            for missing in machine:
                less = {name: value for name, value in machine.items() if name != missing}
                if "environment" not in key or missing == "aws:ec2instancesourcevpc":
                    assert not gate.judge(replace(asked, keys=less)), (key, missing)
        for action, resource in (
            ("s3:PutObject", f"{bucket}/{own}"),
            ("s3:PutObject", f"{bucket}/keys/environment/ms.json"),
            ("s3:PutObject", f"{bucket}/keys/branches/kobe/ms3.json"),
            ("s3:GetObject", f"{bucket}/people/branches/kobe.json"),
            ("s3:GetObject", f"{bucket}/software/branches/kobe/branch-0.tar.gz"),
            ("s3:GetObject", f"{bucket}/people/environment.json"),
            ("s3:GetObject", f"{bucket}/addresses/environment.json"),
            ("s3:ListBucket", bucket),
            ("ec2:RunInstances", "*"),
            ("iam:CreateUser", "*"),
        ):
            asked = Asked(action=action, resource=resource, keys=machine)
            assert not gate.judge(asked), (action, resource)
