"""What a machine is told at birth: one cloud-config document per host, rendered and packed."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model.fields import SettingsError
from model.mail import Postfix
from userdata import software
from userdata.software import PROGRAMS, UNITS

HERE = Path(__file__).parent

LIMIT = 16_384
"""Bytes of user data that EC2 takes, before its own base64 (EC2 user guide, "User data")."""

STATE = "/var/lib/gatepost"
TABLES = f"{STATE}/tables"
MAILBOXES = "/var/mail/vhosts"
MAILBOX_USER = "vmail"
MAILBOX_UID = 5000
"""A fixed number, because virtual_uid_maps takes no name; above Debian's dynamic system users."""

SETTINGS = "/etc/gatepost/directory.json"
FETCHER = f"{PROGRAMS}/gatepost-software"
SYSUSERS = "/etc/sysusers.d/gatepost.conf"
TMPFILES = "/etc/tmpfiles.d/gatepost.conf"

PACKAGES = (
    "chrony",
    "nftables",
    "postfix",
    "postfix-cdb",
    "python3-boto3",
    "unattended-upgrades",
)

MOUNTS = {"queue": "/var/spool/postfix", "mail": MAILBOXES}
"""Where each data volume is mounted, by its purpose."""


@dataclass(frozen=True, kw_only=True)
class Directory:
    """Where a host finds the directory, and what it may believe of it."""

    role: str
    bucket: str
    region: str
    owner: str
    domains: tuple[str, ...]
    branches: str
    hub: str
    legacy: Mapping[str, str] = field(default_factory=dict)
    """Addresses of legacy servers, by name."""
    seconds: float = 3
    """Between two looks; an S3 LIST costs 0.005 USD a thousand, so 4 USD a month and host."""


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def main_cf(postfix: Postfix) -> str:
    """The main.cf of one host."""
    return text(
        f"{postfix.role}.cf.j2",
        postfix=postfix,
        tables=TABLES,
        mailboxes=MAILBOXES,
        mailbox_uid=MAILBOX_UID,
    )


def text(template: str, **known: Any) -> str:
    """A template of userdata/templates with its values."""
    return _templates().get_template(template).render(**known)


def cloud_config(postfix: Postfix, directory: Directory, volumes: Mapping[str, str]) -> str:
    """The cloud-config document of one host; the order of its steps is the order of cloud-init.

    `volumes` are the ids of its data volumes by purpose, as in MOUNTS.

    Files are written before packages are installed, but main.cf after (`defer`), so that the
    package's own installation cannot touch it; what all hosts of a role share is fetched then, too
    (`userdata.software`). Until the first tables are in force Postfix does
    not start: an unknown address is never refused because the directory has not come yet.
    """
    document = {
        "fqdn": postfix.host,
        "hostname": postfix.host.partition(".")[0],
        "prefer_fqdn_over_hostname": True,
        "manage_etc_hosts": True,
        "package_update": True,
        "packages": list(PACKAGES),
        "write_files": [
            _file(SETTINGS, json.dumps(asdict(directory), indent=1) + "\n"),
            _file(FETCHER, _machine("gatepost_software.py"), mode="0755"),
            _file(f"{UNITS}/postfix.service.d/gatepost.conf", _machine("postfix.conf")),
            *(_mailbox_files() if postfix.keeps_mail else ()),
            *_volume_files(volumes),
            {**_file("/etc/postfix/main.cf", main_cf(postfix)), "defer": True},
        ],
        "runcmd": [["sh", "-ec", "\n".join(_steps(postfix, directory, volumes))]],
    }
    return "#cloud-config\n" + yaml.safe_dump(document, sort_keys=False, width=1000)


def _mailbox_files() -> tuple[dict[str, Any], ...]:
    user, folder = mailbox_settings()
    return (_file(SYSUSERS, user), _file(TMPFILES, folder))


def mailbox_settings() -> tuple[str, str]:
    """The one system user that owns all mailboxes (sysusers.d(5)), their folder (tmpfiles.d(5))."""
    user = f'u {MAILBOX_USER} {MAILBOX_UID} "mailboxes" {MAILBOXES}\n'
    return user, f"d {MAILBOXES} 0750 {MAILBOX_USER} {MAILBOX_USER}\n"


def _volume_files(volumes: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    """What mounts the data volumes, and has Postfix wait for them."""
    units = [f"gatepost-volume@{purpose}.service" for purpose in volumes]
    wait = f"[Unit]\nRequires={' '.join(units)}\nAfter={' '.join(units)}\n"
    return (
        *(
            _file(f"/etc/gatepost/volumes/{purpose}", f"VOLUME={volume}\nMOUNT={MOUNTS[purpose]}\n")
            for purpose, volume in volumes.items()
        ),
        _file(f"{UNITS}/postfix.service.d/volumes.conf", wait),
    )


def _steps(postfix: Postfix, directory: Directory, volumes: Mapping[str, str]) -> tuple[str, ...]:
    """What is done once, after all files and packages are there; the first failure ends it."""
    # systemd-resolved's file is its own user's; Postfix warns of that in its chroot's copy.
    resolver = (
        "if [ -L /etc/resolv.conf ]; then "
        'cp --remove-destination "$(readlink -f /etc/resolv.conf)" /etc/resolv.conf; fi'
    )
    archive = software.archive(directory.role)
    key = archive.key(directory.owner)
    mailboxes = (f"systemd-sysusers {SYSUSERS}", f"systemd-tmpfiles --create {TMPFILES}")
    units = ["postfix.service", "gatepost-directory.service", "nftables.service"]
    units += ["chrony.service", "unattended-upgrades.service"]
    units += [f"gatepost-volume@{purpose}.service" for purpose in volumes]
    return (
        *(mailboxes if postfix.keeps_mail else ()),
        resolver,
        f"{FETCHER} {directory.bucket} {directory.region} {key} {archive.digest}",
        # Of two tables that change together a message may meet one old and one new: it waits.
        "postconf -P virtual/unix/soft_bounce=yes",
        "systemctl daemon-reload",
        f"systemctl enable {' '.join(units)}",
        "systemctl restart nftables.service systemd-journald.service chrony.service",
        "systemctl start --no-block gatepost-directory.service",
    )


def pack(document: str) -> str:
    """User data as EC2 takes it: gzip, then base64; raises SettingsError beyond EC2's limit.

    The time stamp within is fixed, so that equal documents give equal bytes.
    """
    packed = gzip.compress(document.encode(), compresslevel=9, mtime=0)
    if len(packed) > LIMIT:
        raise SettingsError(
            [f"user data: must be at most {LIMIT} bytes when packed, got {len(packed)}"]
        )
    return base64.b64encode(packed).decode()


def _machine(name: str) -> str:
    return (HERE / "machine" / name).read_text()


def _file(path: str, content: str, mode: str = "0644") -> dict[str, Any]:
    return {"path": path, "content": content, "permissions": mode}
