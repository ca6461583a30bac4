"""Every correction to moto, in one table: what is replaced, where, and by which function.

A correction is called as `correction(moto, self, …)`, where `moto` is the original method. What
AWS does is stated, with its source, in the module of each concern.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.emulator import (
    acls,
    addresses,
    connect,
    deletes,
    dns,
    dnssec,
    groups,
    iam,
    images,
    instances,
    interfaces,
    networks,
    quotas,
    storage,
    tags,
    transit,
    volumes,
    vpn,
)

Correction = tuple[type, str, Callable[..., Any]]

CORRECTIONS: tuple[Correction, ...] = (
    *acls.CORRECTIONS,
    *connect.CORRECTIONS,
    *deletes.CORRECTIONS,
    *dns.CORRECTIONS,
    *dnssec.CORRECTIONS,
    *groups.CORRECTIONS,
    *iam.CORRECTIONS,
    *instances.CORRECTIONS,
    *interfaces.CORRECTIONS,
    *networks.CORRECTIONS,
    *quotas.CORRECTIONS,
    *storage.CORRECTIONS,
    *tags.CORRECTIONS,
    *transit.CORRECTIONS,
    *volumes.CORRECTIONS,
    *vpn.CORRECTIONS,
)


def install(
    known_images: tuple[tuple[str, str], ...], images_file: Path | None, faults_file: Path | None
) -> None:
    """Apply all corrections; only `known_images` (id, architecture) and the file's can launch.

    `faults_file` tells what the lab breaks on purpose (`lab.faults`).
    """
    made = (*images.corrections(known_images, images_file), *addresses.corrections(faults_file))
    for owner, name, correction in (*CORRECTIONS, *made):
        _replace(owner, name, correction)
    connect.register_prefix()
    dnssec.register_paths()


def _replace(owner: type, name: str, correction: Callable[..., Any]) -> None:
    original = getattr(owner, name, None)

    if isinstance(original, property):
        assert original.fget is not None
        getter = original.fget
        setattr(owner, name, property(lambda self: correction(getter, self)))
        return

    @functools.wraps(correction)
    def method(self: Any, *arguments: Any, **named: Any) -> Any:
        return correction(original, self, *arguments, **named)

    method.__name__ = name
    setattr(owner, name, method)
