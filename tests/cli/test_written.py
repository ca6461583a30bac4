"""Of several new files all are written, or none."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from cli.main import main
from cli.written import write_new

OFFICE = Namespace(environment="dev", region="us-east-1")


def test_files_and_their_folders_are_made(tmp_path: Path) -> None:
    write_new({tmp_path / "a/b/one": "1", tmp_path / "a/two": "2"})
    assert ((tmp_path / "a/b/one").read_text(), (tmp_path / "a/two").read_text()) == ("1", "2")


def test_nothing_stays_of_files_that_cannot_all_be_written(tmp_path: Path) -> None:
    (tmp_path / "there").write_text("kept")
    before = sorted(tmp_path.rglob("*"))
    for last in ("there", "there/below"):
        with pytest.raises(OSError, match="there"):
            write_new({tmp_path / "a/b/one": "1", tmp_path / "two": "2", tmp_path / last: "3"})
        assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there").read_text() == "kept"


@pytest.mark.parametrize(
    ("below", "said"), [("", "is not a folder: name a new one"), ("x", "Not a")]
)
def test_an_office_s_files_need_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], below: str, said: str
) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("cli.account._settings", lambda *_: ("office", {}))
        patched.setattr("cli.account.load_office", lambda _raw: OFFICE)
        patched.setattr("cli.account._contract", lambda *_: None)
        patched.setattr("cli.account._office_files", lambda *_: {"README.md": ""})
        out = str(tmp_path / "file" / below)
        assert main(["branch", "files", "dev-nagoya", "--out", out]) == 1
    assert said in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"
