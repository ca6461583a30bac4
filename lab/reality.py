"""From AWS state to a running network, services and machines; all of it within the lab's owner."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from lab.environment import forget
from lab.faults import Faults, faults_file, write_faults
from lab.holder import Holder
from lab.internet import control
from lab.internet.authority import open_authority
from lab.internet.dnssec import root_key, trust_anchor, trust_anchor_ds
from lab.internet.resolver import SERVED_THOUGH_RESERVED
from lab.loopback import unproxied
from lab.machines import boot, volumes
from lab.machines.image import Image, Images
from lab.machines.repository import build_repository
from lab.machines.services import PROCESS as SERVICES
from lab.machines.services import start_services, wait_serving
from lab.machines.trust import Trust
from lab.userdata import packages
from lab.waiting import wait_for
from lab.world.model import Instance, World
from lab.world.read import from_json, read_world, to_json

BOOT_LIMIT = 300.0
"""Seconds for a machine's first boot, a package installation from the mirror included."""
ATTACH_DELAY = 10.0
"""Seconds after which a volume comes to a machine whose user data waits for it before all else."""
SERVICE_LIMIT = 60.0
"""Seconds for the emulator, or the lab's Internet, to answer."""

Phase = Callable[[str], None]


def aws_environment(region: str, endpoint: str = "") -> dict[str, str]:
    """What AWS's clients are told beside what is remembered of the caller's environment.

    The emulator takes any key.
    """
    known = {
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        **unproxied(os.environ),
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
        process = self.holder.popen(control.PROCESS, control.command(options), env=environment)
        self._await_internet(process.alive)

    def read(self) -> World:
        """AWS as it is now."""
        forget(os.environ)  # boto3 reads it there
        os.environ.update(aws_environment(self.region, self.endpoint))
        return read_world(boto3.Session(region_name=self.region), self.region)

    def follow(self, *, baked: bool) -> None:
        """Make network, volumes and machines those of AWS's state, and wait until they are.

        Machines of instances that are gone or stopped are shut down, those of new and started
        ones booted; the others go on. A volume is detached once its machine has been shut down,
        and attached to the next when that boots. With `baked` a new machine has the packages of
        its user data in its image.
        """
        world = self.read()
        self._rename(world)
        self._shut_down(world)
        volumes.release(self.holder, world)
        volumes.provide(self.holder, world)
        layers = {item.id: self.images.layer(packages(item.user_data)) for item in world.instances}
        debs = {image.debs for image in layers.values() if image.debs}
        build_repository(self._mirror, self.images.package_sources(), sorted(debs))
        self.phase("building the network")
        self._take_up(world)
        self._serve()
        base = self.images.base()
        fresh = [item for item in world.instances if boot.find(self.holder, item.id) is None]
        kept = [item for item in world.instances if item not in fresh]
        for item in kept:
            volumes.attach_all(self.holder, world, item.id)
        self._boot(world, {item.id: layers[item.id] if baked else base for item in fresh}, fresh)
        for item in kept:
            # One whose first boot failed is still there: it has not become sound since.
            boot.wait_booted(self.holder, item.id, BOOT_LIMIT)

    def break_on_purpose(self, faults: Faults) -> None:
        """Make these faults, and no others, and wait until they are in force."""
        write_faults(faults, faults_file(self.state))
        self._take_up(self.world)

    def _rename(self, world: World) -> None:
        """Have the Internet see the new names while the old machines still run and send.

        Route 53 waits for no machine, so this is the worst that a deployment's order may bring.
        """
        old = self.world
        if old.instances and (old.zones, old.pointers) != (world.zones, world.pointers):
            self._take_up(replace(old, zones=world.zones, pointers=world.pointers))

    def _shut_down(self, world: World) -> None:
        """End machines as EC2 does; with a terminated instance its root volume goes.

        An instance that was stopped and started in the meantime is shut down too, to boot again.
        """
        launched = {instance.id: instance.launched for instance in world.instances}
        for instance in self.world.instances:
            if launched.get(instance.id) != instance.launched:
                self.phase(f"shutting down {instance.name} ({instance.id})")
                if not boot.stop(self.holder, instance.id):
                    self.phase(f"{instance.name} did not end within {boot.STOP_LIMIT:g} s: killed")
        kept = {*launched, *world.stopped}
        for instance_id in (*(item.id for item in self.world.instances), *self.world.stopped):
            if instance_id not in kept:
                boot.terminate(self.holder, instance_id)

    def _take_up(self, world: World) -> None:
        """Make network and Internet those of the world and of the faults."""
        self._build_network(world)
        internet = self.holder.process(control.PROCESS)
        self._await_internet(lambda: internet is not None and internet.alive())

    def _build_network(self, world: World) -> None:
        new = self._world_file.with_suffix(".new")
        new.write_text(to_json(world))
        argv = [sys.executable, "-m", "lab.network", "--world", str(new)]
        self.holder.run([*argv, "--faults", str(faults_file(self.state))])
        new.replace(self._world_file)

    def _serve(self) -> None:
        """Let metadata and DHCP take up the new world."""
        if self.holder.process(SERVICES) is None:
            environment = aws_environment(self.region, self.endpoint)
            start_services(self.holder, self._world_file, environment)
        wait_serving(self.holder, self._world_file, SERVICE_LIMIT)

    def _await_internet(self, alive: Callable[[], bool]) -> None:
        control.wait_applied(self.state, self._world_file, limit=SERVICE_LIMIT, alive=alive)

    def _boot(self, world: World, images: Mapping[str, Image], instances: list[Instance]) -> None:
        if not instances:
            return
        self.phase(f"booting {', '.join(item.name for item in instances)}")
        trust = self._trust()
        new = {item.id for item in instances if not boot.has_disk(self.holder, item.id)}
        for instance in instances:
            boot.boot(self.holder, instance, images[instance.id], trust)
        self._attach(world, [item.id for item in instances], new)
        for instance in instances:
            boot.wait_booted(self.holder, instance.id, BOOT_LIMIT)

    def _trust(self) -> Trust:
        authority = self.state / "authority"
        open_authority(authority)
        key = root_key(authority)
        return Trust(
            certificate=authority / "ca.pem",
            root_key=trust_anchor(key),
            root_ds=trust_anchor_ds(key),
            reserved=SERVED_THOUGH_RESERVED,
        )

    def _attach(self, world: World, booting: list[str], new: set[str]) -> None:
        """Attach the volumes of machines that boot, each machine's as soon as it is its time.

        A volume is attached to an instance that runs: it comes late to a new one, whatever the
        user data hopes for, but an instance that is started again has it from the beginning.
        """
        owners = {volume.instance for volume in world.volumes}
        late = {each for each in booting if each in new and each in owners}
        for instance_id in set(booting) - late:
            volumes.attach_all(self.holder, world, instance_id)

        def attached() -> bool:
            for instance_id in [each for each in late if self._configured(each)]:
                volumes.attach_all(self.holder, world, instance_id)
                late.remove(instance_id)
            return not late

        # User data that waits for the volume in that stage (bootcmd) gets it in the end.
        if not wait_for(attached, ATTACH_DELAY):
            for instance_id in late:
                volumes.attach_all(self.holder, world, instance_id)

    def _configured(self, instance_id: str) -> bool:
        return boot.has_configured_disks(self.holder, instance_id)
