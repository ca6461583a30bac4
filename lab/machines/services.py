"""Runs what AWS gives each instance over the network: metadata and DHCP, for all VPCs.

`python -m lab.machines.services --world FILE` runs inside the lab until it is killed. FILE holds
the World as JSON and is read again when it changes.
"""

from __future__ import annotations

import argparse
import logging
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import boto3

from lab.internet.netns import listen, within_namespace
from lab.machines import dhcp, metadata
from lab.machines.credentials import RoleCredentials
from lab.network.names import METADATA
from lab.world.model import Interface, World
from lab.world.names import link_name, vpc_namespace
from lab.world.read import from_json

LOOK_AGAIN = 0.2
"""Seconds between two looks at the world file."""

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
        """Serve this world from now on; raises OSError if a namespace, address or link lacks."""
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


def run(path: Path, services: Services) -> None:
    """Serve the world at `path` for ever."""
    seen: tuple[int, int] | None = None
    while True:
        status = path.stat()
        now = (status.st_mtime_ns, status.st_ino)
        if now != seen:
            seen = now
            services.update(from_json(path.read_text()))
            log.info("serving %s", path)
        services.serve(LOOK_AGAIN)


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
