"""Knot DNS on the machine `names`: the lab's authoritative name server."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from lab.internet.dns import CONTROL, FOLDER, knot_config, zone_file
from lab.internet.machine import Machine, stop
from lab.internet.plan import NAMES
from lab.internet.zonefile import ZoneError
from lab.logs import ends
from lab.waiting import wait_for

START_LIMIT = 20.0
"""Seconds; a start takes some 0.1."""


class NameServerError(RuntimeError):
    """A name server or resolver did not start or reload."""


class Knot:
    """knotd with a set of zones that `apply` replaces while it goes on answering."""

    def __init__(self, machine: Machine, log: IO[bytes]) -> None:
        self._machine = machine
        self._log = log
        self._zones: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def apply(self, zones: Mapping[str, str]) -> bool:
        """Serves exactly `zones` (master files by absolute name); returns once they are served.

        Says whether that changed anything.

        Raises:
            ZoneError: a master file is not valid; what was served before stays.
            NameServerError: knotd did not start or reload within START_LIMIT.
        """
        changed = {name: text for name, text in zones.items() if self._zones.get(name) != text}
        if self.process is not None and not changed and set(zones) == set(self._zones):
            return False
        check_zones(self._machine, changed, f"{FOLDER}/new")
        self._write(zones)
        if self.process is None:
            self._start()
        else:
            if set(zones) != set(self._zones):
                self._control("reload")
            # `reload` returns before new content is served; this one waits for it.
            if changed:
                self._control("-b", "zone-reload", *sorted(changed))
        self._zones = dict(zones)
        return True

    def _write(self, zones: Mapping[str, str]) -> None:
        folder = self._machine.shared / "knot"
        (folder / "db").mkdir(exist_ok=True)
        for name, text in zones.items():
            (folder / zone_file(name)).write_text(text)
        (folder / "knot.conf").write_text(knot_config(zones))
        for name in set(self._zones) - set(zones):
            (folder / zone_file(name)).unlink()

    def _start(self) -> None:
        command = ["knotd", "-c", f"{FOLDER}/knot.conf"]
        self.process = self._machine.popen(command, log=self._log)
        if not wait_for(self._answers, START_LIMIT):
            stop(self.process)
            self.process = None
            raise NameServerError(f"knotd did not answer for the root{ends(Path(self._log.name))}")

    def _answers(self) -> bool:
        return answers(self._machine, NAMES.address, ".", "SOA")

    def _control(self, *command: str) -> None:
        done = self._machine.run(["knotc", "-s", CONTROL, *command])
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise NameServerError(f"knotc {' '.join(command)}: {said}{ends(Path(self._log.name))}")


def check_zones(machine: Machine, zones: Mapping[str, str], folder: str) -> None:
    """Has Knot's own checker (kzonecheck(1)) read master files before a server does.

    `folder` is a scratch folder below SHARED, as the machine sees it.

    Raises:
        ZoneError: with the checker's words.
    """
    scratch = machine.seen_from_outside(folder)
    scratch.mkdir(parents=True, exist_ok=True)
    for name, text in zones.items():
        (scratch / zone_file(name)).write_text(text)
        done = machine.run(["kzonecheck", "-v", "-o", name, f"{folder}/{zone_file(name)}"])
        if done.returncode:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise ZoneError(f"zone {name}: {said}")


def answers(
    machine: Machine, server: str, name: str, kind: str, *, namespace: str | None = None
) -> bool:
    """Whether `server` answers a query for `name` with at least one record."""
    command = ["dig", "+short", "+time=1", "+tries=1", f"@{server}", name, kind]
    done = machine.run(command, namespace=namespace)
    return done.returncode == 0 and bool(done.stdout.strip())
