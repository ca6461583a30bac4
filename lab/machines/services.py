"""What AWS gives each instance over the network: metadata and DHCP, by one process for all VPCs.

`python -m lab.machines.services --world FILE` runs inside the lab until it is killed. FILE holds
the World as JSON and is read again when it changes; it must be replaced as a whole (rename(2)).
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import boto3

from lab.holder import Holder, HolderError, Process
from lab.internet.netns import listen, within_namespace
from lab.machines import dhcp, metadata
from lab.machines.credentials import RoleCredentials
from lab.network.names import METADATA
from lab.waiting import wait_for
from lab.world.model import Interface, World
from lab.world.names import link_name, vpc_namespace
from lab.world.read import from_json

PROJECT = Path(__file__).parents[2]
LOOK_AGAIN = 0.2
"""Seconds between two looks at the world file."""
SERVING = Path("/run/lab/serving")
"""Says by its digest which content of the world file is served, as the lab sees the path."""
PROCESS = "services"
"""The name of the process and of its log."""

log = logging.getLogger("services")


class Services:
    """Sockets in the VPCs' namespaces, one for metadata per VPC and one for DHCP per instance."""

    def __init__(
        self,
        credentials: RoleCredentials,
        link_of: Callable[[Interface], str] = lambda interface: link_name(interface.id),
    ) -> None:
        self._credentials = credentials
        self._link_of = link_of
        self._world: World | None = None
        self._servers: dict[str, metadata.MetadataServer] = {}
        self._links: dict[str, socket.socket] = {}
        self._selector = selectors.DefaultSelector()

    @property
    def world(self) -> World:
        """The world as it was read last."""
        if self._world is None:
            raise RuntimeError("no world has been read yet")
        return self._world

    def update(self, world: World) -> None:
        """Serve this world from now on; raises OSError if a namespace or link is not there yet."""
        self._world = world
        interfaces = {item.interface.id: item.interface for item in world.instances}
        vpcs = {interface.vpc for interface in interfaces.values()}
        for gone in self._servers.keys() - vpcs:
            server = self._servers.pop(gone)
            server.shutdown()
            server.server_close()
        for gone in self._links.keys() - interfaces.keys():
            self._close(gone)
        for vpc in sorted(vpcs - self._servers.keys()):
            self._servers[vpc] = self._serve_metadata(vpc)
        for name in sorted(interfaces.keys() - self._links.keys()):
            self._links[name] = self._open(interfaces[name])

    def serve(self, seconds: float) -> None:
        """Answer DHCP for at least so long; metadata is answered by threads of its own."""
        leases = {item.interface.id: item.interface for item in self.world.instances}
        for key, _ in self._selector.select(seconds):
            interface = leases[key.data]
            try:
                dhcp.serve(self._links[key.data], dhcp.lease_of(self.world, interface))
            except OSError as error:
                # The link went away with its instance; it is opened again if it comes back.
                log.warning("DHCP for %s (%s): %s", interface.owner, key.data, error)
                self._close(key.data)

    def _serve_metadata(self, vpc: str) -> metadata.MetadataServer:
        server = metadata.MetadataServer(
            listen(vpc_namespace(vpc), METADATA, metadata.PORT),
            world=lambda: self.world,
            vpc_id=vpc,
            credentials=self._credentials,
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _open(self, interface: Interface) -> socket.socket:
        name = self._link_of(interface)
        link = within_namespace(vpc_namespace(interface.vpc), lambda: dhcp.open_link(name))
        self._selector.register(link, selectors.EVENT_READ, interface.id)
        return link

    def _close(self, interface_id: str) -> None:
        link = self._links.pop(interface_id)
        self._selector.unregister(link)
        link.close()


def start_services(holder: Holder, world: Path, env: Mapping[str, str]) -> Process:
    """Start the process inside the lab; `env` has boto3's settings: endpoint and credentials.

    The namespaces and links of what is in the world file should be there already. Raises
    HolderError if the services run already.
    """
    command = [sys.executable, "-m", "lab.machines.services", "--world", str(world)]
    return holder.popen(PROCESS, command, env={"PYTHONPATH": str(PROJECT), **env})


def wait_serving(holder: Holder, world: Path, limit: float) -> None:
    """Wait until the services serve what the world file holds now.

    Raises HolderError after `limit` seconds or when the process has ended.
    """
    wanted = _digest(world.read_bytes())
    place = holder.inside(SERVING)

    def serving() -> bool:
        return place.exists() and place.read_text() == wanted

    wait_for(lambda: serving() or holder.process(PROCESS) is None, limit)
    if not serving():
        said = holder.log(PROCESS).read_text()[-2000:].strip()
        raise HolderError(f"Metadata and DHCP do not serve {world} after {limit:g} s:\n{said}")


def run(path: Path, services: Services) -> None:
    """Serve the world at `path` for ever."""
    served = ""
    complaint = ""
    while True:
        content = path.read_bytes()
        if _digest(content) != served:
            try:
                services.update(from_json(content.decode()))
            except OSError as error:
                # The network is not there yet; once it is, this goes well.
                if str(error) != complaint:
                    complaint = str(error)
                    log.warning("not serving yet: %s", complaint)
            else:
                served, complaint = _digest(content), ""
                _say(served)
        services.serve(LOOK_AGAIN)


def _say(served: str) -> None:
    SERVING.parent.mkdir(parents=True, exist_ok=True)
    partial = SERVING.with_suffix(".partial")
    partial.write_text(served)
    partial.replace(SERVING)
    log.info("serving %s", served)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.machines.services", description=__doc__)
    parser.add_argument("--world", type=Path, required=True, help="the World as JSON")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    region = from_json(arguments.world.read_text()).region
    clients = {name: boto3.client(name, region_name=region) for name in ("iam", "sts")}
    run(arguments.world, Services(RoleCredentials(iam=clients["iam"], sts=clients["sts"])))


if __name__ == "__main__":
    main()
