"""A new branch's files: right as they are written, or not written at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from cli.main import main
from model.settings import read_branch, read_office

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks")
    monkeypatch.setattr("cli.commands.PROJECT", tmp_path)
    return tmp_path


def new(name: str, *more: str, host: str = "") -> int:
    argv = ["branch", "new", name, "--environment", "dev", "--host", host or f"{name}.example.jp"]
    return main([*argv, *more])


def settings(project: Path, stack: str, kind: str = "branch") -> dict[str, object]:
    text = (project / f"stacks/Pulumi.{stack}.yaml").read_text()
    return yaml.safe_load(text)["config"][f"gatepost:{kind}"]


def files(project: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in (project / "stacks").rglob("*.yaml")}


def test_each_new_branch_gets_the_lowest_free_network(project: Path) -> None:
    for name, network in (("kobe", "192.168.0.0/24"), ("nara", "192.168.1.0/24")):
        assert new(name) == 0
        values, problems = read_branch(settings(project, f"dev-{name}"))
        assert problems == []
        assert (str(values["network"]), values["zone"]) == (network, "us-east-1a")
        assert (project / f"stacks/people/dev-{name}.yaml").exists()
    assert new("far", "--network", "192.168.2.0/23") == 0
    assert new("near") == 0
    assert settings(project, "dev-near")["network"] == "192.168.4.0/24"


def test_another_environment_s_branches_take_nothing_away(project: Path) -> None:
    (project / "stacks/Pulumi.prod-kobe.yaml").write_text(
        "config:\n  gatepost:branch: {environment: prod, network: 192.168.0.0/24}\n"
    )
    assert new("kobe") == 0
    assert settings(project, "dev-kobe")["network"] == "192.168.0.0/24"


def test_what_the_environment_says_is_taken_over(project: Path) -> None:
    assert new("kobe") == 0
    environment = settings(project, "dev", "environment")
    branch = settings(project, "dev-kobe")
    for key in ("region", "image", "instance_type", "administrator_key"):
        assert branch[key] == environment[key]


def test_an_office_has_a_gateway_and_an_address(project: Path) -> None:
    assert new("nagoya", "--gateway", "203.0.113.9") == 0
    values, problems = read_office(settings(project, "dev-nagoya", "office"))
    assert problems == []
    assert (str(values["network"]), str(values["address"])) == ("192.168.0.0/24", "192.168.0.5")
    assert new("gifu", "--gateway", "203.0.113.9") == 1, "two offices at one gateway"


@pytest.mark.parametrize(
    ("more", "host", "said"),
    [
        (["--network", "192.168.10.0/25"], "", "must not overlap 192.168.10.0/24 of stack dev-osa"),
        (["--network", "10.9.0.0/24"], "", "branch.network: must be within 192.168.0.0/16"),
        (["--network", "192.168.7.0/30"], "", "branch.network: must be between /16 and /26"),
        (["--network", "192.168.7.1/24"], "", "has host bits set"),
        ([], "ms2.example.jp", "branch.host: must be its own, got ms2.example.jp, which is stack"),
        ([], "ms.example.jp", "branch.host: must be a name of its own, got 'ms.example.jp'"),
        ([], "Kobe", "branch.host: must be a domain name in lower case"),
        (["--gateway", "203.0.113.9", "--network", "192.168.11.0/30"], "", "got 192.168.11.0/30"),
        (["--gateway", "10.0.0.1"], "", "office.gateway: must be a public address"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    project: Path, capsys: pytest.CaptureFixture[str], more: list[str], host: str, said: str
) -> None:
    before = files(project)
    assert new("kobe", *more, host=host) == 1
    assert said in capsys.readouterr().err
    assert files(project) == before


@pytest.mark.parametrize("there", ["Pulumi.dev-kobe.yaml", "people/dev-kobe.yaml"])
def test_a_file_that_is_there_stays(
    project: Path, capsys: pytest.CaptureFixture[str], there: str
) -> None:
    (project / "stacks" / there).write_text("config: {}\n")
    before = files(project)
    assert new("kobe") == 1
    assert f"{there} exists" in capsys.readouterr().err
    assert files(project) == before


def test_a_full_supernet_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "stacks/Pulumi.dev.yaml"
    file.write_text(file.read_text().replace("192.168.0.0/16", "192.168.10.0/24"))
    assert new("kobe") == 1
    assert "no /24 is free in 192.168.10.0/24: 1 networks are taken" in capsys.readouterr().err
