"""Whole machines: booted from images, configured by real cloud-init from what AWS tells them."""

from __future__ import annotations

import base64
import gzip
import json
import os
import signal
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from lab.holder import Holder, HolderError
from lab.machines import boot
from lab.machines.boot import MachineError, execute
from lab.machines.services import wait_serving
from lab.waiting import wait_for
from lab.world.model import Instance
from tests.lab.machines.bench import KEY, REGION, RESOLVER, ROUTER, VPC, instance
from tests.lab.machines.conftest import PACKAGES, ROLE, Lab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces"),
]

LIMIT = 60.0
CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME, CAP_SYSLOG = 16, 17, 25, 34  # linux/capability.h
BAKED = instance(
    1,
    gzip.compress(
        textwrap.dedent("""\
            #cloud-config
            hostname: mx
            fqdn: mx.example.jp
            manage_etc_hosts: true
            write_files:
            - {path: /etc/example, content: "written\\n", permissions: "0640"}
            package_update: true
            packages: [postfix, postfix-cdb, python3-boto3]
            runcmd:
            - [sh, -c, "hostname -f >/root/ran; systemctl start postfix"]
            """).encode()
    ),
    iam_role=ROLE,
)
BARE = instance(2, b"#cloud-config\npackage_update: true\npackages: [postfix]\n")
TOKEN_REQUEST = (
    'curl -sS -X PUT -H "X-aws-ec2-metadata-token-ttl-seconds: 60"'
    " http://169.254.169.254/latest/api/token"
)
TOKEN = f"token=$({TOKEN_REQUEST}); "
CURL_TIMED_OUT = 28
CONTAINER = """
set -e
ip netns add container
ip link add outer type veth peer name eth0 netns container
ip address add 172.31.255.1/30 dev outer
ip link set outer up
ip -n container address add 172.31.255.2/30 dev eth0
ip -n container link set eth0 up
ip -n container route add default via 172.31.255.1
sysctl -qw net.ipv4.ip_forward=1
iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE
"""


@dataclass(frozen=True, kw_only=True)
class Machines:
    """The two machines, both booted at once."""

    lab: Lab
    first_boot: boot.Machine

    def sh(self, item: Instance, script: str) -> str:
        done = execute(self.lab.holder, item.id, ["sh", "-c", script])
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def machines(lab: Lab) -> Machines:
    lab.bench.attach(BAKED)
    lab.bench.attach(BARE)
    lab.bench.serve(BAKED, BARE, endpoint=lab.aws.endpoint)
    started = boot.boot(lab.holder, BAKED, lab.images.layer(PACKAGES), lab.trust)
    boot.boot(lab.holder, BARE, lab.images.base(), lab.trust)
    for item in (BAKED, BARE):
        boot.wait_booted(lab.holder, item.id, LIMIT)
    return Machines(lab=lab, first_boot=started)


def test_user_data_took_effect(machines: Machines) -> None:
    assert machines.sh(BAKED, "cat /root/ran") == "mx.example.jp\n"
    assert machines.sh(BAKED, "cat /etc/example; stat -c %a /etc/example") == "written\n640\n"
    assert machines.sh(BAKED, "hostname; hostname -f") == "mx\nmx.example.jp\n"
    assert machines.sh(BAKED, "cat /var/lib/cloud/data/instance-id").strip() == BAKED.id


def test_every_unit_works(machines: Machines) -> None:
    for item in (BAKED, BARE):
        assert machines.sh(item, "systemctl list-units --failed --no-legend") == ""
        assert machines.sh(item, "systemctl is-active postfix") == "active\n"


def test_packages_came_from_the_lab(machines: Machines) -> None:
    log = machines.sh(BARE, "cat /var/log/cloud-init-output.log")
    assert "Get:" in log
    assert "Setting up postfix " in log
    done = execute(machines.lab.holder, BARE.id, ["apt-get", "-qq", "update"])
    assert (done.returncode, done.stderr) == (0, "")


def test_address_and_resolver_by_dhcp(machines: Machines) -> None:
    addresses = json.loads(machines.sh(BAKED, "ip -json -4 address show eth0"))[0]["addr_info"]
    assert [(a["local"], a["prefixlen"], a["dynamic"]) for a in addresses] == [
        (BAKED.interface.private_ip, 24, True)
    ]
    routes = json.loads(machines.sh(BAKED, "ip -json route show default"))
    assert [(route["gateway"], route["protocol"]) for route in routes] == [(str(ROUTER), "dhcp")]
    link = machines.sh(BAKED, "resolvectl dns eth0; resolvectl domain eth0")
    assert str(RESOLVER) in link
    assert "ap-northeast-1.compute.internal" in link
    assert machines.sh(BAKED, "readlink /etc/resolv.conf").endswith("stub-resolv.conf\n")


