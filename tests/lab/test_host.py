"""What the lab asks of its host."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import host


def test_everything_missing_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(host, "SUPERUSER_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(host.os, "geteuid", lambda: 1000)
    with pytest.raises(host.HostError) as raised:
        host.require_host()
    message = str(raised.value)
    assert "uid 1000" in message
    for tool, package in host.TOOLS.items():
        assert tool in message
        assert package in message.partition("apt-get install ")[2].split()


def test_tools_are_looked_for_where_they_are_run_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/home/me/bin::/usr/bin")
    assert host.search_path() == "/home/me/bin:/usr/bin:/usr/local/sbin:/usr/local/bin:" + (
        "/usr/sbin:/sbin:/bin"
    )
    monkeypatch.delenv("PATH")
    assert host.search_path() == host.SUPERUSER_PATH


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.platform, "system", lambda: "Darwin")
    assert host.missing() == ["The lab needs Linux namespaces, but this is Darwin."]


def test_packages_are_printed_for_make() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab.host", "--packages"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == host.packages()
    assert {"mmdebstrap", "nftables", "procps", "debian-archive-keyring"} <= set(host.packages())
