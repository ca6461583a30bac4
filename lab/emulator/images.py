"""The machine images that may be launched: Debian's, by the ids the stack files name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami, AmiBackend

DEBIAN_ACCOUNT = "136693071363"
"""The owner of Debian's official images (https://wiki.debian.org/Cloud/AmazonEC2Image)."""


def corrections(
    known: tuple[tuple[str, str], ...], file: Path | None
) -> tuple[tuple[type, str, Callable[..., Any]], ...]:
    """The corrections that put `known`, pairs of id and architecture, in place of moto's images.

    `file` has more of them as a JSON object, and is read again at each look: stack files name new
    images while the emulator runs.
    """

    def load(_moto: Any, self: Any) -> None:
        more = json.loads(file.read_text()) if file and file.exists() else {}
        for identifier, architecture in (*known, *more.items()):
            if identifier not in self.amis:
                self.amis[identifier] = _image(self, identifier, architecture)

    def describe_images(moto: Any, self: Any, *args: Any, **named: Any) -> Any:
        load(None, self)
        return moto(self, *args, **named)

    return (
        (AmiBackend, "_load_amis", load),
        (AmiBackend, "describe_images", describe_images),
    )


def _image(backend: Any, identifier: str, architecture: str) -> Any:
    # As DescribeImages shows Debian's images: root device /dev/xvda, HVM, ENA.
    return Ami(
        backend,
        identifier,
        name=f"debian-13-{'arm64' if architecture == 'arm64' else 'amd64'}",
        description="Debian 13",
        owner_id=DEBIAN_ACCOUNT,
        public=True,
        virtualization_type="hvm",
        architecture=architecture,
        hypervisor="xen",
        root_device_type="ebs",
        root_device_name="/dev/xvda",
        region_name=f"{backend.region_name}a",
    )


def architecture_of(backend: Any, identifier: str) -> str:
    """The architecture of a known image. Raises AWS's error for an unknown one."""
    backend.describe_images()
    if identifier not in backend.amis:
        known = ", ".join(sorted(backend.amis)) or "none"
        raise EC2ClientError(
            "InvalidAMIID.NotFound",
            f"The image id '[{identifier}]' does not exist (known images: {known})",
        )
    return backend.amis[identifier].architecture
