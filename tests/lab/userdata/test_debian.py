"""The user data of every role before Debian's own judges: cloud-init's schema and Postfix."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml
from drawn import people, right
from hypothesis import Phase, given, settings
from recording import Resource, run

from lab.machines.image import Image, Images
from lab.session import cache_folder
from model import mail
from model.settings import Environment, read_environment
from stacks import environment
from userdata import render, software

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="an overlay needs root"),
]

EXAMPLES = 10
"""Random stack files for one run of the judges; a machine takes them half a second."""

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
        "hub": mail.hub(settings, IPv4Address("10.1.11.5")),
        "branch": mail.branch(
            "ms2.example.jp", "192.168.10.5", settings.domains, "10.1.11.5", "ms.example.jp"
        ),
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
    company = Environment(**values)
    for name, postfix in hosts(company).items():
        folder = tmp_path / "upper" / "judged" / name
        folder.mkdir(parents=True)
        directory = render.Directory(
            role=name,
            bucket="b",
            region="us-east-1",
            owner="environment",
            domains=company.domains,
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
    assert judged(image, tmp_path) == (0, "", "")


def judged(image: Image, folder: Path) -> tuple[int, str, str]:
    """What the judges say of all that is in `upper/judged` there: status, output, errors."""
    for name in ("root", "work"):
        (folder / name).mkdir()
    lower = ":".join(map(str, image.layers))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", JUDGE, "judge", str(folder), lower],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_nor_of_random_stack_files(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the whole program makes of them, all in one run of the judges."""
    drawn: list[dict[str, Any]] = []

    @given(raw=right())
    @settings(max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate])
    def draw(raw: dict[str, Any]) -> None:
        drawn.append(raw)

    draw()
    monkeypatch.setattr("stacks.settings.HERE", tmp_path)
    for number, raw in enumerate(drawn):
        people(tmp_path, raw["domains"])
        recorder, _ = run(lambda raw=raw: environment.build("dev", raw))
        folder = tmp_path / "upper" / "judged" / str(number)
        for instance in recorder.of("ec2/instance:Instance"):
            write_judged(folder.with_name(f"{number}-{instance.name}"), instance)
    assert len(drawn) == EXAMPLES
    told = judged(image, tmp_path)
    assert told == (0, "", ""), (told, dict(enumerate(drawn)))


def write_judged(folder: Path, instance: Resource) -> None:
    """An instance's user data, and what it puts into /etc/postfix."""
    folder.mkdir(parents=True)
    text = gzip.decompress(base64.b64decode(instance.inputs["userDataBase64"])).decode()
    (folder / "user-data").write_text(text)
    files = {file["path"]: file["content"] for file in yaml.safe_load(text)["write_files"]}
    for path, source in software.ROLES[instance.inputs["tags"]["gatepost:role"]].items():
        files[path] = (software.HERE / source).read_text()
    for path, content in files.items():
        if path.startswith("/etc/postfix/"):
            (folder / Path(path).name).write_text(content)
