"""What is on disk: the live tables, and the last good objects that they came from."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

from .objects import VERSION, Part, Refused
from .tables import Tables

PROBES = 100
"""Known keys of a new table that are asked before it is put in force, beside an unknown one."""
UNKNOWN = "nobody@invalid"


class Store:
    """The live tables of this host and the last good objects they came from, under `root`."""

    ORDER = (
        "branch_certs",
        "peers",
        "tls_policy",
        "outward",
        "edge",
        "mailboxes",
        "transport",
        "aliases",
        "held",
        "stale",
        "refused",
        "recipients",
    )
    """Who exists is said last: an address is accepted only once its way is known."""

    def __init__(self, root: Path) -> None:
        self.tables = root / "tables"
        self.parts = root / "parts"
        self.ready = root / "ready"
        self.identity = root / "identity" / "host.pem"
        """This host's key and certificate, as postconf(5) has it for smtpd_tls_chain_files."""
        for folder in (self.tables, self.parts):
            folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> tuple[dict[str, Part], dict[str, str]]:
        """The last good objects by key, and what is wrong with files that cannot be read.

        Another release may have written them in another form; they are fetched again then.
        """
        found: dict[str, Part] = {}
        wrong: dict[str, str] = {}
        for file in self.parts.iterdir():
            try:
                data = json.loads(file.read_bytes())
                if data["part"]["version"] != VERSION:
                    raise ValueError(f"version {data['part']['version']}")
                found[data["key"]] = data["part"]
            except (ValueError, KeyError, TypeError) as error:
                wrong[file.name] = f"kept on disk, cannot be read: {error!r}"
        return found, wrong

    def keep(self, key: str, part: Part | None) -> None:
        """Remember an object as good, or forget it."""
        file = self.parts / quote(key, safe="")
        if part is None:
            file.unlink(missing_ok=True)
            return
        replace(file, json.dumps({"key": key, "part": part}))

    def install(self, tables: Tables) -> list[str]:
        """Put changed tables in force; returns their names. Raises Refused if one is wrong.

        In two rounds: first all that is new is added, the ways before the addresses that take
        them; then what is gone is taken away, the addresses first. In between, whatever any of
        Postfix's programs looks up has either its old answer or its new one.
        """
        live = {name: self._live(name) for name in tables}
        changed = [name for name in self.ORDER if name in tables and live[name] != tables[name]]
        rounds: list[tuple[str, str]] = []
        for name in changed:
            both = (live[name] or {}) | tables[name]
            if both != tables[name]:
                self._build(name, "both", both)
            self._build(name, "new", tables[name])
            rounds.append((name, "both" if both != tables[name] else "new"))
        rounds += [(name, "new") for name, first in reversed(rounds) if first == "both"]
        for name, built in rounds:
            file = self.tables / f"{built}-{name}"
            os.replace(f"{file}.cdb", self.tables / f"{name}.cdb")
            os.replace(file, self.tables / name)
        return changed

    def renew(self) -> None:
        """Have smtpd(8) begin anew, which keeps the ways that it was told until its process ends
        (src/smtpd/smtpd_resolve.c): it does when one of its tables has another time of change."""
        table = self.tables / "mailboxes.cdb"
        if table.exists():
            os.utime(table)

    def _live(self, name: str) -> dict[str, str] | None:
        file = self.tables / name
        if not file.exists() or not file.with_name(f"{name}.cdb").exists():
            return None
        lines = (line.partition(" ") for line in file.read_text().splitlines())
        return {key: value for key, _, value in lines}

    def _build(self, name: str, prefix: str, table: dict[str, str]) -> None:
        """Build a table beside the live one, and ask it for known keys and an unknown one."""
        file = self.tables / f"{prefix}-{name}"
        file.write_text("".join(f"{key} {value}\n" for key, value in sorted(table.items())))
        made = subprocess.run(["postmap", f"cdb:{file}"], capture_output=True, text=True)
        if made.returncode or made.stderr:
            raise Refused(f"table {name}: postmap says {made.stderr.strip()!r}")
        known = list(table)[:: max(1, len(table) // PROBES)]
        expected = "".join(f"{key}\t{table[key]}\n" for key in known)
        asked = "".join(f"{key}\n" for key in (*known, UNKNOWN))
        answer = subprocess.run(
            ["postmap", "-q", "-", f"cdb:{file}"], input=asked, capture_output=True, text=True
        )
        if answer.stdout != expected or answer.stderr:
            raise Refused(
                f"table {name}: must answer as it was built, got "
                f"{_first_difference(answer.stdout, expected)} {answer.stderr.strip()}"
            )


def _first_difference(answer: str, expected: str) -> str:
    pairs = zip(
        [*answer.splitlines(), "nothing"], [*expected.splitlines(), "nothing"], strict=False
    )
    return next((f"{got!r} for {want!r}" for got, want in pairs if got != want), "all")


def replace(file: Path, text: str) -> None:
    """Write a file so that a reader sees its old content or its new one."""
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    os.replace(new, file)


FIGURES = {
    "objects": "Objects of the directory that are in force.",
    "refused": "Objects of the directory that are refused.",
    "conflicts": "Claims of owners that do not stand.",
    "answered_timestamp_seconds": "When S3 last answered, 0 if it has not since the start.",
    "applied_timestamp_seconds": "When tables were last put in force, 0 if they never were.",
}
"""What is measured, by the name that follows `gatepost_directory_`, all gauges. Times are Unix
times, so that they tell the truth of a synchroniser that hangs, too."""


class Reports:
    """What a person, or another program, sees of the synchroniser, in a folder under /run.

    `alarms/directory` has one complaint a line and is there while there are any; `directory.json`
    says which objects are in force, by key and entity tag, and since when (Unix time);
    `directory.prom` has figures in Prometheus's text format, for its node exporter.
    """

    def __init__(self, root: Path) -> None:
        self.alarm = root / "alarms" / "directory"
        self.state = root / "directory.json"
        self.figures = root / "directory.prom"
        self.alarm.parent.mkdir(parents=True, exist_ok=True)

    def alarms(self, complaints: Iterable[str]) -> None:
        """Show what is wrong now."""
        lines = sorted(complaints)
        if lines:
            replace(self.alarm, "".join(f"{line}\n" for line in lines))
        else:
            self.alarm.unlink(missing_ok=True)

    def in_force(self, tags: dict[str, str], since: float) -> None:
        """Show what Postfix's tables are made from."""
        replace(self.state, json.dumps({"since": since, "objects": tags}, indent=1) + "\n")

    def measured(self, figures: Mapping[str, int]) -> None:
        """Show the figures that FIGURES names."""
        lines = []
        for name, meaning in FIGURES.items():
            full = f"gatepost_directory_{name}"
            lines += [f"# HELP {full} {meaning}", f"# TYPE {full} gauge", f"{full} {figures[name]}"]
        replace(self.figures, "\n".join(lines) + "\n")
