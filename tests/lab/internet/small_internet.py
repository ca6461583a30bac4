"""A small Internet for tests: the outside hosts and two VPCs on one bridge, in a lab of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from lab.faults import Faults, faults_file, write_faults
from lab.holder import Holder, Process
from lab.internet.control import Options, command, wait_applied
from lab.internet.hosts import exec_argv
from lab.internet.machine import Machine
from lab.internet.plan import HOSTS, NAMES
from lab.internet.resolver import LINK_LOCAL_RESOLVER, resolver_address
from lab.waiting import wait_for
from lab.world.model import Instance, Interface, Record, Vpc, World, Zone
from lab.world.read import to_json

REGION = "ap-northeast-1"
ACCOUNT = "123456789012"
VPC = Vpc(id="vpc-0a", name="main", cidrs=("10.1.0.0/16",), internet_gateway="igw-0a")
OTHER_VPC = Vpc(id="vpc-0b", name="branch", cidrs=("10.2.0.0/16",), internet_gateway=None)
RELAY_ADDRESS = "198.51.100.25"


def network_script() -> str:
    """Shell commands: one bridge is the Internet, each host an interface with a route to all."""
    lines = ["set -e", "ip netns add inet", "ip -n inet link add br0 type bridge"]
    lines += ["ip -n inet link set br0 up", "ip -n inet link set lo up"]
    places = [(host.namespace, [host.address, *host.also]) for host in HOSTS]
    places += [(vpc.id, [resolver_address(vpc), LINK_LOCAL_RESOLVER]) for vpc in (VPC, OTHER_VPC)]
    for number, (name, addresses) in enumerate(places):
        lines += [
            f"ip netns add {name}",
            f"ip -n {name} link set lo up",
            f"ip -n {name} link add eth0 type veth peer name p{number} netns inet",
            f"ip -n inet link set p{number} master br0 up",
            f"ip -n {name} link set eth0 up",
            *(f"ip -n {name} addr add {address}/32 dev eth0" for address in addresses),
            f"ip -n {name} route add default dev eth0",
        ]
    return "\n".join(lines)


Completed = subprocess.CompletedProcess[str]
MIRROR_NAME = "cdn-aws.deb.debian.org"
LIMIT = 60.0


@dataclass(frozen=True, kw_only=True)
class SmallInternet:
    """The running services, and ways to use them as the lab's parts do."""

    holder: Holder
    layers: tuple[Path, ...]

    @property
    def state(self) -> Path:
        return self.holder.state

    @property
    def emulator(self) -> str:
        return f"http://127.0.0.1:{(self.state / 'port').read_text().strip()}"

    def start(self, world: World) -> None:
        self.holder.run(["sh", "-c", network_script()])
        emulator = [sys.executable, "-m", "lab.emulator", "--port-file", str(self.state / "port")]
        environment = {
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
        }
        self.holder.popen("emulator", emulator, env=environment)
        assert wait_for((self.state / "port").exists, LIMIT)
        (self.state / "mirror").mkdir()
        (self.state / "mirror" / "Packages").write_text("Package: hello\n")
        self.write(world)
        services = self.start_services()
        wait_applied(self.state, self.state / "world.json", limit=LIMIT, alive=services.alive)

    def start_services(self) -> Process:
        options = Options(
            world=self.state / "world.json",
            state=self.state,
            lower=self.layers,
            emulator=self.emulator,
            mirror=self.state / "mirror",
            mirror_names=(MIRROR_NAME,),
        )
        return self.holder.popen("services", command(options))

    def write(self, world: World) -> None:
        partial = self.state / "world.partial"
        partial.write_text(to_json(world))
        partial.replace(self.state / "world.json")

    def apply(self, world: World) -> None:
        self.write(world)
        wait_applied(self.state, self.state / "world.json", limit=LIMIT)

    def fault(self, faults: Faults) -> None:
        """Break this and nothing else."""
        write_faults(faults, faults_file(self.state))
        wait_applied(self.state, self.state / "world.json", limit=LIMIT)

    def run(self, argv: list[str]) -> Completed:
        return self.holder.run(argv, check=False)

    def at(self, namespace: str, *argv: str, stdin: str = "") -> Completed:
        """A command at an outside host."""
        return self.holder.run(exec_argv(namespace, argv), stdin=stdin, check=False)

    def dig(self, vpc: str, server: str, *query: str) -> Completed:
        """A query from within a VPC, with the tools of the machine `names`."""
        argv = Machine(name=NAMES.namespace, hostname="").argv(
            ["dig", "+noall", "+answer", "+comments", f"@{server}", *query], namespace=vpc
        )
        return self.run(argv)

    def client(self, service: str, region: str = REGION) -> Any:
        """The account's administrator: straight to the emulator."""
        return boto3.client(
            service,
            endpoint_url=self.emulator,
            region_name=region,
            aws_access_key_id="lab",
            aws_secret_access_key="lab",
        )

    def python(
        self, script: str, *, netns: str = HOSTS[0].namespace, **environment: str
    ) -> Completed:
        """Python, with boto3, on a machine that knows the lab's DNS and authority, no more."""
        (self.state / "resolv.conf").write_text(f"nameserver {NAMES.address}\n")
        shell = 'mount --bind "$0" /etc/resolv.conf; exec "$@"'
        argv = ["unshare", "--mount", "sh", "-c", shell, str(self.state / "resolv.conf")]
        argv += ["env", "-i", "HOME=/nonexistent", f"AWS_DEFAULT_REGION={REGION}"]
        argv += [f"AWS_CA_BUNDLE={self.state / 'authority' / 'ca.pem'}"]
        argv += [f"{name}={value}" for name, value in environment.items()]
        argv += [sys.executable, "-c", script]
        return self.holder.run(argv, netns=netns, check=False)


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def instance(identifier: str, vpc: Vpc, private_ip: str, public_ip: str | None) -> Instance:
    interface = Interface(
        id=f"eni-{identifier}",
        owner=identifier,
        vpc=vpc.id,
        subnet="subnet-0a",
        mac="02:00:00:00:00:01",
        private_ip=private_ip,
        public_ip=public_ip,
        groups=(),
        source_dest_check=True,
    )
    return Instance(
        id=identifier,
        name="relay",
        role="relay",
        image="ami-0a",
        type="t4g.small",
        zone=f"{REGION}a",
        interface=interface,
        user_data=b"",
        iam_role=None,
        public_key=None,
        tokens_required=True,
        hop_limit=1,
    )


