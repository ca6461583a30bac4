"""One emulator process for all tests of this folder; each test makes a VPC of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from emulated import Emulator

from lab.emulator.quotas import DEFAULTS

IMAGE = "ami-0123456789abcdef0"
RAISED = {name: 100 for name in DEFAULTS if not name.startswith("rules_per_")}


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("emulator")
    with Emulator(folder, images=((IMAGE, "arm64"),), quotas=RAISED) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def endpoint(emulator: Emulator) -> str:
    return emulator.endpoint


@pytest.fixture(scope="session")
def client(endpoint: str) -> Callable[[str], Any]:
    session = boto3.Session("x", "y", region_name="ap-northeast-1")
    quick = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    return lambda service: session.client(service, endpoint_url=endpoint, config=quick)


@pytest.fixture(scope="session")
def ec2(client: Callable[[str], Any]) -> Any:
    return client("ec2")
