"""Images: built once, whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab.builds import BuildError
from lab.machines.image import Images
from lab.waiting import wait_for
from tests.lab.machines.conftest import PACKAGES

pytestmark = pytest.mark.lab


def mounts_below(folder: Path) -> list[str]:
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(folder) in line]


def test_the_base_is_like_debians_ec2_image(images: Images) -> None:
    root = images.base().root
    assert "VERSION_CODENAME=trixie" in (root / "etc/os-release").read_text()
    assert (root / "etc/machine-id").read_text() == ""
    assert "name: admin" in (root / "etc/cloud/cloud.cfg.d/01_debian_cloud.cfg").read_text()
    suites = [source.suite for source in images.package_sources()]
    assert suites == ["trixie", "trixie-updates", "trixie-backports", "trixie-security"]
    # An egress rule for port 80 alone does not do in EC2, so it must not do here.
    assert all(source.url.startswith("https://") for source in images.package_sources())
    enabled = root / "etc/systemd/system/multi-user.target.wants"
    assert (enabled / "systemd-networkd.service").is_symlink()


def test_a_layer_holds_what_the_packages_add(images: Images) -> None:
    layer = images.layer(PACKAGES)
    assert layer.layers == (layer.root, images.base().root)
    assert (layer.root / "usr/sbin/postconf").exists()
    assert not (layer.root / "usr/bin/bash").exists()
    assert not (layer.root / "usr/sbin/policy-rc.d").exists()
    assert list((layer.root / "var/lib/apt/lists").glob("*Packages")) == []
    assert layer.debs is not None
    assert len(list(layer.debs.glob("postfix_*.deb"))) == 1
    installed = subprocess.run(
        ["dpkg-query", f"--admindir={layer.root}/var/lib/dpkg", "--show", *PACKAGES],
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(installed.stdout.splitlines()) == len(PACKAGES)


def test_the_order_of_packages_does_not_matter(images: Images) -> None:
    assert images.layer(PACKAGES) == images.layer([*reversed(PACKAGES), PACKAGES[0]])
    assert images.layer([]) == images.base()


def test_a_failed_build_says_why_and_leaves_nothing(images: Images, tmp_path: Path) -> None:
    bad = Images(tmp_path, lambda line: None, mirror="http://127.0.0.1:9/debian")
    with pytest.raises(BuildError, match=r"mmdebstrap: exit status \d+:\n(.*\n)*.*127\.0\.0\.1"):
        bad.base()
    assert [path.name for path in (tmp_path / "images").iterdir()] == ["lock"]
    assert mounts_below(tmp_path) == []


def test_a_packages_name_that_is_none(images: Images) -> None:
    with pytest.raises(BuildError, match="Unable to locate package no-such-package"):
        images.layer(["no-such-package"])


def test_leftovers_of_a_killed_build_are_cleared(images: Images, tmp_path: Path) -> None:
    left = tmp_path / "images/partial-base-0000"
    left.mkdir(parents=True)
    bad = Images(tmp_path, lambda line: None, mirror="http://127.0.0.1:9/debian")
    with pytest.raises(BuildError):
        bad.base()
    assert not left.exists()


def test_one_build_at_a_time(images: Images, tmp_path: Path) -> None:
    said: list[str] = []
    bad = Images(tmp_path, said.append, mirror="http://127.0.0.1:9/debian")
    (tmp_path / "images").mkdir()

    def build() -> None:
        with pytest.raises(BuildError):
            bad.base()

    with (tmp_path / "images/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(target=build)
        thread.start()
        assert wait_for(lambda: said != [], 5)
        assert said == [f"waiting for another lab to finish a build in {tmp_path / 'images'}"]
    thread.join(30)
    assert not thread.is_alive()
    assert len(said) > 1


BUILD = """
import pathlib, sys
from lab.machines.image import Images
Images(pathlib.Path(sys.argv[1]), print).base()
"""


def processes_about(folder: Path) -> list[str]:
    """The command lines that name the folder; those that have ended meanwhile have none."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes().decode(errors="replace"))
    return [line for line in found if str(folder) in line]


def test_a_killed_build_leaves_no_process_and_no_mount(images: Images, tmp_path: Path) -> None:
    builder = subprocess.Popen([sys.executable, "-c", BUILD, tmp_path], stdout=subprocess.DEVNULL)
    unpacked = "images/partial-base-*/root/usr/bin/dpkg"
    try:
        assert wait_for(lambda: list(tmp_path.glob(unpacked)) != [], 60)
    finally:
        builder.kill()
        builder.wait()
    assert wait_for(lambda: processes_about(tmp_path) == [], 10)
    assert mounts_below(tmp_path) == []
    assert list((tmp_path / "images").glob("base-*")) == []
