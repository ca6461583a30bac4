"""Images move forward one host at a time, and the stack file stays as its author wrote it."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path
from typing import TextIO

import pytest
import yaml

from cli import image
from cli.main import main

ROOT = Path(__file__).parents[2]
NEW = "ami-0123456789abcdef0"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    return tmp_path


@pytest.fixture(autouse=True)
def debian(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {("us-east-1", "arm64"): NEW}
    monkeypatch.setattr(image, "newest", lambda region, arch: found[region, arch])


def test_one_relay_gets_the_new_image_and_no_comment_is_lost(project: Path) -> None:
    file = project / "stacks/Pulumi.prod.yaml"
    before = file.read_text()
    assert image.update(Namespace(stack="prod", host="mx2.example.jp"), project) == 0
    after = file.read_text()
    settings = yaml.safe_load(after)["config"]["gatepost:environment"]
    assert [relay.get("image") for relay in settings["relays"]] == [None, NEW]
    assert settings["image"] != NEW
    assert [line for line in after.splitlines() if NEW not in line] == before.splitlines()


def test_an_unknown_host_is_told_with_the_hosts_there_are(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert image.update(Namespace(stack="prod", host="mx9"), project) == 1
    assert "mx9: not in this stack; there are mx1.example.jp, mx2" in capsys.readouterr().err


def test_a_branch_has_one_host_and_its_second_update_changes_nothing(project: Path) -> None:
    file = project / "stacks/Pulumi.dev-osaka.yaml"
    for _ in range(2):
        assert image.update(Namespace(stack="dev-osaka", host="ms2.example.jp"), project) == 0
    assert yaml.safe_load(file.read_text())["config"]["gatepost:branch"]["image"] == NEW


def test_an_interrupted_update_leaves_the_file_as_it_was(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_yaml: image.YAML, _content: object, stream: TextIO) -> None:
        stream.write("config:\n")
        raise KeyboardInterrupt

    monkeypatch.setattr(image.YAML, "dump", interrupted)
    monkeypatch.setattr("cli.commands.PROJECT", project)
    before = {path.name: path.read_text() for path in (project / "stacks").glob("*.*")}
    assert main(["image", "update", "prod", "mx2.example.jp"]) == 130
    assert capsys.readouterr().err == "gatepost: interrupted; nothing is left half done\n"
    assert {path.name: path.read_text() for path in (project / "stacks").glob("*.*")} == before


@pytest.mark.parametrize(
    ("kind", "debian"), [("t4g.small", "arm64"), ("t3.small", "amd64"), ("m7gd.large", "arm64")]
)
def test_the_architecture_follows_the_instance_type(kind: str, debian: str) -> None:
    assert image.architecture({"instance_type": kind}, {}) == debian
