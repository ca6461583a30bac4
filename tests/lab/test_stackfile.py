"""A slip in a stack file is told with file and line, by whoever reads it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.main import main
from lab.engine.project import mirror
from lab.errors import LabError
from lab.stackfile import image_architectures, read_stack

ROOT = Path(__file__).parents[2]

BROKEN = {
    "no YAML": ("config:\n  a: [1\nb: 2\n", "Pulumi.dev.yaml, line 3: must be YAML"),
    "no character": ("config:\n  a: \0\n", "Pulumi.dev.yaml: must be YAML"),
    "no date": ("config:\n  a: 2026-13-40\n", "Pulumi.dev.yaml: must be YAML"),
    "no mapping": ("- config\n", "Pulumi.dev.yaml: must be a mapping that begins with `config:`"),
    "no settings": ("config: [a]\n", "Pulumi.dev.yaml: "),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "stacks", tmp_path / "project/stacks")
    monkeypatch.setattr("cli.commands.PROJECT", tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture(params=BROKEN)
def said(request: pytest.FixtureRequest, project: Path) -> str:
    """What is told of a file of the project that is broken."""
    text, said = BROKEN[request.param]
    (project / "stacks/Pulumi.dev.yaml").write_text(text)
    return said


def test_whoever_reads_a_broken_file_is_told_where(
    project: Path, said: str, tmp_path: Path
) -> None:
    with pytest.raises(LabError) as read:
        read_stack(project, "dev")
    assert said in str(read.value)
    with pytest.raises(LabError) as copied:
        mirror(project, tmp_path / "copy")
    assert said in str(copied.value)


@pytest.mark.parametrize(
    "words",
    [
        "branch policy dev",
        "branch files dev --out out",
        "branch new kobe --environment dev --host kobe.example.jp",
        "image update dev ms.example.jp",
        "secret put dev smarthost",
    ],
)
def test_every_command_tells_it(
    project: Path, said: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words.split()) == 1
    assert said in capsys.readouterr().err


def test_an_empty_file_holds_no_settings(project: Path, tmp_path: Path) -> None:
    (project / "stacks/Pulumi.dev.yaml").write_text("")
    with pytest.raises(LabError, match="must have a mapping `config:`"):
        read_stack(project, "dev")
    mirror(project, tmp_path / "copy")


def test_bytes_that_are_no_text_are_told_with_their_line(project: Path) -> None:
    (project / "stacks/Pulumi.dev.yaml").write_bytes(b"config:\n  a: \xff\n")
    with pytest.raises(LabError, match=r"Pulumi\.dev\.yaml, line 2: must be UTF-8"):
        image_architectures(project)


@pytest.mark.parametrize(
    ("words", "edit", "said"),
    [
        ("branch policy dev-osaka", ("    region: us-east-1\n", ""), "branch.region"),
        ("image update dev-osaka ms2.example.jp", ("    region: us-east-1\n", ""), "branch.region"),
        ("image update dev-osaka ms2.example.jp", ("    host:", "    hosts:"), "branch.host"),
        (
            "image update dev-osaka ms2.example.jp",
            ("    name: osaka\n", "    name: osaka\n    name: osaka\n"),
            'Pulumi.dev-osaka.yaml, line 7: must be YAML, got an error: found duplicate key "name"',
        ),
        (
            "branch new kobe --environment dev-osaka --host kobe.example.jp",
            ("", ""),
            "stack dev-osaka: must be an environment, got branch",
        ),
    ],
)
def test_settings_are_judged_before_they_are_used(
    project: Path, words: str, edit: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "stacks/Pulumi.dev-osaka.yaml"
    file.write_text(file.read_text().replace(*edit, 1))
    assert main(words.split()) == 1
    assert said in capsys.readouterr().err


def test_an_office_has_no_image(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["branch", "new", "nagoya", "--environment", "dev", "--host", "nagoya.example.jp"]
    assert main([*argv, "--gateway", "203.0.113.9"]) == 0
    assert main(["image", "update", "dev-nagoya", "nagoya.example.jp"]) == 1
    said = "stack dev-nagoya: must be an environment or a branch, got office"
    assert said in capsys.readouterr().err
