"""What a machine is given of the lab's Internet, and that Debian's own tools leave it alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.internet.authority import open_authority
from lab.internet.dnssec import root_key, trust_anchor, trust_anchor_ds
from lab.internet.plan import PACKAGES, ROOT_SERVERS
from lab.machines.image import Image, Images
from lab.machines.trust import BUNDLE, LOCAL, ROOT_DS, ROOT_KEY, Trust, install
from lab.session import cache_folder

RESERVED = "2.0.192.in-addr.arpa."
INSIDE = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
shift 2
exec chroot "$0" "$@"
"""


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    authority = tmp_path / "authority"
    open_authority(authority)
    key = root_key(authority)
    return Trust(
        certificate=authority / "ca.pem",
        root_key=trust_anchor(key),
        root_ds=trust_anchor_ds(key),
        reserved=(RESERVED,),
    )


class Disk:
    """A new machine's disk on an image, without the machine."""

    def __init__(self, folder: Path, image: Image, trust: Trust) -> None:
        self.folder, self.image = folder, image
        for name in ("upper", "work", "root"):
            (folder / name).mkdir()
        install(trust, folder / "upper", image.layers)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the root; its changes stay on the disk."""
        layers = ":".join(map(str, self.image.layers))
        shell = ["unshare", "--mount", "sh", "-c", INSIDE, str(self.folder / "root")]
        argv = [*shell, layers, str(self.folder), *command]
        return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.fixture
def images() -> Images:
    if os.geteuid() != 0:
        pytest.skip("needs root for mounts")
    return Images(cache_folder(), print)


def test_a_certificate_of_the_labs_is_trusted(tmp_path: Path, images: Images, trust: Trust) -> None:
    disk = Disk(tmp_path, images.base(), trust)
    verified = disk.run("openssl", "verify", "-CAfile", f"/{BUNDLE}", f"/{LOCAL}")
    by_hash = disk.run("openssl", "verify", "-CApath", f"/{BUNDLE.parent}", f"/{LOCAL}")
    assert verified.stdout == by_hash.stdout == f"/{LOCAL}: OK\n"
    assert disk.run("update-ca-certificates").returncode == 0
    assert trust.certificate.read_text().strip() in disk.run("cat", f"/{BUNDLE}").stdout


def test_the_package_that_brings_the_real_root_key_does_not_undo_it(
    tmp_path: Path, images: Images, trust: Trust
) -> None:
    disk = Disk(tmp_path, images.base(), trust)
    debs = images.layer(PACKAGES).debs
    assert debs is not None
    (package,) = debs.glob("dns-root-data_*.deb")
    (tmp_path / "upper" / package.name).write_bytes(package.read_bytes())
    installed = disk.run("dpkg", "--install", f"/{package.name}")
    assert installed.returncode == 0, installed.stderr
    assert disk.run("cat", f"/{ROOT_KEY}").stdout == trust.root_key
    assert disk.run("cat", f"/{ROOT_DS}").stdout == trust.root_ds
    assert "DNSKEY 257 3 8 " in disk.run("cat", f"/{ROOT_KEY}.real").stdout
    hints = disk.run("cat", "/usr/share/dns/root.hints").stdout.lower()
    for name, address in ROOT_SERVERS.items():
        assert [f"{name}.", "3600000", "a", address] in [
            line.split() for line in hints.splitlines()
        ]


def test_debians_unbound_starts_from_it(tmp_path: Path, images: Images, trust: Trust) -> None:
    disk = Disk(tmp_path, images.layer(PACKAGES), trust)
    helper = disk.run("/usr/libexec/unbound-helper", "root_trust_anchor_update")
    assert helper.returncode == 0, helper.stderr
    assert disk.run("cat", "/var/lib/unbound/root.key").stdout == trust.root_key
    checked = disk.run("unbound-checkconf")
    assert checked.returncode == 0, checked.stderr
