"""One relay at a time by the real engine, without machines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from emulated import Emulator

from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine, EngineError, Result
from lab.engine.project import mirror
from lab.session import cache_folder
from lab.stackfile import image_architectures, region

ROOT = Path(__file__).parents[3]
STACK = "prod"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIINEdKMKVKgbuo6rHVCXSoPvuY2imstuJPadGNSVLgtE another"
MX1, MX2, HUB = (f"gatepost-{STACK}-{label}" for label in ("mx1", "mx2", "ms"))


@dataclass(frozen=True, kw_only=True)
class Company:
    """The environment `prod`, brought up in an emulator of its own."""

    engine: Engine
    project: Path
    ec2: Any
    said: list[str]

    def change(self, **settings: Any) -> None:
        """Change settings in the stack file."""
        file = self.project / "stacks" / f"Pulumi.{STACK}.yaml"
        content = yaml.safe_load(file.read_text())
        content["config"]["gatepost:environment"] |= settings
        file.write_text(yaml.safe_dump(content))

    def up(self, *, refresh: bool = False) -> Result:
        self.said.clear()
        return self.engine.up(STACK, refresh=refresh)

    def terminate(self, host: str) -> None:
        running = [
            {"Name": "tag:Name", "Values": [host]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
        [found] = self.ec2.describe_instances(Filters=running)["Reservations"]
        self.ec2.terminate_instances(InstanceIds=[found["Instances"][0]["InstanceId"]])


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    built = ensure_engine(cache_folder(), print)
    folder = tmp_path_factory.mktemp("turns")
    mirror(ROOT, folder / "project")
    images = tuple(image_architectures(folder / "project").items())
    where, said = region(folder / "project", [STACK]), []
    with Emulator(folder, images=images) as emulator:
        engine = Engine(
            engine=built,
            state=folder / "state",
            project=folder / "project",
            endpoint=emulator.endpoint,
            region=where,
            progress=said.append,
            checkpoints=False,
        )
        session = boto3.Session("x", "y", region_name=where)
        made = Company(
            engine=engine,
            project=folder / "project",
            ec2=session.client("ec2", endpoint_url=emulator.endpoint),
            said=said,
        )
        made.up()
        yield made


def launched(result: Result) -> set[tuple[str, str]]:
    """What was done to which instances and key pairs."""
    return {
        (operation, urn.rpartition("::")[2])
        for operation, urn in result.changes
        if operation in ("create", "update", "replace", "delete")
        and ("aws:ec2/instance:Instance" in urn or "aws:ec2/keyPair:KeyPair" in urn)
    }


def test_another_key_of_the_administrators_takes_two_turns(company: Company) -> None:
    pair = f"gatepost-{STACK}-administrators"
    company.change(administrator_key=KEY)
    first = company.up()
    assert launched(first) == {("replace", pair), ("replace", MX1), ("replace", HUB)}
    assert any("renews mx1.example.jp only" in line for line in company.said)
    assert len(company.ec2.describe_key_pairs()["KeyPairs"]) == 1
    assert launched(company.up()) == {("replace", MX2)}
    assert company.up(refresh=True).changes == ()


def test_no_relay_is_replaced_while_another_has_to_be_made(company: Company) -> None:
    """As after a replacement that failed when the old host was gone."""
    template = company.project / "userdata" / "templates" / "relay.cf.j2"
    template.write_text(template.read_text() + "\n# Another line.\n")
    company.terminate("mx1.example.jp")
    assert launched(company.up(refresh=True)) == {("create", MX1)}
    assert any("mx2.example.jp must be renewed and wait" in line for line in company.said)
    assert launched(company.up()) == {("replace", MX2)}
    assert company.up().changes == ()


def test_a_relay_that_is_taken_out_takes_no_other_with_it(company: Company) -> None:
    company.change(protect=False)
    company.up()
    second = {"host": "mx2.example.jp", "zone": "us-east-1b"}
    company.change(relays=[second])
    with pytest.raises(EngineError, match=r"mx2\.example\.jp must keep its address 10\.2\.2\.5"):
        company.engine.preview(STACK)
    company.change(relays=[second | {"place": 2}])
    assert launched(company.up()) == {("delete", MX1)}
