"""The machine images that may be launched: Debian's, by the ids the stack files name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.amis import Ami

DEBIAN_ACCOUNT = "136693071363"
"""The owner of Debian's official images (https://wiki.debian.org/Cloud/AmazonEC2Image)."""


def loader(known: tuple[tuple[str, str], ...]) -> Callable[[Any, Any], None]:
    """The correction that loads `known`, pairs of id and architecture, in place of moto's own."""

    def load(_moto: Any, self: Any) -> None:
        for identifier, architecture in known:
            self.amis[identifier] = _image(self, identifier, architecture)

    return load


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
    if identifier not in backend.amis:
        known = ", ".join(sorted(backend.amis)) or "none"
        raise EC2ClientError(
            "InvalidAMIID.NotFound",
            f"The image id '[{identifier}]' does not exist (known images: {known})",
        )
    return backend.amis[identifier].architecture
