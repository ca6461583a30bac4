"""An address that two files in one folder claim is refused at preview, whichever stack it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from recording import run
from terms import TERMS, TERMS_JSON

from model.fields import SettingsError
from stacks import branch, environment
from stacks.settings import load_branch, load_branch_people, load_environment

STACKS = Path(environment.__file__).parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stack files and people of the demonstration, to change."""
    copy = tmp_path / "stacks"
    shutil.copytree(STACKS, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr("stacks.settings.HERE", copy)
    return copy


def claim(folder: Path, stack: str, address: Any) -> None:
    file = folder / "people" / f"{stack}.yaml"
    file.write_text(file.read_text().replace("users:\n", f"users:\n  - {address}\n", 1))


def problems(osaka: dict[str, Any]) -> list[str]:
    return load_branch_people(load_branch(osaka), tuple(TERMS.domains), {})[1]


def test_the_demonstration_s_files_claim_nothing_twice(
    dev: dict[str, Any], osaka: dict[str, Any], folder: Path
) -> None:
    assert problems(osaka) == []
    load_environment("dev", dev)


def test_the_preview_of_a_branch_names_both_files_and_the_address(
    osaka: dict[str, Any], folder: Path
) -> None:
    claim(folder, "dev", "jiro@example.jp")
    answers = {"aws:ssm/getParameter:getParameter": {"value": TERMS_JSON}}
    with pytest.raises(SettingsError) as caught:
        run(lambda: branch.build("dev-osaka", osaka), stack_name="dev-osaka", answers=answers)
    assert caught.value.problems == [
        "people/dev-osaka.yaml: must claim nothing that people/dev.yaml of stack dev does, "
        "got jiro@example.jp"
    ]


def test_so_does_the_preview_of_its_environment(dev: dict[str, Any], folder: Path) -> None:
    claim(folder, "dev-osaka", "hanako@example.jp")
    with pytest.raises(SettingsError) as caught:
        run(lambda: environment.build("dev", dev))
    assert caught.value.problems == [
        "people/dev.yaml: must claim nothing that people/dev-osaka.yaml of stack dev-osaka does, "
        "got hanako@example.jp"
    ]


@pytest.mark.parametrize("holder", ["dev", "dev-osaka"])
def test_a_mailbox_may_move(
    dev: dict[str, Any], osaka: dict[str, Any], folder: Path, holder: str
) -> None:
    for stack in ("dev", "dev-osaka"):
        claim(folder, stack, "goro@example.jp")
    assert len(problems(osaka)) == 1
    file = folder / "people" / f"{holder}.yaml"
    held = "- {address: goro@example.jp, hold: true}"
    file.write_text(file.read_text().replace("- goro@example.jp", held))
    assert problems(osaka) == []
    load_environment("dev", dev)


def test_another_branch_is_seen_and_another_environment_s_is_not(
    osaka: dict[str, Any], folder: Path
) -> None:
    text = (folder / "Pulumi.dev-osaka.yaml").read_text().replace("dev-osaka", "dev-kobe")
    kobe, people = folder / "Pulumi.dev-kobe.yaml", folder / "people" / "dev-kobe.yaml"
    people.write_text("users: [saburo@example.jp]\nnonsense: 1\n")
    kobe.write_text(text.replace("name: osaka", "name: kobe"))
    assert problems(osaka) == [
        "people/dev-osaka.yaml: must claim nothing that people/dev-kobe.yaml of stack dev-kobe "
        "does, got saburo@example.jp"
    ]
    kobe.write_text(kobe.read_text().replace("environment: dev", "environment: other"))
    assert problems(osaka) == []


def test_what_is_wrong_in_another_s_file_is_for_its_own_preview_to_tell(
    osaka: dict[str, Any], folder: Path
) -> None:
    people = folder / "people" / "dev.yaml"
    people.write_text("users: 7\n")
    assert problems(osaka) == []
    people.unlink()
    assert problems(osaka) == []
    people.write_text("users: [")
    with pytest.raises(SettingsError, match=r"dev\.yaml: must be a YAML file"):
        problems(osaka)
