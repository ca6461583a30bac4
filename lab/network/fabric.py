"""Builds the network in the kernel and keeps it equal to AWS state."""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lab.faults import SOUND, Faults
from lab.network import tools
from lab.network.errors import CommandError
from lab.network.layout import lay_out
from lab.network.plan import Link, Namespace, Plan, Ruleset, Setting
from lab.network.record import read_plan, write_plan
from lab.world.model import World

T = TypeVar("T")


class Fabric:
    """The network of one lab, in the mount namespace of its caller (`ip netns` names are there).

    What has been built is recorded in `runtime`, so that any process of the lab can go on from it.
    """

    def __init__(self, runtime: Path) -> None:
        self._record = runtime / "network.json"
        self._lock = runtime / "network.lock"

    def apply(self, world: World, faults: Faults = SOUND) -> None:
        """Make the network that `world` describes, with `faults`, out of the one that is there.

        Parts that stay the same are not touched and connections through them go on.

        Raises:
            NetworkError: the network cannot be built; the former one has been put back.
        """
        self._converge(lay_out(world, faults))

    def close(self) -> None:
        """Remove the whole network.

        Raises:
            NetworkError: a part could not be removed; the network has been put back.
        """
        self._converge(Plan())

    def _converge(self, wanted: Plan) -> None:
        with self._locked():
            current = read_plan(self._record)
            with ExitStack() as undo:
                _change(current, wanted, undo)
                write_plan(wanted, self._record)
                undo.pop_all()
            leaving = _missing(_names(current), _names(wanted))
            tools.ip([f"netns del {name}" for name in leaving])

    @contextmanager
    def _locked(self) -> Generator[None]:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        with self._lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _change(current: Plan, wanted: Plan, undo: ExitStack) -> None:
    """Go from `current` to `wanted`; each step leaves its way back in `undo`.

    Filters come before the links that they guard, so nothing passes unfiltered meanwhile.
    """
    stale = _missing(current.settings, wanted.settings)
    _run([_remove_setting(setting) for setting in reversed(stale)], undo)
    _run([_remove_link(link) for link in _missing(current.links, wanted.links)], undo)
    known = _names(current)
    _add_namespaces([item for item in wanted.namespaces if item.name not in known], undo)
    _tune(current.namespaces, wanted.namespaces, undo)
    _load(_missing(wanted.rulesets, current.rulesets), current.rulesets, undo)
    _run([_add_link(link) for link in _missing(wanted.links, current.links)], undo)
    _run([_add_setting(setting) for setting in _missing(wanted.settings, current.settings)], undo)


@dataclass(frozen=True, kw_only=True)
class _Step:
    """An `ip` command and the one that undoes it, each in its namespace (None: the lab's own)."""

    namespace: str | None
    command: str
    undo_namespace: str | None
    undo_command: str


def _add_setting(setting: Setting) -> _Step:
    return _Step(
        namespace=setting.namespace,
        command=setting.add,
        undo_namespace=setting.namespace,
        undo_command=setting.remove,
    )


def _add_link(link: Link) -> _Step:
    return _Step(
        namespace=None,
        command=link.add,
        undo_namespace=link.near.namespace,
        undo_command=link.remove,
    )


def _remove_setting(setting: Setting) -> _Step:
    return _reverse(_add_setting(setting))


def _remove_link(link: Link) -> _Step:
    return _reverse(_add_link(link))


def _reverse(step: _Step) -> _Step:
    return _Step(
        namespace=step.undo_namespace,
        command=step.undo_command,
        undo_namespace=step.namespace,
        undo_command=step.command,
    )


def _run(steps: Sequence[_Step], undo: ExitStack) -> None:
    """Take the steps, namespace by namespace, in their order within each."""
    by_namespace: dict[str | None, list[_Step]] = {}
    for step in steps:
        by_namespace.setdefault(step.namespace, []).append(step)
    for namespace, batch in by_namespace.items():
        done = len(batch)
        try:
            tools.ip([step.command for step in batch], namespace)
        except CommandError as error:
            done = error.done
            raise
        finally:
            for step in batch[:done]:
                undo.callback(tools.ip, [step.undo_command], step.undo_namespace)


def _add_namespaces(namespaces: Sequence[Namespace], undo: ExitStack) -> None:
    steps = [
        _Step(
            namespace=None,
            command=f"netns add {namespace.name}",
            undo_namespace=None,
            undo_command=f"netns del {namespace.name}",
        )
        for namespace in namespaces
    ]
    _run(steps, undo)
    for namespace in namespaces:
        tools.ip(["link set lo up"], namespace.name)
        if namespace.sysctls:
            tools.sysctl(namespace.sysctls, namespace.name)


def _tune(current: Sequence[Namespace], wanted: Sequence[Namespace], undo: ExitStack) -> None:
    """Give the namespaces that stay the kernel settings that they do not have yet."""
    former = {namespace.name: namespace.sysctls for namespace in current}
    for namespace in wanted:
        old = former.get(namespace.name, namespace.sysctls)
        if old != namespace.sysctls:
            tools.sysctl(namespace.sysctls, namespace.name)
            undo.callback(tools.sysctl, old, namespace.name)


def _names(plan: Plan) -> list[str]:
    return [namespace.name for namespace in plan.namespaces]


def _load(rulesets: Sequence[Ruleset], current: Sequence[Ruleset], undo: ExitStack) -> None:
    former = {ruleset.namespace: ruleset.text for ruleset in current}
    for ruleset in rulesets:
        tools.nft(ruleset.text, ruleset.namespace)
        if ruleset.namespace in former:
            undo.callback(tools.nft, former[ruleset.namespace], ruleset.namespace)


def _missing(items: Sequence[T], others: Collection[T]) -> list[T]:
    """The items that are not among the others, in their order."""
    known = set(others)
    return [item for item in items if item not in known]
