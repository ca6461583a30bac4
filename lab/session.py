"""One lab from its first deployment to its end: what `gatepost lab` does, in order."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import boto3

from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine, Result
from lab.errors import LabError
from lab.holder import Holder
from lab.host import require_host
from lab.internet import control, plan
from lab.internet.authority import open_authority
from lab.machines import boot
from lab.machines.image import Image, Images
from lab.machines.repository import build_repository
from lab.stackfile import images as image_ids
from lab.stackfile import region
from lab.userdata import packages
from lab.waiting import wait_for
from lab.world.model import Instance, World
from lab.world.read import from_json, read_world, to_json

BOOT_LIMIT = 300.0
"""Seconds for a machine's first boot, a package installation from the mirror included."""
SERVICE_LIMIT = 60.0
"""Seconds for the emulator, or the lab's Internet, to answer."""


def cache_folder() -> Path:
    """Where the engine and images are kept (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "gatepost"


@dataclass(frozen=True, kw_only=True)
class Says:
    """How a lab tells of its progress: `phase` its own steps, `noise` its tools' lines."""

    phase: Callable[[str], None]
    noise: Callable[[str], None]


class Lab:
    """The lab of a `project` whose files are in the folder `state`."""

    def __init__(self, project: Path, state: Path, says: Says) -> None:
        self.project = project.resolve()
        self.state = state.resolve()
        self.says = says
        self.images = Images(cache_folder(), says.noise)

    # --- the record: what a later command must know of a running lab ---

    @property
    def holder(self) -> Holder:
        """The process that owns the lab; raises LabError if none is up."""
        holder = Holder.find(self.state)
        if holder is None or not self._record_file.exists():
            raise LabError(f"no lab is up in {self.state}: run `gatepost lab up` first")
        return holder

    @property
    def record(self) -> dict:
        """`stacks` that are deployed, `endpoint` of the emulator, `outputs` of each stack."""
        return json.loads(self._record_file.read_text())

    @property
    def world(self) -> World:
        """AWS as it was at the last deployment."""
        return from_json(self._world_file.read_text())

    @property
    def _record_file(self) -> Path:
        return self.state / "lab.json"

    @property
    def _world_file(self) -> Path:
        return self.state / "world.json"

    # --- up, apply, down ---

    def up(self, stacks: list[str], *, tied: bool = False, baked: bool = True) -> list[Result]:
        """Deploy the stacks and boot their machines; on any failure everything is taken down.

        `tied` ends the lab with the calling thread. Without `baked` machines start from an image
        that lacks the packages of their user data, and install them.
        """
        require_host()
        self._clear()
        where = region(self.project, stacks)
        with ThreadPoolExecutor() as pool:
            engine = pool.submit(ensure_engine, cache_folder(), self.says.noise)
            outside = pool.submit(self.images.layer, plan.PACKAGES)
            holder = Holder.start(self.state, tied=tied)
            try:
                return self._up(holder, stacks, where, engine, outside, baked)
            except BaseException:
                self.down()
                raise

    def _up(
        self,
        holder: Holder,
        stacks: list[str],
        where: str,
        engine: Future[Path],
        outside: Future[Image],
        baked: bool,
    ) -> list[Result]:
        self.says.phase("starting the AWS emulator; engine and images, built once")
        endpoint = self._start_emulator(holder, where)
        record = {
            "endpoint": endpoint,
            "region": where,
            "engine": str(engine.result()),
            "baked": baked,
        }
        results = self._deploy(record, stacks, refresh=False)
        self._realise(holder, record, outside.result())
        self._save(record, results)
        return results

    def apply(self, stacks: list[str], *, refresh: bool = False) -> list[Result]:
        """Deploy again and make the machines and the network those of the new state."""
        holder, record = self.holder, self.record
        names = stacks or record["stacks"]
        results = self._deploy(record, names, refresh=refresh)
        self._realise(holder, record, self.images.layer(plan.PACKAGES))
        self._save(record, results)
        return results

    def down(self) -> None:
        """End the lab; nothing stays but the caches."""
        holder = Holder.find(self.state)
        if holder:
            holder.stop()
        if self.state.exists():
            shutil.rmtree(self.state)

    def _clear(self) -> None:
        """Refuse a second lab in this folder; take away what a killed one left."""
        if Holder.find(self.state) and self._record_file.exists():
            raise LabError(
                f"a lab is up in {self.state}: `gatepost lab apply` deploys again, "
                "`gatepost lab down` ends it"
            )
        self.down()

    def _start_emulator(self, holder: Holder, where: str) -> str:
        port_file = self.state / "emulator.port"
        ids = [f"--image={image}=arm64" for image in image_ids(self.project)]
        process = holder.popen(
            "emulator",
            [sys.executable, "-m", "lab.emulator", "--port-file", str(port_file), *ids],
            env=_environment(where),
        )
        wait_for(lambda: port_file.exists() or not process.alive(), SERVICE_LIMIT)
        if not port_file.exists():
            raise LabError(f"the AWS emulator did not start; see {holder.log('emulator')}")
        return f"http://127.0.0.1:{port_file.read_text().strip()}"

    def _deploy(self, record: dict, stacks: list[str], *, refresh: bool) -> list[Result]:
        engine = Engine(
            engine=Path(record["engine"]),
            state=self.state,
            project=self.project,
            endpoint=record["endpoint"],
            region=record["region"],
            progress=self.says.noise,
        )
        results = []
        for stack in stacks:
            self.says.phase(f"pulumi up: {stack}")
            results.append(engine.up(stack, refresh=refresh))
        return results

    def _save(self, record: dict, results: list[Result]) -> None:
        outputs = record.get("outputs", {}) | {r.stack: r.outputs for r in results}
        content = record | {"outputs": outputs, "stacks": list(outputs)}
        partial = self._record_file.with_suffix(".partial")
        partial.write_text(json.dumps(content))
        partial.replace(self._record_file)

    # --- from AWS state to machines ---

    def _realise(self, holder: Holder, record: dict, outside: Image) -> None:
        """Make network, services and machines those of AWS's state, and wait until they are."""
        endpoint, where = record["endpoint"], record["region"]
        former = self.world.instances if self._world_file.exists() else ()
        world = read_world(_session(endpoint, where), where)
        kept = {instance.id for instance in world.instances}
        for instance in former:
            if instance.id not in kept:
                self.says.phase(f"ending {instance.name} ({instance.id})")
                boot.stop(holder, instance.id)
                boot.terminate(holder, instance.id)
        layers = {item.id: self.images.layer(packages(item.user_data)) for item in world.instances}
        new = self._world_file.with_suffix(".new")
        new.write_text(to_json(world))
        self.says.phase("building the network")
        holder.run([sys.executable, "-m", "lab.network", "--world", str(new)])
        new.replace(self._world_file)
        self._serve(holder, endpoint, where, outside, layers)
        fresh = [item for item in world.instances if boot.find(holder, item.id) is None]
        self._boot(holder, fresh, layers if record["baked"] else {})

    def _serve(
        self, holder: Holder, endpoint: str, where: str, outside: Image, layers: dict[str, Image]
    ) -> None:
        """Start the lab's Internet and AWS's services, or let them take up the new world."""
        environment = _environment(where) | {"AWS_ENDPOINT_URL": endpoint}
        process = holder.process("internet")
        if process is None:
            self.says.phase("starting the lab's Internet")
            options = self._internet(endpoint, outside, layers)
            process = holder.popen("internet", control.command(options), env=environment)
        if holder.process("services") is None:
            argv = [sys.executable, "-m", "lab.machines.services", "--world", str(self._world_file)]
            holder.popen("services", argv, env=environment)
        control.wait_applied(self.state, self._world_file, limit=SERVICE_LIMIT, alive=process.alive)

    def _internet(self, endpoint: str, outside: Image, layers: dict[str, Image]) -> control.Options:
        sources = self.images.package_sources()
        mirror = self.state / "mirror"
        build_repository(mirror, sources, [i.debs for i in layers.values() if i.debs])
        return control.Options(
            world=self._world_file,
            state=self.state,
            lower=outside.layers,
            emulator=endpoint,
            mirror=mirror,
            mirror_names=tuple(sorted({urlsplit(each.url).hostname or "" for each in sources})),
        )

    def _boot(self, holder: Holder, instances: list[Instance], layers: dict[str, Image]) -> None:
        if not instances:
            return
        self.says.phase(f"booting {', '.join(item.name for item in instances)}")
        authority = self.state / "authority"
        open_authority(authority)
        base = self.images.base()
        for instance in instances:
            boot.boot(holder, instance, layers.get(instance.id, base), authority / "ca.pem")
        with ThreadPoolExecutor() as pool:
            ready = [
                pool.submit(boot.wait_booted, holder, item.id, BOOT_LIMIT) for item in instances
            ]
            for each in ready:
                each.result()


def _session(endpoint: str, where: str) -> boto3.Session:
    os.environ.update(_environment(where) | {"AWS_ENDPOINT_URL": endpoint})
    return boto3.Session(region_name=where)


def _environment(where: str) -> dict[str, str]:
    """What AWS's clients are told; the emulator takes any key."""
    return {
        "AWS_DEFAULT_REGION": where,
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "PYTHONDONTWRITEBYTECODE": "",
    }
