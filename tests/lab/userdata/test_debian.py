"""The user data of every role before Debian's own judges: cloud-init's schema and Postfix."""

from __future__ import annotations

import os
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from lab.machines.image import Image, Images
from lab.session import cache_folder
from model import mail
from model.settings import Environment, read_environment
from userdata import render, software

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="an overlay needs root"),
]

JUDGE = """
set -eu
mount -t overlay overlay "$1/root" -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work"
mount -t proc proc "$1/root/proc"
exec chroot "$1/root" sh -ec '
cd /judged
for role in *; do
    cloud-init schema --config-file $role/user-data >$role/schema 2>&1 || cat $role/schema
    postconf -c /judged/$role >/dev/null
    postconf -c /judged/$role -M >/dev/null
    postconf -c /judged/$role -P >/dev/null
    # No key matches (exit status 1); what is wrong with a table is said.
    for table in $role/*.regexp; do
        postmap -q "Subject: nothing" regexp:/judged/$table >/dev/null || [ $? -eq 1 ]
    done
    postconf -c /judged/$role -n >/dev/null
    postconf -c /judged/$role -x relayhost transport_maps virtual_alias_maps >/dev/null
done'
"""


@pytest.fixture(scope="module")
def image() -> Image:
    return Images(cache_folder(), print).layer(render.PACKAGES)


def hosts(settings: Environment) -> dict[str, mail.Postfix]:
    return {
        "relay": mail.relay(settings, settings.relays[0].host, IPv4Address("10.1.11.5"), "1.2.3.4"),
        "hub": mail.hub(settings),
        "branch": mail.branch("ms2.example.jp", settings.domains, "10.1.11.5", "ms.example.jp"),
    }


@pytest.mark.parametrize("forwarding", ["none", "srs"])
@pytest.mark.parametrize("outbound", ["relay", "direct", "smarthost"])
@pytest.mark.parametrize(
    "domains", [["example.jp"], ["example.jp", "example.co.jp", "a-b.example"]]
)
def test_debian_s_own_judges_have_nothing_to_say(
    dev: dict[str, Any],
    image: Image,
    tmp_path: Path,
    outbound: str,
    domains: list[str],
    forwarding: str,
) -> None:
    changes = {
        "outbound": outbound,
        "forwarding": forwarding,
        "domains": domains,
        "smarthost": {"host": "smtp.example.net"},
        "dns": {"spf_includes": []},
    }
    values, problems = read_environment(dev | changes)
    assert problems == []
    settings = Environment(**values)
    for name, postfix in hosts(settings).items():
        folder = tmp_path / "upper" / "judged" / name
        folder.mkdir(parents=True)
        directory = render.Directory(
            role=name,
            bucket="b",
            region="us-east-1",
            owner="environment",
            domains=settings.domains,
            branches="192.168.0.0/16",
            hub="10.1.11.5",
        )
        volumes = dict.fromkeys(render.MOUNTS, "vol-0123456789abcdef0")
        (folder / "user-data").write_text(render.cloud_config(postfix, directory, volumes))
        for file, content in render.postfix_files(postfix).items():
            (folder / file).write_text(content)
        for path, source in software.ROLES[name].items():
            if path.startswith("/etc/postfix/"):
                (folder / Path(path).name).write_bytes((software.HERE / source).read_bytes())
    for name in ("root", "work"):
        (tmp_path / name).mkdir()
    lower = ":".join(map(str, image.layers))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", JUDGE, "judge", str(tmp_path), lower],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
