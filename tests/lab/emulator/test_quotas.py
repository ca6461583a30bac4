"""Quotas by the API of Service Quotas: AWS's defaults, and what an increase has made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from emulated import Emulator

from lab.emulator import quotas


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with Emulator(tmp_path_factory.mktemp("emulator"), images=(), quotas={"vpcs": 20}) as emulator:
        session = boto3.Session("x", "y", region_name="ap-northeast-1")
        yield session.client("service-quotas", endpoint_url=emulator.endpoint)


@pytest.mark.parametrize(
    ("service", "code", "default"),
    [
        ("vpc", "L-A4707A72", 5),
        ("ec2", "L-0263D0A3", 5),
        ("vpc", "L-FE5A380F", 5),
        ("vpc", "L-7E9ECCDB", 50),
        ("vpc", "L-0EA8095F", 60),
        ("vpc", "L-93826ACB", 500),
        ("vpc", "L-2AFB9258", 5),
        ("vpc", "L-2AEEBF1A", 20),
        ("vpc", "L-407747CB", 200),
    ],
)
def test_defaults(api: Any, service: str, code: str, default: int) -> None:
    for call in (api.get_service_quota, api.get_aws_default_service_quota):
        quota = call(ServiceCode=service, QuotaCode=code)["Quota"]
        assert (quota["QuotaCode"], quota["Value"]) == (code, default)


def test_an_increase_is_in_force_beside_the_default(api: Any) -> None:
    vpcs = {"ServiceCode": "vpc", "QuotaCode": "L-F678F1CE"}
    assert api.get_service_quota(**vpcs)["Quota"]["Value"] == 20
    assert api.get_aws_default_service_quota(**vpcs)["Quota"]["Value"] == 5


def test_an_increase_is_granted_at_once_and_must_be_one(api: Any) -> None:
    nats = {"ServiceCode": "vpc", "QuotaCode": "L-FE5A380F"}
    with pytest.raises(ClientError, match="IllegalArgumentException"):
        api.request_service_quota_increase(**nats, DesiredValue=5)
    answer = api.request_service_quota_increase(**nats, DesiredValue=6)["RequestedQuota"]
    assert (answer["Status"], answer["DesiredValue"]) == ("APPROVED", 6)
    assert api.get_service_quota(**nats)["Quota"]["Value"] == 6
    assert api.get_aws_default_service_quota(**nats)["Quota"]["Value"] == 5
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        api.request_service_quota_increase(
            ServiceCode="vpc", QuotaCode="L-00000000", DesiredValue=6
        )


def test_an_unknown_quota(api: Any) -> None:
    for call in (api.get_service_quota, api.get_aws_default_service_quota):
        with pytest.raises(ClientError, match="NoSuchResourceException"):
            call(ServiceCode="vpc", QuotaCode="L-00000000")


def test_a_quota_that_is_not_counted_cannot_be_checked() -> None:
    with pytest.raises(ValueError, match="routes_per_table"):
        quotas.check("routes_per_table", 1)
