"""The two phases of a new domain, by the real engine: what waits, what is refused, what comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from emulated import Emulator

from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine, EngineError
from lab.engine.project import mirror
from lab.faults import SOUND, Faults
from lab.session import cache_folder
from lab.stackfile import image_architectures, region
from lab.world.model import World
from lab.world.read import read_world

ROOT = Path(__file__).parents[3]
RELAY = "dmz-ms.example.jp."


class Domain:
    """The environment `dev`, of which the registrar knows nothing yet."""

    def __init__(self, folder: Path, emulator: Emulator, built: Path) -> None:
        self.emulator, self.project = emulator, folder / "project"
        self.region = region(self.project, ["dev"])
        self.said: list[str] = []
        self.engine = Engine(
            engine=built,
            state=folder / "state",
            project=self.project,
            endpoint=emulator.endpoint,
            region=self.region,
            progress=self.said.append,
            checkpoints=False,
        )

    def delegated(self, setting: str) -> None:
        """Write the setting into the stack file."""
        file = self.project / "stacks" / "Pulumi.dev.yaml"
        lines = file.read_text().splitlines(keepends=True)
        [place] = [number for number, line in enumerate(lines) if "delegated:" in line]
        lines[place] = f"    delegated: {setting}\n"
        file.write_text("".join(lines))

    def world(self, monkeypatch: pytest.MonkeyPatch) -> World:
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.emulator.endpoint)
        return read_world(boto3.Session("x", "y", region_name=self.region), self.region)


@pytest.fixture
def domain(tmp_path: Path) -> Iterator[Domain]:
    built = ensure_engine(cache_folder(), print)
    mirror(ROOT, tmp_path / "project")
    images = tuple(image_architectures(tmp_path / "project").items())
    with Emulator(tmp_path, images=images) as emulator:
        emulator.fault(Faults(undelegated=True))
        yield Domain(tmp_path, emulator, built)


def names(world: World, kind: str) -> set[str]:
    return {r.name for zone in world.zones for r in zone.records if r.type == kind}


def test_a_new_domain_comes_in_two_phases(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    domain.delegated("false")
    made: Any = domain.engine.up("dev")
    waits = "\n".join(line for line in domain.said if "waiting for delegation" in line)
    assert "the reverse names of dmz-ms.example.jp" in waits
    assert "certificates of a public authority; MTA-STS of example.jp, example.co.jp" in waits
    assert set(made.outputs["name_servers"]) == {"example.jp", "example.co.jp"}
    first = domain.world(monkeypatch)
    assert RELAY in names(first, "A")
    assert not [name for name in names(first, "TXT") if name.startswith("_mta-sts")]
    assert first.pointers == ()

    # Said too early, it is AWS that refuses.
    domain.delegated("true")
    with pytest.raises(EngineError, match=rf"{RELAY[:-1]} does not resolve .* from the Internet"):
        domain.engine.up("dev")
    assert domain.world(monkeypatch).pointers == ()

    domain.emulator.fault(SOUND)
    domain.said.clear()
    domain.engine.up("dev")
    assert not [line for line in domain.said if "waiting for delegation" in line]
    last = domain.world(monkeypatch)
    assert [name for _, name in last.pointers] == [RELAY]
    assert "_mta-sts.example.jp." in names(last, "TXT")
