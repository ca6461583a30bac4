"""A `Plan` on disk: what has been built, for the next process that goes on from it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lab.network.plan import End, Link, Namespace, Plan, Ruleset, Setting


def write_plan(plan: Plan, path: Path) -> None:
    """Write `plan` to `path`, as a whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(plan)))
    os.replace(fresh, path)


def read_plan(path: Path) -> Plan:
    """The plan at `path`; the empty plan where nothing has been built yet."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return Plan()
    return Plan(
        namespaces=tuple(
            Namespace(name=item["name"], sysctls=tuple(item["sysctls"]))
            for item in data["namespaces"]
        ),
        links=tuple(_link(item) for item in data["links"]),
        settings=tuple(
            Setting(
                namespace=item["namespace"],
                add=item["add"],
                remove=item["remove"],
                link=None if item["link"] is None else _link(item["link"]),
            )
            for item in data["settings"]
        ),
        rulesets=tuple(Ruleset(**item) for item in data["rulesets"]),
    )


def _link(data: dict[str, Any]) -> Link:
    return Link(near=End(**data["near"]), far=End(**data["far"]))
