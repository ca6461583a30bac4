"""Steps that the tests of the emulator share, through boto3."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import pytest
from botocore.exceptions import ClientError

IMAGE = "ami-0123456789abcdef0"


@contextlib.contextmanager
def refused(code: str) -> Generator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code


def make_vpc(ec2: Any, cidr: str = "10.9.0.0/16") -> str:
    return ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]


def make_subnet(ec2: Any, vpc: str, cidr: str = "10.9.1.0/24") -> str:
    return ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]


def make_gateway(ec2: Any, vpc: str) -> str:
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    return gateway


def make_group(ec2: Any, vpc: str, name: str = "g") -> str:
    return ec2.create_security_group(GroupName=name, Description="d", VpcId=vpc)["GroupId"]


def launch(ec2: Any, subnet: str, **more: Any) -> dict[str, Any]:
    request = {"ImageId": IMAGE, "InstanceType": "t4g.nano", "MinCount": 1, "MaxCount": 1}
    return ec2.run_instances(**request | {"SubnetId": subnet} | more)["Instances"][0]


def allocate(ec2: Any) -> dict[str, Any]:
    return ec2.allocate_address(Domain="vpc")
