"""One emulator and one engine for the folder; each test has a stack and a program of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from emulated import Emulator

from lab.emulator.quotas import DEFAULTS
from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine
from lab.session import cache_folder

IMAGE = "ami-0123456789abcdef0"
REGION = "ap-northeast-1"
PREAMBLE = """
import json
import pulumi
import pulumi_aws as aws
provider = aws.Provider(
    "aws", region="REGION", default_tags={"tags": {"project": "gatepost"}}
)
options = pulumi.ResourceOptions(provider=provider)
"""


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    quotas = {name: 50 for name in DEFAULTS if not name.startswith("rules_per_")}
    folder = tmp_path_factory.mktemp("emulator")
    with Emulator(folder, images=((IMAGE, "arm64"),), quotas=quotas) as emulator:
        yield emulator


@pytest.fixture(scope="session")
def client(emulator: Emulator) -> Callable[[str], Any]:
    session = boto3.Session("x", "y", region_name=REGION)
    return lambda service: session.client(service, endpoint_url=emulator.endpoint)


class Project:
    """A project folder whose program tests write, and the engine that drives it."""

    def __init__(self, folder: Path, engine: Path, endpoint: str, region: str) -> None:
        self.region = region
        self.folder = folder / "project"
        (self.folder / "stacks").mkdir(parents=True)
        self.write_file("Pulumi.yaml", "name: gatepost\nruntime: python\nstackConfigDir: stacks\n")
        self.write_file("stacks/Pulumi.dev.yaml", "config:\n  gatepost:word: hello\n")
        self.lines: list[str] = []
        self.state = folder / "state"
        self.engine = Engine(
            engine=engine,
            state=self.state,
            project=self.folder,
            endpoint=endpoint,
            region=region,
            progress=self.lines.append,
            checkpoints=False,
        )

    def write_file(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def program(self, text: str) -> None:
        """Write the program; `provider` and `options` are defined in it already."""
        self.write_file("__main__.py", PREAMBLE.replace("REGION", self.region) + text)


@pytest.fixture
def project(
    request: pytest.FixtureRequest, tmp_path: Path, emulator: Emulator
) -> Iterator[Project]:
    """A project in the folder's Region, or in the one that a test gives as a parameter."""
    engine = ensure_engine(cache_folder(), print)
    region = getattr(request, "param", REGION)
    made = Project(tmp_path, engine, emulator.endpoint, region)
    yield made
    # Whatever a test leaves is in the shared emulator: take it away for the next one.
    if (made.state / "pulumi").exists():
        made.program("")
        made.engine.destroy("dev")
