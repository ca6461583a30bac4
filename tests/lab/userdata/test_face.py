"""What a relay shows the Internet before Debian's own judges: unbound, nginx, systemd, Python."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.machines.image import Image, Images
from lab.session import cache_folder
from model import certificates, mail
from model.settings import Environment, read_environment
from userdata import outside, render, software

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="an overlay needs root"),
]

ENTER = """
set -eu
mount -t overlay overlay "$1/root" -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work"
mount -t proc proc "$1/root/proc"
mount --bind /dev "$1/root/dev"
exec chroot "$1/root" env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin sh -euc "$3"
"""


@pytest.fixture(scope="module")
def settings() -> Environment:
    text = (Path(__file__).parents[3] / "stacks" / "Pulumi.prod.yaml").read_text()
    raw: dict[str, Any] = yaml.safe_load(text)["config"]["gatepost:environment"]
    return Environment(**read_environment(raw)[0])


@pytest.fixture(scope="module")
def relay(settings: Environment) -> mail.Postfix:
    return mail.relay(settings, settings.relays[0].host, IPv4Address("10.1.11.5"), "1.2.3.4")


@pytest.fixture(scope="module")
def image(relay: mail.Postfix) -> Image:
    return Images(cache_folder(), print).layer([*render.PACKAGES, *outside.packages(relay)])


@pytest.fixture
def run(settings: Environment, relay: mail.Postfix, image: Image, tmp_path: Path) -> Any:
    """Run a script in a relay's root, with its software and its files."""
    root = tmp_path / "upper"
    for name in ("upper", "root", "work"):
        (tmp_path / name).mkdir()
    with tarfile.open(fileobj=io.BytesIO(software.archive("relay").content)) as tar:
        tar.extractall(root, filter="tar")
    issued = certificates.of_relay(relay.host, settings.every_domain, "Z1")
    for item in outside.files(relay, issued, bucket="b", region="us-east-1"):
        file = root / item["path"].lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(item["content"])

    def script(text: str) -> subprocess.CompletedProcess[str]:
        lower = ":".join(map(str, image.layers))
        enter = ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(tmp_path), lower, text]
        return subprocess.run(enter, capture_output=True, text=True, check=False, timeout=60)

    return script


def test_unbound_takes_its_configuration(run: Any) -> None:
    done = run("/usr/libexec/unbound-helper root_trust_anchor_update >/dev/null; unbound-checkconf")
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_knows_every_word_of_the_units(run: Any) -> None:
    units = [Path(path).name for path in software.ROLES["relay"] if path.endswith("service")]
    units += ["gatepost-tls-policy.socket", "gatepost-certificates.timer", "nginx.service"]
    done = run(f"systemd-analyze verify --man=no {' '.join(sorted(set(units)))} 2>&1")
    assert (done.returncode, done.stdout) == (0, "")


def test_the_self_signed_pair_is_put_in_use_and_nginx_takes_its_configuration(run: Any) -> None:
    done = run(
        "gatepost-certificates deploy 2>/dev/null; stat -c %a /var/lib/gatepost-tls/host.pem;"
        "cp /var/lib/gatepost-tls/host.pem /var/lib/gatepost-tls/policy.pem; nginx -t -q"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "600"


def test_the_program_and_the_configuration_mean_the_same_files(run: Any) -> None:
    """Paths that stand in programs, units and templates, because each must work alone."""
    constants = (
        "import runpy, json, sys; sys.path.append('/usr/local/sbin');"
        "c = runpy.run_path('/usr/local/sbin/gatepost-certificates');"
        "m = runpy.run_path('/usr/local/sbin/gatepost-mta-sts');"
        "print(json.dumps([*map(str, (c['IN_USE'], c['HOST'], c['LIVE'].parent, m['SERVED']))]))"
    )
    done = run(f'python3 -c "{constants}"')
    assert done.returncode == 0, done.stderr
    in_use, host, lineages, served = json.loads(done.stdout)
    assert (in_use, served) == (outside.IN_USE, outside.SERVED)
    assert host == certificates.HOST
    assert lineages == render.LINEAGES
    condition = (software.HERE / "nginx-service.conf").read_text()
    assert f"ConditionPathExists={in_use}/{certificates.POLICY}.pem\n" in condition


def test_the_tls_policy_service_answers_with_debian_s_own_libraries(run: Any) -> None:
    """Over a socket that is passed as systemd passes it; there is no resolver here to ask."""
    program = """
import os, socket, subprocess, sys
os.makedirs("/run/systemd/resolve")
open("/etc/resolv.conf", "w").write("nameserver 127.0.0.1")
listener = socket.create_server(("127.0.0.1", 0))
os.dup2(listener.fileno(), 3)
os.makedirs("/var/lib/gatepost-tls-policy", exist_ok=True)
server = subprocess.Popen(["gatepost-tls-policy"], pass_fds=[3],
    env={**os.environ, "STATE_DIRECTORY": "/var/lib/gatepost-tls-policy"})
try:
    with socket.create_connection(listener.getsockname(), timeout=20) as client:
        client.sendall(b"18:policy [10.1.11.5],")
        answer = b""
        while not answer.endswith(b","):
            answer += client.recv(100)
    print(answer.decode())
finally:
    server.terminate()
"""
    done = run(f"python3 - <<'PROGRAM'\n{program}\nPROGRAM\n")
    assert (done.returncode, done.stdout) == (0, "9:NOTFOUND ,\n"), done.stderr
