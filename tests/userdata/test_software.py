"""The software of a host: one archive per role, the same bytes for the same files."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from userdata import software

ROLES = ("relay", "hub", "branch")


def members(role: str) -> dict[str, tuple[int, bytes]]:
    """Mode and content by path on the machine."""
    with tarfile.open(fileobj=io.BytesIO(software.archive(role).content)) as tar:
        found = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None, f"{member.name} is no plain file"
            assert (member.uid, member.gid) == (0, 0)
            found["/" + member.name] = (member.mode, file.read())
        return found


@pytest.mark.parametrize("role", ROLES)
def test_an_archive_is_named_by_its_content(role: str) -> None:
    archive = software.archive(role)
    assert archive == software.archive(role)
    assert archive.digest == hashlib.sha256(archive.content).hexdigest()
    assert archive.key("environment").startswith(f"software/environment/{role}-")
    assert archive.digest[:16] in archive.key("environment")


@pytest.mark.parametrize("role", ROLES)
def test_scripts_run_and_everything_else_is_only_read(role: str) -> None:
    for path, (mode, content) in members(role).items():
        script = path.startswith("/usr/local/sbin/") and not path.endswith(".py")
        assert mode == (0o755 if script else 0o644), path
        assert content.startswith(b"#!") or not script, path
        if content.startswith(b"#!/usr/bin/python3") or path.endswith(".py"):
            compile(content, path, "exec")


def test_a_changed_file_changes_the_hash_in_user_data(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(software.HERE, tmp_path, dirs_exist_ok=True)
    before = software.archive("hub")
    monkeypatch.setattr(software, "HERE", tmp_path)
    assert software.archive("hub") == before
    (tmp_path / "nftables.conf").write_text("flush ruleset\n")
    assert software.archive("hub").digest != before.digest


def test_the_fetcher_takes_only_what_has_the_hash(tmp_path: Path) -> None:
    """The real script, with a bucket that first answers another archive, then the right one."""
    archive = software.archive("relay")
    (tmp_path / "right").write_bytes(archive.content)
    (tmp_path / "wrong").write_bytes(software.archive("hub").content + b"x")
    stand_in = f"""
import io, runpy, sys, tarfile, time
import boto3
answers = iter(["wrong", "right"])
class S3:
    def get_object(self, Bucket, Key):
        assert (Bucket, Key) == ("bucket", "key")
        return {{"Body": open({str(tmp_path)!r} + "/" + next(answers), "rb")}}
boto3.client = lambda *_a, **_k: S3()
time.sleep = lambda _seconds: None
tarfile.TarFile.extractall = lambda tar, path, filter: print(path, filter, len(tar.getnames()))
sys.argv = ["fetch", "bucket", "us-east-1", "key", {archive.digest!r}]
runpy.run_path({str(software.HERE / "gatepost_software.py")!r})
"""
    done = subprocess.run([sys.executable, "-c", stand_in], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"/ tar {len(members('relay'))}\n"
    assert done.stderr.count("its SHA-256 is not") == 1
