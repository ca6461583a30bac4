"""One emulator process for all tests of this folder; each test makes a VPC of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config

IMAGE = "ami-0123456789abcdef0"
QUOTAS = "vpcs=100,elastic_ips=100,internet_gateways=100,nat_gateways_per_zone=100"
LIMIT_SECONDS = 30


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port_file = tmp_path_factory.mktemp("emulator") / "port"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "lab.emulator", "--port-file", str(port_file)),
            *("--image", f"{IMAGE}=arm64"),
        ],
        env={**os.environ, "GATEPOST_EMULATOR_QUOTAS": QUOTAS},
    )
    try:
        deadline = time.monotonic() + LIMIT_SECONDS
        while not port_file.exists():
            assert process.poll() is None, "the emulator ended before it answered"
            assert time.monotonic() < deadline, f"no port file after {LIMIT_SECONDS} s"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port_file.read_text().strip()}"
    finally:
        process.terminate()
        process.wait(LIMIT_SECONDS)


@pytest.fixture(scope="session")
def client(endpoint: str) -> Callable[[str], Any]:
    session = boto3.Session("x", "y", region_name="ap-northeast-1")
    quick = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    return lambda service: session.client(service, endpoint_url=endpoint, config=quick)


@pytest.fixture(scope="session")
def ec2(client: Callable[[str], Any]) -> Any:
    return client("ec2")
