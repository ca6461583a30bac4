"""An instance's user data: its limit, and the packages that it asks for."""

from __future__ import annotations

import gzip

import yaml

from lab.errors import LabError

LIMIT = 16 * 1024
"""Bytes before base64 ("Run commands when you launch an EC2 instance", EC2 User Guide)."""

GZIP_MAGIC = b"\x1f\x8b"
"""The first two octets of gzip data (RFC 1952 section 2.3.1)."""


class UserDataError(LabError):
    """User data that the lab cannot read."""


def packages(user_data: bytes) -> tuple[str, ...]:
    """The packages that a cloud-config document installs, sorted; none without one.

    Raises UserDataError if it says that it is cloud-config and is not YAML.
    """
    text = gzip.decompress(user_data) if user_data.startswith(GZIP_MAGIC) else user_data
    if not text.startswith(b"#cloud-config"):
        return ()
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserDataError(f"user data is no cloud-config: {error}") from None
    wanted = document.get("packages", []) if isinstance(document, dict) else []
    return tuple(sorted(str(name) for name in wanted))
