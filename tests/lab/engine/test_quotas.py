"""Quotas that do not suffice, by the real engine's preview in an account that others use too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import pytest
from emulated import Emulator
from terms import TERMS

from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine, EngineError
from lab.engine.project import mirror
from lab.session import cache_folder
from lab.stackfile import image_architectures
from model import contract

ROOT = Path(__file__).parents[3]
REGION = "us-east-1"
QUOTAS = {
    "vpcs": 2,
    "internet_gateways": 1,
    "elastic_ips": 1,
    "nat_gateways_per_zone": 1,
    "rules_per_group_and_direction": 2,
    "rules_per_acl_and_direction": 4,
    "peerings_per_vpc": 1,
    "routes_per_table": 1,
    "attachments_per_transit_gateway": 2,
    "vpn_connections": 1,
    "standard_vcpus": 3,
}
"""What others have in use of each, or less than any stack needs."""
OFFICE = """\
config:
  pulumi:disable-default-providers: [aws]
  gatepost:kind: office
  gatepost:office:
    name: kobe
    environment: far
    region: us-east-1
    network: 192.168.20.0/24
    host: ms3.example.jp
    address: 192.168.20.5
    gateway: 203.0.113.9
    people: people/far-kobe.yaml
"""


class Account:
    """An account in which others have a little of everything, and stacks that want more."""

    def __init__(self, folder: Path, emulator: Emulator, engine: Path) -> None:
        self.session = boto3.Session("x", "y", region_name=REGION)
        self.endpoint = emulator.endpoint
        self.project = folder / "project"
        self.engine = Engine(
            engine=engine,
            state=folder / "state",
            project=self.project,
            endpoint=emulator.endpoint,
            region=REGION,
            checkpoints=False,
        )
        self.ec2 = self.client("ec2")
        self.preview = cache(self._preview)

    def client(self, service: str) -> Any:
        return self.session.client(service, endpoint_url=self.endpoint)

    def stack(self, name: str, text: str) -> None:
        (self.project / "stacks" / f"Pulumi.{name}.yaml").write_text(text)

    def publish(self, terms: contract.Contract) -> None:
        self.client("ssm").put_parameter(
            Name=contract.parameter_name(terms.environment),
            Value=contract.to_json(terms),
            Type="String",
        )

    def _preview(self, stack: str) -> str:
        """What the preview of a stack is refused with."""
        with pytest.raises(EngineError) as caught:
            self.engine.preview(stack)
        return str(caught.value)

    def fill(self) -> None:
        """Two VPCs, joined in both ways, a NAT gateway and a VPN."""
        ec2 = self.ec2
        vpcs = [
            ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
            for cidr in (TERMS.network, "192.168.99.0/24")
        ]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=f"{REGION}a")["Subnet"]
            for vpc, cidr in zip(vpcs, ("10.1.21.0/24", "192.168.99.0/25"), strict=True)
        ]
        internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpcs[0])
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        ec2.create_nat_gateway(SubnetId=subnets[0]["SubnetId"], AllocationId=address)
        table = ec2.create_route_table(VpcId=vpcs[0])["RouteTable"]["RouteTableId"]
        self.publish(replace(TERMS, vpc=vpcs[0], route_table=table))
        self._peer(vpcs, table)
        self._transit(vpcs, table, subnets[1]["SubnetId"])

    def _peer(self, vpcs: list[str], table: str) -> None:
        made = self.ec2.create_vpc_peering_connection(VpcId=vpcs[1], PeerVpcId=vpcs[0])
        peering = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
        self.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=peering)
        self.ec2.create_route(
            RouteTableId=table,
            DestinationCidrBlock="192.168.99.0/24",
            VpcPeeringConnectionId=peering,
        )

    def _transit(self, vpcs: list[str], table: str, subnet: str) -> None:
        gateway = self.ec2.create_transit_gateway()["TransitGateway"]
        transit = gateway["TransitGatewayId"]
        self.ec2.create_transit_gateway_vpc_attachment(
            TransitGatewayId=transit, VpcId=vpcs[1], SubnetIds=[subnet]
        )
        customer = self.ec2.create_customer_gateway(
            Type="ipsec.1", PublicIp="203.0.113.7", BgpAsn=65000
        )["CustomerGateway"]["CustomerGatewayId"]
        self.ec2.create_vpn_connection(
            Type="ipsec.1",
            CustomerGatewayId=customer,
            TransitGatewayId=transit,
            Options={"StaticRoutesOnly": True},
        )
        self.publish(
            replace(
                TERMS,
                environment="far",
                vpc=vpcs[0],
                branch_link="transit-gateway",
                route_table="",
                transit_gateway=transit,
                transit_routes=gateway["Options"]["AssociationDefaultRouteTableId"],
            )
        )


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    engine = ensure_engine(cache_folder(), print)
    folder = tmp_path_factory.mktemp("quotas")
    mirror(ROOT, folder / "project")
    images = tuple(image_architectures(folder / "project").items())
    with Emulator(folder, images=images, quotas=QUOTAS) as emulator:
        made = Account(folder, emulator, engine)
        osaka = (made.project / "stacks" / "Pulumi.dev-osaka.yaml").read_text()
        made.stack("dev-osaka", osaka.replace("    host:", "    way_out: nat\n    host:"))
        made.stack("far-osaka", osaka.replace("environment: dev", "environment: far"))
        made.stack("far-kobe", OFFICE)
        dev = (made.project / "stacks" / "Pulumi.dev.yaml").read_text()
        assert "- us-east-1a\n" in dev
        made.stack("east", dev.replace("- us-east-1a\n", "- us-east-1e\n"))
        (made.project / "stacks" / "people" / "far-kobe.yaml").write_text("users: []\n")
        made.fill()
        yield made


@pytest.mark.parametrize(
    ("stack", "quota", "numbers"),
    [
        ("dev", "vCPUs of running On-Demand Standard instances", (4, 4, None, 3)),
        ("dev", "VPCs per Region", (3, 1, 2, 2)),
        ("dev", "Internet gateways per Region", (3, 1, 2, 1)),
        ("dev", "EC2-VPC Elastic IPs", (3, 2, 1, 1)),
        ("dev", "NAT gateways per availability zone", (2, 1, 1, 1)),
        ("dev", "rules per security group and direction", (5, 5, 0, 2)),
        ("dev", "rules per network ACL and direction", (10, 10, 0, 4)),
        ("dev-osaka", "active VPC peering connections per VPC", (2, 1, 1, 1)),
        ("dev-osaka", "routes per route table", (2, 1, 1, 1)),
        ("dev-osaka", "NAT gateways per availability zone", (2, 1, 1, 1)),
        ("far-osaka", "attachments per transit gateway", (3, 1, 2, 2)),
        ("far-kobe", "Site-to-Site VPN connections per Region", (2, 1, 1, 1)),
    ],
)
def test_a_breach_is_refused_at_preview_with_its_numbers(
    account: Account, stack: str, quota: str, numbers: tuple[int, int, int | None, int]
) -> None:
    """Numbers: what it must be, what the stack needs, what others use (None: nobody tells), what
    the account has."""
    said = account.preview(stack)
    pattern = (
        rf"quota {re.escape(quota)}: must be at least (\d+) \(this stack needs (\d+), "
        r"(?:others use (\d+)|what others use is not known)\), the account has (\d+); "
        r"(?:raise it: aws service-quotas |AWS grants at most)"
    )
    found = {
        tuple(int(number) if number else None for number in numbers)
        for numbers in re.findall(pattern, said)
    }
    assert found == {numbers}, said


def test_an_image_that_does_not_run_on_its_type_is_refused_at_preview(account: Account) -> None:
    text = (account.project / "stacks" / "Pulumi.dev.yaml").read_text()
    hub = "      host: ms.example.jp\n"
    absent = "ami-0123456789abcdef0"
    text = text.replace("t4g.small", "t3.small").replace(hub, f"{hub}      image: {absent}\n")
    account.stack("other", text)
    said = account.preview("other")
    assert (
        "environment.instance_type: must be an instance type of us-east-1 with the architecture "
        "arm64, as environment.image ami-01b1eba85c1cd6a3d has, got t3.small"
    ) in said
    assert (
        "environment.hub.image: must be an image that this account may launch in us-east-1, got "
        f"{absent}"
    ) in said


def test_nothing_was_made(account: Account) -> None:
    for stack in ("dev", "dev-osaka", "far-osaka", "far-kobe"):
        account.preview(stack)
    assert len(account.ec2.describe_vpcs()["Vpcs"]) == 2
    assert len(account.ec2.describe_addresses()["Addresses"]) == 1


def test_a_zone_without_the_hosts_instance_type_is_refused_at_preview(account: Account) -> None:
    said = account.preview("east")
    assert re.search(
        r"environment\.zones\[0\]: must be a zone that has environment\.instance_type t4g\.small "
        r"\(us-east-1a, us-east-1b, us-east-1c, us-east-1d, us-east-1f\), got us-east-1e",
        said,
    ), said
