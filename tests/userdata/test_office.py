"""An office's files: without a key, and good enough for Debian's own Postfix to run from."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from directories import published
from terms import TERMS

from lab.machines.image import Images
from lab.session import cache_folder
from model.people import read_people
from model.settings import FINGERPRINT, Office, read_office
from userdata import office, render

RAW = {
    "name": "nagoya",
    "environment": "dev",
    "region": "us-east-1",
    "network": "192.168.99.0/24",
    "host": "ms9.example.jp",
    "address": "192.168.99.5",
    "gateway": "203.0.113.9",
    "people": "people/dev-nagoya.yaml",
}
TUNNELS = ("192.0.2.128", "192.0.2.129")

RUN = """
set -eu
mount -t overlay overlay "$1/root" -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work"
mount -t proc proc "$1/root/proc"
mount -t tmpfs tmpfs "$1/root/dev"
mknod -m 666 "$1/root/dev/null" c 1 3
mknod -m 666 "$1/root/dev/urandom" c 1 9
ip link set lo up
ip address add 192.168.99.5/32 dev lo
exec chroot "$1/root" sh -ec '
# As its package leaves it: running.
cp /usr/share/postfix/main.cf.debian /etc/postfix/main.cf
postfix start
sh /office/mail/install.sh
test "$(postmap -q goro@example.jp cdb:/var/lib/gatepost/tables/transport)" = virtual:
postconf -n 2>&1 >/dev/null
printf "Subject: hello\\n\\nhello\\n" | sendmail -f goro@example.jp goro@example.jp
printf "Subject: away\\n\\naway\\n" | sendmail -f goro@example.jp taro@example.jp
for _ in $(seq 100); do
    if grep -rqs "Subject: hello" /var/mail/vhosts/example.jp/goro/new; then break; fi
    sleep 0.1
done
grep -rhs "Subject: hello" /var/mail/vhosts/example.jp/goro/new
# A second time it reloads.
sh /office/mail/install.sh
for _ in $(seq 100); do
    if postqueue -p | grep -q "taro@example.jp"; then break; fi
    sleep 0.1
done
postqueue -j
postfix stop' >"$1/out" 2>"$1/err"
"""


def files() -> dict[str, str]:
    values, problems = read_office(RAW)
    assert problems == []
    people, problems = read_people(
        {"users": ["goro@example.jp"]}, ("example.jp",), path="p", branch=True
    )
    assert people is not None, problems
    terms = replace(TERMS, branch_link="transit-gateway")
    [hub_key] = published("environment", terms.hub).values()
    return office.files(
        Office(**values),
        terms,
        people,
        hub_key=hub_key.encode(),
        connection="vpn-1",
        tunnels=TUNNELS,
    )


def test_the_tables_are_those_of_a_branch() -> None:
    made = files()
    assert made["mail/tables/transport"] == "goro@example.jp virtual:\n"
    assert made["mail/tables/recipients"] == "goro@example.jp OK\n"
    assert made["mail/tables/mailboxes"] == "goro@example.jp example.jp/goro/\n"
    [peer] = made["mail/tables/peers"].splitlines()
    fingerprint = peer.removesuffix(" OK")
    policy = f"[10.1.11.5] fingerprint match={fingerprint}\n"
    assert made["mail/tables/tls_policy"] == policy
    assert "relayhost = [10.1.11.5]" in made["mail/postfix/main.cf"]
    assert "myhostname = ms9.example.jp" in made["mail/postfix/main.cf"]


def test_the_gateway_is_told_both_tunnels_and_no_key() -> None:
    made = files()
    vpn = made["vpn/swanctl.conf"]
    for tunnel in TUNNELS:
        assert f"remote_addrs = {tunnel}\n" in vpn
        assert f"id = {tunnel}\n" in vpn
    assert vpn.count("{") == vpn.count("}")
    assert vpn.count("id = 203.0.113.9\n") == 2
    assert "secret" not in vpn
    assert "--vpn-connection-ids vpn-1" in made["README.md"]
    assert "ip route add 10.1.0.0/16 dev aws-2 metric 20" in made["README.md"]


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="an overlay needs root")
def test_debian_s_postfix_runs_from_them(tmp_path: Path) -> None:
    image = Images(cache_folder(), print).layer(render.PACKAGES)
    for name, text in files().items():
        path = tmp_path / "upper" / "office" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in ("root", "work"):
        (tmp_path / name).mkdir()
    lower = ":".join(map(str, image.layers))
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", RUN]
    done = subprocess.run([*command, "run", str(tmp_path), lower], check=False, timeout=120)
    out, err = ((tmp_path / name).read_text() for name in ("out", "err"))
    assert done.returncode == 0, err
    assert "Subject: hello" in out
    # What the administrator has to send (model.settings).
    assert len(set(re.findall(r"(?m)^The fingerprint of this server: (\S+)$", out))) == 1
    assert re.search(rf"(?m)^The fingerprint of this server: {FINGERPRINT}$", out)
    assert '"address": "taro@example.jp"' in out, "what is the hub's waits for the hub"
    assert "10.1.11.5" in out
