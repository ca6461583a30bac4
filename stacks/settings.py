"""Read a stack's settings and its file of people; every problem of both is reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from model import directory, fields
from model.fields import SettingsError
from model.forwarding import NOWHERE, Forwarding
from model.hosts import NAME
from model.neighbours import Neighbour, stack_name
from model.people import People, in_alias_domains, read_people
from model.settings import (
    Branch,
    Environment,
    Office,
    forwarding,
    read_branch,
    read_environment,
    read_office,
)

HERE = Path(__file__).parent
"""The folder of the stack files; a file of people is named relative to it."""

BUCKET_NAME = 63
"""The most characters of a bucket's name (S3 User Guide, "Bucket naming rules")."""


def load_environment(stack: str, raw: object) -> tuple[Environment, People]:
    """The settings and people of an environment, those in its alias domains too.

    Raises SettingsError with every problem.
    """
    values, problems = read_environment(raw)
    legacy = tuple(server.name for server in values.get("legacy", ()))
    people, more = _people(
        values, values.get("domains"), branch=False, legacy=legacy, allowed=forwarding(values)
    )
    problems += _environment_name_problems(stack, values.get("region"))
    if problems or more or people is None:
        raise SettingsError(problems + more)
    settings = Environment(**values)
    return settings, in_alias_domains(people, settings.alias_domains)


def load_branch(raw: object) -> Branch:
    """The settings of a branch; raises SettingsError with every problem of settings and people.

    The people's domains are the environment's to name: `load_branch_people` checks them.
    """
    values, problems = read_branch(raw)
    _, more = _people(values, None, branch=True)
    if problems or more:
        raise SettingsError(problems + more)
    return Branch(**values)


def load_office(raw: object) -> Office:
    """As load_branch, for an office that is not on AWS."""
    values, problems = read_office(raw)
    _, more = _people(values, None, branch=True)
    if problems or more:
        raise SettingsError(problems + more)
    return Office(**values)


def load_branch_people(
    branch: Branch | Office, domains: tuple[str, ...], alias_domains: Mapping[str, str]
) -> tuple[People | None, list[str]]:
    """A branch's people, whose addresses must be in the environment's mail `domains`.

    They exist in its alias domains too.
    """
    people, problems = _people({"people": branch.people}, domains, branch=True)
    return people and in_alias_domains(people, alias_domains), problems


def name_problems(stack: str, branch: Branch | Office) -> list[str]:
    """A branch's stack is named after it: two stacks can then not write one part of the directory.

    Pulumi itself has no two stacks of one name in a project.
    """
    wanted = stack_name(branch.environment, branch.name)
    if stack == wanted:
        return []
    return [f"stack: must be called {wanted}, as its environment and name say, got {stack}"]


def _environment_name_problems(stack: str, region: str | None) -> list[str]:
    """An environment's stack is what its branches name, and its name is part of its bucket's."""
    try:
        NAME(stack)
    except ValueError as problem:
        return [f"stack: {problem}"]
    longest = BUCKET_NAME - len(directory.bucket_name("", "0" * 12, region or ""))
    if region and len(stack) > longest:
        return [
            f"stack: must be at most {longest} characters in {region}, got {len(stack)}: the name "
            f"of its bucket has at most {BUCKET_NAME}"
        ]
    return []


def neighbours(environment: str, stack: str, folder: Path = HERE) -> list[Neighbour]:
    """The other branches and offices of an environment that have a stack file in `folder`.

    What is wrong in another's file is for its own `up` to tell. Raises SettingsError for one that
    is no YAML.
    """
    found = []
    for file in sorted(folder.glob(f"Pulumi.{stack_name(environment, '*')}.yaml")):
        other = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
        try:
            content, _ = _read(file)
        except yaml.YAMLError as error:
            raise SettingsError([f"{file.name}: must be a YAML file, got {error}"]) from None
        config = content.get("config") if isinstance(content, dict) else None
        for kind, cls in (("branch", Branch), ("office", Office)):
            raw = (config or {}).get(f"gatepost:{kind}")
            values, _ = fields.read(cls, raw)
            if other != stack and values.get("environment") == environment:
                seen = {key: values.get(key) for key in ("network", "name", "host", "gateway")}
                found.append(Neighbour(where=f"stack {other}", **seen))
    return found


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """There may be hundreds of stack files and 100,000 people; libyaml is ten times as fast.

    `twice` has a sentence for each key that stands in its mapping again: YAML forbids it, and the
    parser would silently take the last.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.twice: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            # Any other node is no key at all: super() says so.
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                self.twice.append(f"line {line}: must have each key once, got {key.value!r} again")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read(file: Path) -> tuple[Any, list[str]]:
    """The content of a YAML file, and a sentence for each key that is there twice."""
    loader = _Loader(file.read_text())
    try:
        return loader.get_single_data(), loader.twice
    finally:
        loader.dispose()


def _people(
    values: dict[str, Any],
    domains: tuple[str, ...] | None,
    *,
    branch: bool,
    legacy: tuple[str, ...] = (),
    allowed: Forwarding = NOWHERE,
) -> tuple[People | None, list[str]]:
    name = values.get("people")
    if name is None:
        return None, []
    try:
        raw, twice = _read(HERE / name)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return None, [f"people: must be a YAML file beside the stack file, got {name!r} ({error})"]
    people, problems = read_people(
        raw, domains, path=name, branch=branch, legacy=legacy, forwarding=allowed
    )
    return people, [*(f"{name}: {sentence}" for sentence in twice), *problems]
