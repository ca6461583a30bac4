"""From AWS state to a running network, services and machines; all of it within the lab's owner."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from lab.holder import Holder
from lab.internet import control
from lab.internet.authority import open_authority
from lab.machines import boot
from lab.machines.image import Image, Images
from lab.machines.repository import build_repository
from lab.machines.services import PROCESS as SERVICES
from lab.machines.services import start_services, wait_serving
from lab.userdata import packages
from lab.world.model import Instance, World
from lab.world.read import from_json, read_world, to_json

BOOT_LIMIT = 300.0
"""Seconds for a machine's first boot, a package installation from the mirror included."""
SERVICE_LIMIT = 60.0
"""Seconds for the emulator, or the lab's Internet, to answer."""
INTERNET = "internet"
"""The name of the Internet's process within the lab, and of its log."""

Phase = Callable[[str], None]


def aws_environment(region: str, endpoint: str = "") -> dict[str, str]:
    """What AWS's clients are told; the emulator takes any key."""
    known = {
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    return known | ({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})


@dataclass(frozen=True, kw_only=True)
class Reality:
    """What a lab runs: made once per command, and equal to AWS's state after each `follow`."""

    holder: Holder
    state: Path
    images: Images
    region: str
    endpoint: str
    phase: Phase

    @property
    def world(self) -> World:
        """AWS as it was when it was followed last; nothing but the Region before that."""
        if not self._world_file.exists():
            return World(region=self.region, account="")
        return from_json(self._world_file.read_text())

    @property
    def _world_file(self) -> Path:
        return self.state / "world.json"

    @property
    def _mirror(self) -> Path:
        return self.state / "mirror"

    def start(self, outside: Image) -> None:
        """Start the lab's Internet, which needs no VPC; `outside` is what its hosts run from."""
        self._build_network(self.world)
        self._mirror.mkdir(exist_ok=True)
        hosts = {urlsplit(source.url).hostname or "" for source in self.images.package_sources()}
        options = control.Options(
            world=self._world_file,
            state=self.state,
            lower=outside.layers,
            emulator=self.endpoint,
            mirror=self._mirror,
            mirror_names=tuple(sorted(hosts)),
        )
        environment = aws_environment(self.region, self.endpoint)
        process = self.holder.popen(INTERNET, control.command(options), env=environment)
        self._await_internet(process.alive)

    def follow(self, *, baked: bool) -> None:
        """Make network, services and machines those of AWS's state, and wait until they are.

        Machines of instances that are gone are shut down, those of new ones booted; the others go
        on. With `baked` a new machine has the packages of its user data in its image.
        """
        os.environ.update(aws_environment(self.region, self.endpoint))  # boto3 reads it there
        world = read_world(boto3.Session(region_name=self.region), self.region)
        self._end_gone(world)
        layers = {item.id: self.images.layer(packages(item.user_data)) for item in world.instances}
        debs = {image.debs for image in layers.values() if image.debs}
        build_repository(self._mirror, self.images.package_sources(), sorted(debs))
        self.phase("building the network")
        self._build_network(world)
        self._serve()
        base = self.images.base()
        fresh = [item for item in world.instances if boot.find(self.holder, item.id) is None]
        self._boot({item.id: layers[item.id] if baked else base for item in fresh}, fresh)

    def _end_gone(self, world: World) -> None:
        """What EC2 does with a terminated instance: a shutdown, and its root volume goes."""
        kept = {instance.id for instance in world.instances}
        for instance in self.world.instances:
            if instance.id not in kept:
                self.phase(f"ending {instance.name} ({instance.id})")
                boot.stop(self.holder, instance.id)
                boot.terminate(self.holder, instance.id)

    def _build_network(self, world: World) -> None:
        new = self._world_file.with_suffix(".new")
        new.write_text(to_json(world))
        self.holder.run([sys.executable, "-m", "lab.network", "--world", str(new)])
        new.replace(self._world_file)

    def _serve(self) -> None:
        """Let the Internet, metadata and DHCP take up the new world."""
        internet = self.holder.process(INTERNET)
        if self.holder.process(SERVICES) is None:
            environment = aws_environment(self.region, self.endpoint)
            start_services(self.holder, self._world_file, environment)
        self._await_internet(lambda: internet is not None and internet.alive())
        wait_serving(self.holder, self._world_file, SERVICE_LIMIT)

    def _await_internet(self, alive: Callable[[], bool]) -> None:
        control.wait_applied(self.state, self._world_file, limit=SERVICE_LIMIT, alive=alive)

    def _boot(self, images: Mapping[str, Image], instances: list[Instance]) -> None:
        if not instances:
            return
        self.phase(f"booting {', '.join(item.name for item in instances)}")
        authority = self.state / "authority"
        open_authority(authority)
        for instance in instances:
            boot.boot(self.holder, instance, images[instance.id], authority / "ca.pem")
        with ThreadPoolExecutor() as pool:
            waits = [
                pool.submit(boot.wait_booted, self.holder, item.id, BOOT_LIMIT)
                for item in instances
            ]
            for wait in waits:
                wait.result()
