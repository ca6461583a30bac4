"""Read a stack's settings and its file of people; every problem of both is reported at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from model import directory, fields
from model.claims import Claims, disputes
from model.fields import SettingsError
from model.forwarding import NOWHERE, Forwarding
from model.hosts import NAME
from model.neighbours import Neighbour, stack_name
from model.people import People, glimpse, in_alias_domains, read_people
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
    """The settings and people of the environment `stack`, those in its alias domains too.

    Raises SettingsError with every problem.
    """
    values, problems = read_environment(raw)
    legacy = tuple(server.name for server in values.get("legacy", ()))
    people, more = _people(
        values, values.get("domains"), branch=False, legacy=legacy, allowed=forwarding(values)
    )
    problems += _environment_name_problems(stack, values.get("region"))
    if people:
        more += claim_problems(stack, stack, values["people"], people)
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

    They exist in its alias domains too. No other file may claim one of them.
    """
    people, problems = _people({"people": branch.people}, domains, branch=True)
    if people:
        stack = stack_name(branch.environment, branch.name)
        problems += claim_problems(stack, branch.environment, branch.people, people)
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
    return [
        Neighbour(
            where=f"stack {other}",
            **{key: values.get(key) for key in ("network", "name", "host", "gateway")},
        )
        for other, values in _branches(environment, folder)
        if other != stack
    ]


def claim_problems(stack: str, environment: str, path: str, people: People) -> list[str]:
    """Where files of people of the same environment, in the same folder, claim what this one does.

    `people` are those of the file `path` of `stack`. Raises SettingsError for a file that is no
    YAML.
    """
    own = Claims(where=path, people=people, branch=stack != environment)
    home = _settings(HERE / f"Pulumi.{environment}.yaml", "environment", Environment)
    found = [(environment, home), *_branches(environment, HERE)]
    files = {other: values["people"] for other, values in found if "people" in values}
    opened = people.open_aliases
    if own.branch and environment in files:
        opened = _glimpse(files[environment], branch=False).open_aliases
    mine = own.firm(opened)
    others = [
        Claims(
            where=f"{file} of stack {other}",
            people=_glimpse(file, branch=other != environment),
            branch=other != environment,
        )
        for other, file in files.items()
        if other != stack and _speaks_of(mine, file)
    ]
    return list(disputes(own, others, opened))


def _branches(environment: str, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The stacks of an environment's branches and offices, and what their files say."""
    for file in sorted(folder.glob(f"Pulumi.{stack_name(environment, '*')}.yaml")):
        for kind, cls in (("branch", Branch), ("office", Office)):
            values = _settings(file, kind, cls)
            if values.get("environment") == environment:
                yield file.name.removeprefix("Pulumi.").removesuffix(".yaml"), values


def _settings(file: Path, kind: str, cls: type[Any]) -> dict[str, Any]:
    """What can be read of another stack's settings; nothing of one that is of another kind."""
    content = _yaml(file)
    config = content.get("config") if isinstance(content, dict) else None
    return fields.read(cls, (config or {}).get(f"gatepost:{kind}"))[0]


def _glimpse(name: str, *, branch: bool) -> People:
    """What can be read of another stack's file of people."""
    return glimpse(_yaml(HERE / name), branch=branch)


def _speaks_of(addresses: set[str], name: str) -> bool:
    """Whether a file has one of these addresses anywhere: to read all of each takes far longer."""
    file = HERE / name
    return file.exists() and not addresses.isdisjoint(_ADDRESS.findall(file.read_text()))


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


def _yaml(file: Path) -> Any:
    """What another stack's file holds, nothing if there is none; raises SettingsError."""
    if not file.exists():
        return None
    status = file.stat()
    return _parsed(file, status.st_size, status.st_mtime_ns)


@cache
def _parsed(file: Path, _size: int, _changed: int) -> Any:
    """As `_yaml`: of hundreds of files each is asked for several times, and read once."""
    try:
        return _read(file)[0]
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError([f"{file.name}: must be a YAML file, got {error}"]) from None


def _read(file: Path) -> tuple[Any, list[str]]:
    """The content of a YAML file, and a sentence for each key that is there twice."""
    loader = _Loader(file.read_text())
    try:
        return loader.get_single_data(), loader.twice
    finally:
        loader.dispose()


_ADDRESS = re.compile(r"[a-z0-9._-]+@[a-z0-9.-]+")
"""Whatever looks like an address, as files of people have them (model/people.py)."""


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
