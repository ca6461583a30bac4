"""The project with one kind of link between `dev` and its branches, and an emulator for it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from emulated import Emulator

from lab.engine.project import mirror
from lab.stackfile import image_architectures

ROOT = Path(__file__).parents[3]
QUOTAS = {"vpcs": 20, "internet_gateways": 20, "elastic_ips": 20}
LINKS = ("peering", "transit-gateway")
KEY = "  gatepost:environment:\n"


@contextmanager
def linked(project: Path, link: str) -> Generator[Emulator]:
    """Makes `project` a copy whose environment has that link."""
    mirror(ROOT, project)
    file = project / "stacks" / "Pulumi.dev.yaml"
    assert KEY in file.read_text()
    file.write_text(file.read_text().replace(KEY, f"{KEY}    branch_link: {link}\n"))
    images = tuple(image_architectures(project).items())
    with Emulator(project.parent, images=images, quotas=QUOTAS) as emulator:
        yield emulator
