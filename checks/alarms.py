"""Alarms: what a host itself says is wrong now, a file for each."""

from __future__ import annotations

from collections.abc import Iterable

from checks.deployment import Deployment
from checks.suite import Check, Scene, expect

FOLDER = "/run/gatepost/alarms"
"""Programs on the hosts keep a file there while something is wrong; its text says what."""

_TOLD = f'cd {FOLDER} 2>/dev/null || exit 0; for name in *; do [ -f "$name" ] || continue; '
_TOLD += 'printf "%s\\n" "$name"; tr "\\n" " " < "$name"; echo; done'
"""Two lines an alarm: its name, and its text as one line."""


def checks(_: Scene) -> list[Check]:
    """Read last, with the logs."""
    return [no_alarm]


def no_alarm(scene: Scene) -> str:
    """no host has an alarm standing"""
    found = [
        f"{host}: {text}"
        for host, alarms in standing(scene.deployment, [h.name for h in scene.hosts]).items()
        for text in alarms.values()
    ]
    expect(not found, "; ".join(found))
    return f"{len(scene.hosts)} hosts"


def standing(deployment: Deployment, hosts: Iterable[str]) -> dict[str, dict[str, str]]:
    """The alarms of each of the `hosts` that has any, by name; raises Failed if one cannot tell."""
    found = {}
    for host in hosts:
        done = deployment.run(host, ["sh", "-c", _TOLD])
        expect(done.code == 0, f"alarms of {host}: {done.err.strip() or done.code}")
        lines = done.out.splitlines()
        alarms = {name: text.strip() for name, text in zip(lines[::2], lines[1::2], strict=True)}
        if alarms:
            found[host] = alarms
    return found