def test_machines_reach_each_other(machines: Machines) -> None:
    machines.sh(BAKED, f"ping -c 1 -W 2 {BARE.interface.private_ip}")


def test_the_default_user_is_admin(machines: Machines) -> None:
    assert machines.sh(BAKED, "cat /home/admin/.ssh/authorized_keys").strip() == KEY
    assert machines.sh(BAKED, "su admin -c 'sudo -n id -u'") == "0\n"


def test_metadata_wants_a_token(machines: Machines) -> None:
    get = "curl -s -o /dev/null -w %{http_code} http://169.254.169.254/latest/meta-data/mac"
    assert machines.sh(BAKED, get) == "401"
    with_token = 'curl -sSf -H "X-aws-ec2-metadata-token: $token" http://169.254.169.254/latest/'
    assert machines.sh(BAKED, TOKEN + with_token + "meta-data/mac") == BAKED.interface.mac
    user_data = machines.sh(BAKED, TOKEN + with_token + "user-data | base64 -w0")
    assert base64.b64decode(user_data) == BAKED.user_data


def test_a_token_goes_no_further_than_the_hop_limit(machines: Machines) -> None:
    """A container behind a bridge is one hop more than the limit, 1, allows."""
    machines.sh(BAKED, CONTAINER)
    put = f"ip netns exec container sh -c '{TOKEN_REQUEST} -m 2'"
    done = execute(machines.lab.holder, BAKED.id, ["sh", "-c", put])
    assert (done.returncode, done.stdout) == (CURL_TIMED_OUT, "")
    get = 'ip netns exec container curl -sSf -m 5 -H "X-aws-ec2-metadata-token: $token"'
    url = "http://169.254.169.254/latest/meta-data/instance-id"
    assert machines.sh(BAKED, f"{TOKEN} {get} {url}") == BAKED.id


def test_boto3_finds_credentials_that_sts_knows(machines: Machines) -> None:
    """The emulator listens on the host only, so the machine's credentials are tried from there."""
    script = (
        "import boto3, json; c = boto3.Session().get_credentials();"
        "print(json.dumps([c.method, *c.get_frozen_credentials()]))"
    )
    done = execute(machines.lab.holder, BAKED.id, ["python3", "-"], stdin=script, check=True)
    method, key, secret, token = json.loads(done.stdout)[:4]
    assert method == "iam-role"
    caller = boto3.client(
        "sts",
        region_name=REGION,
        endpoint_url=machines.lab.aws.endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
    ).get_caller_identity()
    assert caller["Arn"] == f"arn:aws:sts::123456789012:assumed-role/{ROLE}/{BAKED.id}"


def test_the_labs_ca_is_trusted(machines: Machines) -> None:
    host = machines.lab.images.package_sources()[0].url.split("/")[2]
    hashed = f"openssl s_client -connect {host}:443 -CApath /etc/ssl/certs -verify_return_error"
    assert "Verify return code: 0" in machines.sh(BARE, f"{hashed} </dev/null 2>/dev/null")
    machines.sh(BARE, f"curl -sS https://{host}/ -o /dev/null")


def test_commands_pass_status_and_input(machines: Machines) -> None:
    holder = machines.lab.holder
    done = execute(holder, BAKED.id, ["sh", "-c", "cat; exit 7"], stdin="in\n")
    assert (done.returncode, done.stdout) == (7, "in\n")
    assert execute(holder, BAKED.id, ["env"]).stdout.splitlines()[0].startswith("PATH=")
    assert "VIRTUAL_ENV" not in execute(holder, BAKED.id, ["env"]).stdout
    with pytest.raises(MachineError, match="i-0 is not running"):
        execute(holder, "i-0", ["true"])


def test_the_host_is_out_of_reach(machines: Machines) -> None:
    assert machines.sh(BAKED, "cat /proc/1/comm") == "systemd\n"
    assert machines.sh(BAKED, "ls /sys/fs/cgroup/system.slice | grep -c postfix") != "0\n"
    swappiness = "/proc/sys/vm/swappiness"
    for script in (f"cat {swappiness} >{swappiness}", "touch /sys/x"):
        done = execute(machines.lab.holder, BAKED.id, ["sh", "-c", script])
        assert done.returncode != 0, script
    machines.sh(BAKED, "sysctl -w net.ipv4.ip_forward=0")


@pytest.mark.parametrize("process", ["1", "self"])
def test_the_host_cannot_be_harmed_by_mistake(machines: Machines, process: str) -> None:
    status = machines.sh(BAKED, f"cat /proc/{process}/status")
    bounding = int(status.split("CapBnd:")[1].split()[0], 16)
    effective = int(status.split("CapEff:")[1].split()[0], 16)
    for number in (CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_TIME, CAP_SYSLOG):
        assert not bounding >> number & 1
        assert not effective >> number & 1


