"""What the lab must know before a first deployment: stacks, their Region, the images they name.

The lab knows the program only by running it, so it reads the stack files as plain text: any
`region:` in them is a Region, anything that looks like an image id is one. Commands that need a
stack's settings read them here too, so that a slip in a file is told alike by all.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from lab.errors import LabError

LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""libyaml where PyYAML has it: 200 branches have as many files, and all are read each time."""

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


def read_stack(project: Path, stack: str) -> dict[str, Any]:
    """The `config` of a stack's file; raises LabError, with file and line, if it has none."""
    file = stack_file(project, stack)
    config = read_yaml(file).get("config")
    if not isinstance(config, dict):
        raise LabError(
            f"{file}: must have a mapping `config:` with the stack's settings, got {config!r}"
        )
    return config


def read_yaml(file: Path) -> dict[str, Any]:
    """The mapping in a stack file, empty for an empty file; raises LabError with file and line."""
    text = read_text(file)
    try:
        content = yaml.load(text, Loader=LOADER)
    except (yaml.YAMLError, ValueError) as error:
        raise not_yaml(file, error) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise LabError(f"{file}: must be a mapping that begins with `config:`, got {content!r:.60}")
    return content


def read_text(file: Path) -> str:
    """A stack file as it is written; raises LabError if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise LabError(f"{file}, line {line}: must be UTF-8, got {error.reason}") from None


def not_yaml(file: Path, error: Exception) -> LabError:
    """What to tell of a YAML parser's error (PyYAML's and ruamel.yaml's are made alike)."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f", line {mark.line + 1}" if mark else ""
    return LabError(f"{file}{where}: must be YAML, got an error: {problem or error}")


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
    return read_text(stack_file(project, name))
