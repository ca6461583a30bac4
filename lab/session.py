"""One lab from its first deployment to its end: what `gatepost lab` does, in order."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import folder
from lab.builds import Builds
from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine, EngineError, Result
from lab.errors import LabError
from lab.faults import SOUND, Faults, faults_file, read_faults, write_faults
from lab.holder import Holder
from lab.host import require_host, require_root
from lab.internet import plan
from lab.logs import ends
from lab.machines.image import Images
from lab.reality import SERVICE_LIMIT, Reality, aws_environment
from lab.signals import undisturbed
from lab.stackfile import image_architectures, read_stack, region
from lab.waiting import wait_for
from lab.world.model import World
from lab.world.read import from_json

EMULATOR = "emulator"
"""The name of the emulator's process in the lab."""


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
    """The lab of a `project` whose files are in the folder `state`.

    Raises LabError for a `state` that is no folder.
    """

    def __init__(self, project: Path, state: Path, says: Says) -> None:
        self.project = project.resolve()
        self.state = folder.as_folder(state)
        self.says = says
        self._is_claimed = False

    @contextmanager
    def claimed(self) -> Generator[None]:
        """No other process brings up, changes or takes down a lab in this folder meanwhile.

        `up` and `down` see to that themselves; it is for who does both. Raises LabError if another
        process has the folder, HostError if no lab can run here.
        """
        require_host()
        with self._claimed():
            yield

    @contextmanager
    def changing(self) -> Generator[None]:
        """As `claimed`, of a lab that is up; raises LabError if none is.

        Whatever changes a lab sees to that itself; it is for who reads first what is to change.
        """
        _ = self.holder  # before the claim, which would make the folder
        with self._claimed():
            yield

    @contextmanager
    def _claimed(self) -> Generator[None]:
        if self._is_claimed:
            yield
            return
        with folder.claimed(self.state):
            self._is_claimed = True
            try:
                yield
            finally:
                self._is_claimed = False

    @property
    def holder(self) -> Holder:
        """The process that owns the lab; raises LabError if none is up, HostError without root."""
        holder = self._found()
        require_root()
        return holder

    def _found(self) -> Holder:
        """As `holder`, for those who read the lab's files, which need no root."""
        holder = Holder.find(self.state)
        if holder is None or not self._record_file.exists():
            raise LabError(f"no lab is up in {self.state}: run `gatepost lab up` first")
        return holder

    @property
    def record(self) -> dict[str, Any]:
        """`stacks` that are deployed, `endpoint` of the emulator, `outputs` of each stack, …

        Raises LabError, as `world` does, if no lab is up.
        """
        return json.loads(self._file_of_running("lab.json"))

    @property
    def world(self) -> World:
        """AWS as it was at the last deployment."""
        return from_json(self._file_of_running("world.json"))

    def read(self) -> World:
        """AWS as it is now; the lab may not have followed it yet."""
        return self._reality(self.holder, self.record).read()

    def _file_of_running(self, name: str) -> str:
        return (self._found().state / name).read_text()

    @property
    def _record_file(self) -> Path:
        return self.state / "lab.json"

    @property
    def _images_file(self) -> Path:
        """The images that stack files name, for the emulator to let launch."""
        return self.state / "images.json"

    def up(
        self,
        stacks: list[str],
        *,
        tied: bool = False,
        baked: bool = True,
        faults: Faults = SOUND,
    ) -> list[Result]:
        """Deploy the stacks and boot their machines; on any failure everything is taken down.

        `tied` ends the lab with the calling thread. Without `baked` machines start from an image
        that lacks the packages of their user data, and install them. `faults` are there from the
        beginning.
        """
        with self.claimed():
            stacks = self._named(stacks)
            where = region(self.project, stacks)
            self._clear()
            if faults != SOUND:
                write_faults(faults, faults_file(self.state))
            try:
                return self._up(Holder.start(self.state, tied=tied), stacks, where, baked)
            except BaseException:
                self.clean_up()
                raise

    def _up(self, holder: Holder, stacks: list[str], where: str, baked: bool) -> list[Result]:
        self.says.phase("starting the AWS emulator; engine and images are built once")
        with self._threads(holder) as (pool, builds):
            images = self._images(builds)
            engine = pool.submit(ensure_engine, cache_folder(), self.says.noise, builds)
            outside = pool.submit(images.layer, plan.PACKAGES)
            endpoint = self._start_emulator(holder, where)
            record = {
                "endpoint": endpoint,
                "region": where,
                "engine": str(engine.result()),
                "baked": baked,
            }
            reality = self._reality(holder, record)
            internet = pool.submit(lambda: reality.start(outside.result()))

            def follow() -> None:
                internet.result()
                reality.follow(baked=baked)

            # Of a failed `up` nothing stays, the engine's state neither.
            results = self._deploy(holder, record, stacks, follow, checkpoints=False)
        self._save(record, results)
        return results

    @staticmethod
    @contextmanager
    def _threads(holder: Holder) -> Generator[tuple[ThreadPoolExecutor, Builds]]:
        """Threads, and builds for them to wait for.

        Whatever goes wrong, an interrupt too, takes from the threads what they may be waiting for
        before they are waited for: the builds, and the lab itself.
        """
        builds = Builds()
        with ThreadPoolExecutor() as pool:
            try:
                yield pool, builds
            except BaseException:
                builds.stop()
                holder.stop()
                raise

    def apply(self, stacks: list[str], *, refresh: bool = False) -> list[Result]:
        """Deploy again and make the machines and the network those of the new state.

        Raises LabError for a stack without a file, or if no stack is named and none deployed. A
        stack is recorded once it is deployed: if its machines fail, the next `apply` boots them.
        """
        with self.changing():
            holder, record = self.holder, self.record
            reality = self._reality(holder, record)
            return self._deploy(
                holder,
                record,
                self._named(stacks or record["stacks"]),
                lambda: reality.follow(baked=record["baked"]),
                refresh=refresh,
                recorded=lambda result: self._save(record, [result]),
            )

    def _named(self, stacks: list[str]) -> list[str]:
        """The stacks, each once; raises LabError if there is none, or one has no readable file."""
        if not stacks:
            raise LabError("no stack is deployed in this lab: name one, such as dev")
        for stack in stacks:
            read_stack(self.project, stack)
        return list(dict.fromkeys(stacks))

    def remove(self, stacks: list[str]) -> list[Result]:
        """Destroy stacks in their order, as `pulumi destroy` does; the others stay as they are.

        Raises LabError for a stack that is not deployed.
        """
        with self.changing():
            holder, record = self.holder, self.record
            strangers = [stack for stack in stacks if stack not in record["stacks"]]
            if strangers:
                raise LabError(
                    f"stack {', '.join(strangers)}: not deployed in this lab; deployed: "
                    f"{', '.join(record['stacks']) or 'none'}"
                )
            engine, results = self._engine(record), []
            for stack in dict.fromkeys(stacks):
                self.says.phase(f"pulumi destroy: {stack}")
                results.append(engine.destroy(stack))
                del record["outputs"][stack]
                self._save(record, [])
            self._reality(holder, record).follow(baked=record["baked"])
        return results

    def follow(self) -> None:
        """Make the network and the machines those of AWS's state, without deploying."""
        with self.changing():
            record = self.record
            self._reality(self.holder, record).follow(baked=record["baked"])

    @property
    def faults(self) -> Faults:
        """What is broken on purpose."""
        return read_faults(faults_file(self._found().state))

    def break_on_purpose(self, faults: Faults) -> None:
        """Make these faults and no others; they are in force on return, and stay until `down`."""
        with self.changing():
            self._reality(self.holder, self.record).break_on_purpose(faults)

    def clean_up(self) -> None:
        """As `down`, to its end whoever signals meanwhile; for a lab that did not come up.

        Raises LabError, which says what is left to do, if something cannot be ended or removed.
        """
        with undisturbed():
            try:
                self.down()
            except (LabError, OSError) as error:
                raise LabError(
                    f"{error}\nthe lab in {self.state} is not cleaned up: run `gatepost lab down`"
                ) from error

    def down(self) -> None:
        """End the lab; nothing stays but the caches.

        Raises LabError if another process is bringing it up, or changes it, HostError without root
        if there is anything to end.
        """
        if not self.state.exists():
            return
        if Holder.find(self.state) or folder.is_marked(self.state):
            require_root()
        with self._claimed():
            self._end()
            if folder.is_marked(self.state):
                folder.remove(self.state)

    def _end(self) -> None:
        """End whatever runs and empty the folder, if it is a lab's."""
        holder = Holder.find(self.state)
        if holder:
            holder.stop()
        if folder.is_marked(self.state):
            Holder.clear(self.state)
            folder.empty(self.state)

    def _clear(self) -> None:
        """Take away what a killed lab left; refuse the folder of a running lab, or of no lab."""
        if Holder.find(self.state) and self._record_file.exists():
            raise LabError(
                f"a lab is up in {self.state}: `gatepost lab apply` deploys again, "
                "`gatepost lab down` ends it"
            )
        self._end()
        if not folder.is_marked(self.state) and any(self.state.iterdir()):
            raise LabError(f"state {self.state}: must be an empty folder or a lab's own")
        (self.state / folder.MARK).touch()

    def _images(self, builds: Builds) -> Images:
        return Images(cache_folder(), self.says.noise, builds=builds)

    def _reality(self, holder: Holder, record: dict[str, Any]) -> Reality:
        return Reality(
            holder=holder,
            state=self.state,
            images=self._images(Builds()),
            region=record["region"],
            endpoint=record["endpoint"],
            phase=self.says.phase,
        )

    def _start_emulator(self, holder: Holder, where: str) -> str:
        port_file = self.state / "emulator.port"
        command = [sys.executable, "-m", "lab.emulator", "--port-file", str(port_file)]
        command += ["--images-file", str(self._images_file)]
        command += ["--faults-file", str(faults_file(self.state))]
        process = holder.popen(EMULATOR, command, env=aws_environment(where))
        wait_for(lambda: port_file.exists() or not process.alive(), SERVICE_LIMIT)
        if not port_file.exists():
            raise LabError(f"the AWS emulator did not start{ends(holder.log(EMULATOR))}")
        return f"http://127.0.0.1:{port_file.read_text().strip()}"

    def _engine(self, record: dict[str, Any], *, checkpoints: bool = True) -> Engine:
        return Engine(
            engine=Path(record["engine"]),
            state=self.state,
            project=self.project,
            endpoint=record["endpoint"],
            region=record["region"],
            progress=self.says.noise,
            checkpoints=checkpoints,
        )

    def _deploy(
        self,
        holder: Holder,
        record: dict[str, Any],
        stacks: list[str],
        follow: Callable[[], None],
        *,
        refresh: bool = False,
        checkpoints: bool = True,
        recorded: Callable[[Result], None] = lambda _result: None,
    ) -> list[Result]:
        self._images_file.write_text(json.dumps(image_architectures(self.project)))
        try:
            return self._engine(record, checkpoints=checkpoints).up_all(
                stacks,
                refresh=refresh,
                begins=lambda stack: self.says.phase(f"pulumi up: {stack}"),
                ends=recorded,
                deployed=follow,
            )
        except EngineError as error:
            if holder.process(EMULATOR):
                raise
            # What the engine met is that nobody answered it.
            ended = f"the AWS emulator has ended{ends(holder.log(EMULATOR))}"
            raise EngineError(f"{error}\n{ended}") from error

    def _save(self, record: dict[str, Any], results: list[Result]) -> None:
        """Put results into the record, and the record into its file."""
        record["outputs"] = record.get("outputs", {}) | {r.stack: r.outputs for r in results}
        record["stacks"] = list(record["outputs"])
        partial = self._record_file.with_suffix(".partial")
        partial.write_text(json.dumps(record))
        partial.replace(self._record_file)
