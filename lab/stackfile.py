"""What the lab must know before a first deployment: stacks, their Region, the images they name.

The lab knows the program only by running it, so it reads the stack files as plain text: any
`region:` in them is a Region, anything that looks like an image id is one.
"""

from __future__ import annotations

import re
from pathlib import Path

from lab.errors import LabError

FOLDER = "stacks"
"""Where Pulumi.yaml's stackConfigDir puts the stack files."""

KNOWN = {"ami-01b1eba85c1cd6a3d": "arm64"}
"""debian-13-arm64-20250814-2204 in us-east-1."""


def stack_file(project: Path, stack: str) -> Path:
    """The file of a stack; raises LabError, naming the stacks there are, if it has none."""
    path = project / FOLDER / f"Pulumi.{stack}.yaml"
    if not path.exists():
        known = ", ".join(stacks(project)) or "none"
        raise LabError(f"stack {stack}: no file {path}; stacks here: {known}")
    return path


def stacks(project: Path) -> list[str]:
    """The names of all stacks that have a file, sorted."""
    files = (project / FOLDER).glob("Pulumi.*.yaml")
    return sorted(file.name.removeprefix("Pulumi.").removesuffix(".yaml") for file in files)


def family(project: Path, environment: str) -> list[str]:
    """An environment's stack and those of its branches, by their names: dev, dev-osaka, …"""
    branches = [name for name in stacks(project) if name.startswith(f"{environment}-")]
    stack_file(project, environment)
    return [environment, *branches]


def region(project: Path, names: list[str]) -> str:
    """The one Region of these stacks; raises LabError if they name none or several."""
    found = {
        match
        for name in names
        for match in re.findall(r"^\s*region:\s*(\S+)", _text(project, name), re.MULTILINE)
    }
    if len(found) != 1:
        listed = ", ".join(sorted(found)) or "none"
        raise LabError(f"stacks {', '.join(names)}: must name one Region in all, got {listed}")
    return found.pop()


def image_architectures(project: Path) -> dict[str, str]:
    """Every image id that a stack file names, and the architecture of that file's machines.

    A Graviton instance type has a `g` behind its generation's number ("Amazon EC2 instance type
    naming conventions", EC2 User Guide); without a type the program's own default is one. KNOWN
    images are what they are, whatever the file says.
    """
    found = {}
    for name in stacks(project):
        text = _text(project, name)
        types = re.findall(r"^\s*instance_type:\s*(\S+)", text, re.MULTILINE)
        graviton = all(re.match(r"[a-z]+\d+[a-z]*g", each) for each in types)
        for image in re.findall(r"\bami-[0-9a-f]{8,17}\b", text):
            found[image] = KNOWN.get(image, "arm64" if graviton else "x86_64")
    return found


def _text(project: Path, name: str) -> str:
    return stack_file(project, name).read_text()
