"""The emulator that these tests read, one for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import boto3
import pytest

REGION = "ap-northeast-1"
IMAGE = "ami-0123456789abcdef0"
_LIMIT_SECONDS = 30


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[boto3.Session]:
    """A session whose calls go to an emulator, as they do in the lab: by AWS_ENDPOINT_URL."""
    port_file = tmp_path_factory.mktemp("emulator") / "port"
    command = [sys.executable, "-m", "lab.emulator", "--port-file", str(port_file)]
    emulator = subprocess.Popen([*command, "--image", f"{IMAGE}=arm64"])
    try:
        deadline = time.monotonic() + _LIMIT_SECONDS
        while not port_file.exists():
            assert emulator.poll() is None, "the emulator ended before it answered"
            assert time.monotonic() < deadline, f"no port file after {_LIMIT_SECONDS} s"
            time.sleep(0.05)
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port_file.read_text().strip()}"
        yield boto3.Session("x", "y", region_name=REGION)
    finally:
        os.environ.pop("AWS_ENDPOINT_URL", None)
        emulator.terminate()
        emulator.wait(_LIMIT_SECONDS)
