"""A small VPC for machines under test: what lab/network and the lab's Internet give a real one."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from urllib.parse import urlsplit

from lab.holder import Holder
from lab.machines.boot import Machine, boot
from lab.machines.image import Image
from lab.machines.services import PROCESS, start_services, wait_serving
from lab.machines.sources import Source
from lab.machines.trust import Trust
from lab.network.names import METADATA, resolver_address, router_address
from lab.world.model import Instance, Interface, SecurityGroup, Subnet, Vpc, World
from lab.world.names import link_name, vpc_namespace
from lab.world.read import from_json, to_json

REGION = "ap-northeast-1"
ACCOUNT = "123456789012"
VPC = Vpc(id="vpc-0a1b2c3d4e5f60718", name="test", cidrs=("10.1.0.0/16",), internet_gateway=None)
SUBNET = Subnet(
    id="subnet-01", name="a", vpc=VPC.id, cidr="10.1.1.0/24", zone=f"{REGION}a", route_table="rtb-1"
)
GROUP = SecurityGroup(id="sg-01", name="mail", vpc=VPC.id, rules=())
NETWORK = IPv4Network(SUBNET.cidr)
ROUTER = router_address(NETWORK)
RESOLVER = resolver_address(IPv4Network(VPC.cidrs[0]))
MIRROR = "192.0.2.80"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0000000000000000000000000000000000000000000 operator"


def instance(
    number: int = 1,
    user_data: bytes = b"",
    *,
    iam_role: str | None = None,
    public_ip: str | None = None,
    tokens_required: bool = True,
    hop_limit: int = 1,
) -> Instance:
    """The `number`th instance of the subnet; everything that identifies it follows from that."""
    id = f"i-0123456789abcde{number:02x}"
    interface = Interface(
        id=f"eni-0123456789abcde{number:02x}",
        owner=id,
        vpc=VPC.id,
        subnet=SUBNET.id,
        mac=f"02:00:0a:01:01:{number + 9:02x}",
        private_ip=str(NETWORK[number + 9]),
        public_ip=public_ip,
        groups=(GROUP.id,),
        source_dest_check=True,
    )
    return Instance(
        id=id,
        name=f"machine {number}",
        role="test",
        image="ami-0debian13",
        type="t3.micro",
        zone=SUBNET.zone,
        interface=interface,
        user_data=user_data,
        iam_role=iam_role,
        public_key=KEY,
        tokens_required=tokens_required,
        hop_limit=hop_limit,
    )


def world(*instances: Instance) -> World:
    """The VPC with these instances."""
    return World(
        region=REGION,
        account=ACCOUNT,
        vpcs=(VPC,),
        subnets=(SUBNET,),
        groups=(GROUP,),
        instances=instances,
    )


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A running lab with one VPC; instances are attached to it one by one."""

    holder: Holder

    def prepare(self) -> None:
        """Make the VPC's namespace with the addresses that AWS answers at."""
        namespace = vpc_namespace(VPC.id)
        self.holder.run(["ip", "netns", "add", namespace])
        lines = ["link set lo up"]
        lines += [f"address add {address}/32 dev lo" for address in (METADATA, RESOLVER)]
        self.ip(namespace, lines)
        self.holder.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"], netns=namespace)

    def ip(self, namespace: str, lines: list[str]) -> None:
        """Run ip(8) commands in a namespace."""
        self.holder.run(["ip", "-batch", "-"], netns=namespace, stdin="\n".join(lines) + "\n")

    def attach(self, item: Instance) -> None:
        """Make the instance's namespace and its link, as EC2 does before a boot."""
        link, address = link_name(item.interface.id), item.interface.private_ip
        namespace = vpc_namespace(VPC.id)
        self.holder.run(["ip", "netns", "add", item.id])
        peer = f"peer name eth0 netns {item.id} address {item.interface.mac}"
        self.ip(namespace, [f"link add {link} type veth {peer}"])
        self.ip(
            namespace,
            [
                f"link set {link} up",
                f"address add {ROUTER}/32 dev {link}",
                f"route add {address}/32 dev {link}",
            ],
        )
        proxy = f"net.ipv4.conf.{link}.proxy_arp=1"
        self.holder.run(["sysctl", "-qw", proxy], netns=namespace)
        self.ip(item.id, ["link set lo up", "link set eth0 up"])

    def mirror(self, folder: Path, certificate: Path, sources: Iterable[Source]) -> None:
        """Serve `folder` as Debian's archive, under the names that the sources have."""
        namespace = vpc_namespace(VPC.id)
        self.ip(namespace, [f"address add {MIRROR}/32 dev lo"])
        server = str(Path(__file__).with_name("mirror_server.py"))
        command = [sys.executable, server, str(folder), str(certificate), MIRROR]
        self.holder.popen("mirror", command, netns=namespace)
        names = {urlsplit(source.url).netloc for source in sources}
        self.resolve(dict.fromkeys(names, MIRROR))

    def resolve(self, names: dict[str, str]) -> None:
        """Answer DNS at the VPC resolver's address: these names and no others."""
        server = str(Path(__file__).with_name("resolver.py"))
        pairs = [f"{name}={address}" for name, address in names.items()]
        command = [sys.executable, server, str(RESOLVER), *pairs]
        self.holder.popen("resolver", command, netns=vpc_namespace(VPC.id))

    @property
    def world_file(self) -> Path:
        """Where the services read the world."""
        return self.holder.state / "world.json"

    def serve(self, *instances: Instance, endpoint: str = "http://127.0.0.1:9") -> None:
        """Have the services serve these instances; AWS itself is at `endpoint`."""
        self.write(*instances)
        if self.holder.process(PROCESS):
            wait_serving(self.holder, self.world_file, 20)
            return
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        start_services(self.holder, self.world_file, {"AWS_ENDPOINT_URL": endpoint, **credentials})
        wait_serving(self.holder, self.world_file, 20)

    def write(self, *instances: Instance) -> None:
        """Tell the services what there is."""
        partial = self.world_file.with_suffix(".partial")
        partial.write_text(to_json(world(*instances)))
        partial.replace(self.world_file)

    def start_alone(self, item: Instance, image: Image, trust: Trust | None = None) -> Machine:
        """Attach an instance, let the services know it beside the others, and boot it."""
        self.attach(item)
        self.serve(*self.served(), item)
        return boot(self.holder, item, image, trust)

    def served(self) -> tuple[Instance, ...]:
        """The instances that the services know."""
        if not self.world_file.exists():
            return ()
        return from_json(self.world_file.read_text()).instances

    def detach(self, item: Instance) -> None:
        """Take the instance out again, once it has ended."""
        self.write(*(other for other in self.served() if other != item))
        self.holder.run(["ip", "netns", "delete", item.id])
