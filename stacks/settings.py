"""Read a stack's settings and its file of people; every problem of both is reported at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from model.fields import SettingsError
from model.people import People, in_alias_domains, read_people
from model.settings import Branch, Environment, read_branch, read_environment

HERE = Path(__file__).parent
"""The folder of the stack files; a file of people is named relative to it."""


def load_environment(raw: object) -> tuple[Environment, People]:
    """The settings and people of an environment, those in its alias domains too.

    Raises SettingsError with every problem.
    """
    values, problems = read_environment(raw)
    people, more = _people(values, values.get("domains"), branch=False)
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


def load_branch_people(
    branch: Branch, domains: tuple[str, ...], alias_domains: Mapping[str, str]
) -> tuple[People | None, list[str]]:
    """A branch's people, whose addresses must be in the environment's mail `domains`.

    They exist in its alias domains too.
    """
    people, problems = _people({"people": branch.people}, domains, branch=True)
    return people and in_alias_domains(people, alias_domains), problems


def _people(
    values: dict[str, Any], domains: tuple[str, ...] | None, *, branch: bool
) -> tuple[People | None, list[str]]:
    name = values.get("people")
    if name is None:
        return None, []
    try:
        raw = yaml.safe_load((HERE / name).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return None, [f"people: must be a YAML file beside the stack file, got {name!r} ({error})"]
    return read_people(raw, domains, path=name, branch=branch)
