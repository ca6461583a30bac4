"""Unbound as the resolver of one network namespace."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from lab.internet.dns import root_hints
from lab.internet.knot import NameServerError, answers, check_zones
from lab.internet.machine import SHARED, Machine, stop
from lab.internet.plan import NAMES
from lab.internet.resolver import unbound_config
from lab.logs import ends
from lab.waiting import wait_for

START_LIMIT = 20.0
"""Seconds; a start takes some 0.1."""


class Unbound:
    """unbound on `machine`, in `namespace` (the machine's own by default), at `addresses`.

    It validates if it is given the root's key, a DNSKEY record as a master file's line, and keeps
    nothing of what it learns without `caching`.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        addresses: Sequence[str],
        log: IO[bytes],
        namespace: str | None = None,
        root_key: str | None = None,
        caching: bool = True,
    ) -> None:
        self._machine, self._root_key, self._caching = machine, root_key, caching
        self._addresses = tuple(addresses)
        self.log = log
        self._namespace = namespace
        name = namespace or machine.name
        self._folder = f"{SHARED}/resolver-{name}"
        self._control = f"/run/resolver-{name}.sock"
        self._zones: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def apply(self, zones: Mapping[str, str], *, forget: bool) -> None:
        """Resolves with `zones` beside the root.

        `forget` also drops what it has learnt from others, which may be out of date.

        Raises:
            ZoneError: a master file is not valid; what was served before stays.
            NameServerError: unbound did not start, reload or answer within START_LIMIT.
        """
        if self.process is not None and zones == self._zones and not forget:
            return
        changed = {name: text for name, text in zones.items() if self._zones.get(name) != text}
        check_zones(self._machine, changed, f"{self._folder}/new")
        self._write(zones)
        self._machine.run(["unbound-checkconf", f"{self._folder}/unbound.conf"], check=True)
        if self.process is None:
            command = ["unbound", "-c", f"{self._folder}/unbound.conf"]
            self.process = self._machine.popen(command, log=self.log, namespace=self._namespace)
        else:
            self._reload()
        if not wait_for(self._answers, START_LIMIT):
            raise NameServerError(
                f"the resolver at {self._addresses[0]} did not resolve {NAMES.host}"
                f"{ends(Path(self.log.name))}"
            )
        self._zones = dict(zones)

    def close(self) -> None:
        """Ends the process, if there is one."""
        if self.process is not None:
            self._machine.run(
                ["unbound-control", "-c", f"{self._folder}/unbound.conf", "stop"], check=True
            )
            stop(self.process)
            self.process = None

    def _write(self, zones: Mapping[str, str]) -> None:
        folder = self._machine.seen_from_outside(self._folder)
        names = {name: f"{name}zone" for name in zones}
        for name, text in zones.items():
            (folder / names[name]).write_text(text)
        (folder / "root.hints").write_text("\n".join([*root_hints(), ""]))
        if self._root_key is not None:
            (folder / "root.key").write_text(self._root_key)
        (folder / "unbound.conf").write_text(
            unbound_config(
                addresses=self._addresses,
                folder=self._folder,
                control=self._control,
                zones=names,
                anchor="root.key" if self._root_key is not None else None,
                caching=self._caching,
            )
        )

    def _reload(self) -> None:
        # The control socket is a file: the network namespace, which may be gone, does not matter.
        self._machine.run(
            ["unbound-control", "-c", f"{self._folder}/unbound.conf", "reload"], check=True
        )

    def _answers(self) -> bool:
        return all(
            answers(self._machine, address, NAMES.host, "A", namespace=self._namespace)
            for address in self._addresses
        )
