"""The copy of the project."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lab.engine.project import ProjectError, mirror
from lab.folder import MARK


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    for name, text in {
        "__main__.py": "x = 1\n",
        "model/a.py": "a = 1\n",
        "stacks/Pulumi.dev.yaml": "config:\n  gatepost:users: [a]\n",
        ".venv/lib/big.py": "",
        ".git/config": "",
        ".lab/state": "",
        "model/__pycache__/a.pyc": "",
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def files(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}


def test_only_the_projects_own_files_are_copied(source: Path, tmp_path: Path) -> None:
    mirror(source, tmp_path / "copy")
    assert files(tmp_path / "copy") == {"__main__.py", "model/a.py", "stacks/Pulumi.dev.yaml"}


def test_a_labs_folder_within_the_project_is_not_copied(source: Path) -> None:
    state = source / "labs" / "second"
    state.mkdir(parents=True)
    (state / MARK).touch()
    for _ in range(2):
        mirror(source, state / "project")
        copied = files(state / "project")
        assert copied == {"__main__.py", "model/a.py", "stacks/Pulumi.dev.yaml"}


def test_changes_and_deletions_follow(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    mirror(source, copy)
    untouched = (copy / "__main__.py").stat().st_ino, (copy / "__main__.py").stat().st_mtime_ns
    bytecode = copy / "model" / "__pycache__" / "b.pyc"
    bytecode.parent.mkdir()
    bytecode.write_text("kept")
    (source / "model" / "a.py").write_text("a = 2\n")
    (source / "model" / "b.py").write_text("b = 1\n")
    mirror(source, copy)
    assert (copy / "model" / "a.py").read_text() == "a = 2\n"
    (source / "model" / "a.py").unlink()
    mirror(source, copy)
    assert not (copy / "model" / "a.py").exists()
    status = (copy / "__main__.py").stat()
    assert (status.st_ino, status.st_mtime_ns) == untouched
    assert bytecode.exists()


def test_the_engines_salt_survives_an_edited_stack_file(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    mirror(source, copy)
    with (copy / "stacks" / "Pulumi.dev.yaml").open("a") as stream:
        stream.write("encryptionsalt: v1:abc\n")
    stack = source / "stacks" / "Pulumi.dev.yaml"
    stack.write_text("config:\n  gatepost:users: [b]\nencryptionsalt: v1:real\n")
    mirror(source, copy)
    copied = yaml.safe_load((copy / "stacks" / "Pulumi.dev.yaml").read_text())
    assert copied == {"config": {"gatepost:users": ["b"]}, "encryptionsalt": "v1:abc"}


def test_a_stack_file_is_copied_again_only_if_it_has_changed(source: Path, tmp_path: Path) -> None:
    stack, copied = (folder / "stacks/Pulumi.dev.yaml" for folder in (source, tmp_path / "copy"))
    mirror(source, tmp_path / "copy")
    with copied.open("a") as stream:
        stream.write("encryptionsalt: v1:abc\n")
    mirror(source, tmp_path / "copy")
    assert "v1:abc" in copied.read_text()
    before = copied.stat()
    mirror(source, tmp_path / "copy")
    assert copied.stat().st_ctime_ns == before.st_ctime_ns
    stack.write_text("config:\n  gatepost:users: [b]\n")
    mirror(source, tmp_path / "copy")
    assert yaml.safe_load(copied.read_text())["config"] == {"gatepost:users": ["b"]}


def test_encrypted_configuration_is_refused(source: Path, tmp_path: Path) -> None:
    stack = source / "stacks" / "Pulumi.dev.yaml"
    stack.write_text("config:\n  gatepost:key:\n    secure: v1:xyz\n")
    with pytest.raises(ProjectError, match="gatepost:key is encrypted"):
        mirror(source, tmp_path / "copy")