def test_machines_do_not_share_control_groups(machines: Machines) -> None:
    holder = machines.lab.holder
    for item in (BAKED, BARE):
        members = holder.inside(f"/run/cgroup/{holder.group}/{item.id}/init.scope/cgroup.procs")
        assert members.read_text() != "", item.id


@pytest.mark.parametrize(
    ("user_data", "complaint"),
    [
        (b"#cloud-config\nhostnam: mx\n", "hostnam"),
        (b"#cloud-config\nruncmd: [[false]]\npackages: [no-such-package]\n", "no-such-package"),
    ],
)
def test_faulty_user_data_is_refused(lab: Lab, user_data: bytes, complaint: str) -> None:
    item = instance(7, user_data)
    lab.bench.start_alone(item, lab.images.base(), lab.trust)
    try:
        with pytest.raises(MachineError, match=complaint):
            boot.wait_booted(lab.holder, item.id, LIMIT)
    finally:
        boot.terminate(lab.holder, item.id)
        lab.bench.detach(item)


def test_a_stop_keeps_the_disk_and_a_boot_is_told(lab: Lab) -> None:
    item = instance(8, b"#cloud-config\nruncmd: [[sh, -c, 'echo once >>/root/runs']]\n")
    image = lab.images.base()
    first = lab.bench.start_alone(item, image, lab.trust)
    holder = lab.holder
    boot.wait_booted(holder, item.id, LIMIT)
    assert boot.find(holder, item.id) == first
    with pytest.raises(MachineError, match="runs already"):
        boot.boot(holder, item, image)
    boot_id = execute(holder, item.id, ["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()
    assert boot_id == first.boot_id
    command = boot.entering(first, ["sh", "-c", "echo here; exec sleep 1000"])
    with subprocess.Popen(holder.entering(command), stdout=subprocess.PIPE) as guest:
        assert guest.stdout is not None
        assert guest.stdout.readline() == b"here\n"
        assert boot.stop(holder, item.id), "the shutdown was not clean"
        assert guest.wait(LIMIT) != 0, "a command ends with its machine"
    assert boot.find(holder, item.id) is None
    assert not holder.inside(f"/run/cgroup/{holder.group}/{item.id}").exists()
    second = boot.boot(holder, item, image, lab.trust)
    boot.wait_booted(holder, item.id, LIMIT)
    assert second.boot_id != first.boot_id
    assert execute(holder, item.id, ["cat", "/root/runs"]).stdout == "once\n"
    boot.kill(holder, item.id)
    assert boot.find(holder, item.id) is None
    boot.terminate(holder, item.id)
    assert not holder.inside(boot.MACHINES / item.id).exists()
    lab.bench.detach(item)


def test_services_wait_for_the_network(lab: Lab) -> None:
    """The world may name an instance before its link is there."""
    item = instance(6)
    bench, holder = lab.bench, lab.holder
    others = bench.served()
    bench.serve(*others)
    bench.write(*others, item)
    with pytest.raises(HolderError, match=r"not serving yet.*No such device"):
        wait_serving(holder, bench.world_file, 1)
    bench.attach(item)
    wait_serving(holder, bench.world_file, 5)
    holder.run(["ip", "netns", "delete", item.id])
    bench.write(*others)
    wait_serving(holder, bench.world_file, 5)


def test_no_eth0_no_boot(lab: Lab) -> None:
    with pytest.raises(MachineError, match="cannot be started"):
        boot.boot(lab.holder, instance(9), lab.images.base())


def test_kill_of_the_holder_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    other = Holder.start(tmp_path, tied=True)
    bench = type(lab.bench)(holder=other)
    bench.prepare()
    item = instance(1)
    bench.start_alone(item, lab.images.base())
    boot.wait_booted(other, item.id, LIMIT)
    inside = os.readlink(other.inside(f"/proc/{boot.running(other, item.id).pid}/ns/pid"))
    os.kill(other.record.pid, signal.SIGKILL)
    assert wait_for(lambda: not lives(inside), 5)
    assert "overlay" not in Path("/proc/mounts").read_text()
    assert VPC.id not in subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout
    other.stop()


def lives(pid_namespace: str) -> bool:
    """Whether a process of that pid namespace is left."""
    for entry in Path("/proc").glob("[0-9]*/ns/pid"):
        try:
            if os.readlink(entry) == pid_namespace:
                return True
        except OSError:
            continue  # It has ended meanwhile, or may not be looked into.
    return False