def zone(
    name: str, *records: Record, private_in: tuple[str, ...] = (), identifier: str = ""
) -> Zone:
    """A hosted zone as Route 53 makes it: with an NS record set beside what is given."""
    servers = Record(name=name, type="NS", ttl=172800, values=("ns-2048.awsdns-64.com",))
    return Zone(
        id=identifier or f"Z{name.upper().replace('.', '')}",
        name=name,
        private=bool(private_in),
        vpcs=private_in,
        records=(servers, *records),
    )


def record(name: str, kind: str, *values: str, ttl: int = 300) -> Record:
    return Record(name=name, type=kind, ttl=ttl, values=values)


def example_world() -> World:
    """One public zone with the relay's records and one private zone, seen from VPC only."""
    public = zone(
        "example.jp.",
        record("example.jp.", "MX", "10 mx1.example.jp"),
        record(
            "example.jp.", "TXT", '"v=spf1 mx -all"', '"one " "string; \\303\\251 \\"quoted\\""'
        ),
        record("mx1.example.jp.", "A", RELAY_ADDRESS),
        record("_dmarc.example.jp.", "TXT", '"v=DMARC1; p=reject; sp=none"'),
        record("*.users.example.jp.", "CNAME", "mx1.example.jp."),
        record("elsewhere.example.jp.", "CNAME", "mx.example.net"),
        record("example.jp.", "CAA", '0 issue "letsencrypt.org"'),
        record("_smtp._tls.example.jp.", "TXT", '"v=TLSRPTv1; rua=mailto:tls@example.jp"'),
        record("_imaps._tcp.example.jp.", "SRV", "0 1 993 mx1.example.jp."),
    )
    private = zone(
        "corp.internal.", record("hub.corp.internal.", "A", "10.1.1.4"), private_in=(VPC.id,)
    )
    return World(
        region=REGION,
        account=ACCOUNT,
        vpcs=(VPC, OTHER_VPC),
        instances=(
            instance("i-0a", VPC, "10.1.1.4", RELAY_ADDRESS),
            instance("i-0b", OTHER_VPC, "10.2.1.4", "198.51.100.26"),
        ),
        zones=(public, private),
        pointers=((RELAY_ADDRESS, "mx1.example.jp."),),
    )
