"""What a machine is told at birth: one cloud-config document per host, rendered and packed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

from model.certificates import Certificates
from model.fields import SettingsError
from model.mail import Postfix
from userdata import forwarding, inside, outbound, outside, software
from userdata.files import entry, machine, packed, templates
from userdata.software import PROGRAMS, UNITS

LIMIT = 16_384
"""Bytes of user data that EC2 takes, before its own base64 (EC2 user guide, "User data")."""

STATE = inside.STATE
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
    "postfix-lmdb",
    "python3-boto3",
    "unattended-upgrades",
)

LINEAGES = "/etc/letsencrypt"
MOUNTS = {"queue": "/var/spool/postfix", "mail": MAILBOXES, "certificates": LINEAGES}
"""Where each data volume is mounted, by its purpose."""


PRIVATE = r"(127|10|192\.168|172\.(1[6-9]|2[0-9]|3[01])|169\.254)\.[0-9.]+"
"""Addresses that mean nothing outside, as a POSIX expression of two groups: loopback, private and
link-local ones (RFC 1122 section 3.2.1.3, RFC 1918, RFC 3927)."""


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


def main_cf(postfix: Postfix) -> str:
    """The main.cf of one host."""
    return text(
        f"{postfix.role}.cf.j2",
        postfix=postfix,
        tables=TABLES,
        mailboxes=MAILBOXES,
        mailbox_uid=MAILBOX_UID,
        chain_files=outside.chain_files(postfix),
        tls_policy=outside.TLS_POLICY,
        smarthost=outbound.SMARTHOST,
        **forwarding.values(postfix),
        **inside.values(),
    )


def text(template: str, **known: Any) -> str:
    """A template of userdata/templates with its values."""
    return templates().get_template(template).render(**known)


def postfix_files(postfix: Postfix) -> dict[str, str]:
    """All that lies in /etc/postfix of one host beside what its package brings, by file name."""
    if postfix.role == "relay":
        master, tables = "master-relay.cf.j2", ["bounces", "helos", "senders"]
    else:
        master, tables = "master-inside.cf.j2", ["bounces", "written"]
    if postfix.exit:
        tables.append("leaving")
    tables += forwarding.tables(postfix)
    files = {"master.cf": master}
    files |= {f"{name}.regexp": f"{name}.regexp.j2" for name in tables}
    told = {"postfix": postfix, "private": PRIVATE}
    told |= inside.values() | forwarding.values(postfix)
    rendered = {name: templates().get_template(file).render(told) for name, file in files.items()}
    return {"main.cf": main_cf(postfix), **rendered}


def cloud_config(
    postfix: Postfix,
    directory: Directory,
    volumes: Mapping[str, str],
    certificates: Certificates | None = None,
    login: str = "",
) -> str:
    """The cloud-config document of one host; the order of its steps is the order of cloud-init.

    `volumes` are the ids of its data volumes by purpose, as in MOUNTS; `certificates` are those
    that it has to obtain, `login` the parameter of its login at a smarthost.

    Files are written before packages are installed, but Postfix's after (`defer`), so that the
    package's own installation cannot touch them; what all hosts of a role share is fetched then,
    too (`userdata.software`). Until the first tables are in force Postfix does not start: an
    unknown address is never refused because the directory has not come yet.
    """
    document = {
        "fqdn": postfix.host,
        "hostname": postfix.host.partition(".")[0],
        "prefer_fqdn_over_hostname": True,
        "manage_etc_hosts": True,
        "package_update": True,
        "packages": [
            *PACKAGES,
            *outside.packages(postfix),
            *outbound.packages(postfix),
            *forwarding.packages(postfix),
        ],
        "write_files": [
            entry(SETTINGS, json.dumps(asdict(directory) | inside.known(postfix), indent=1) + "\n"),
            entry(FETCHER, machine("gatepost_software.py"), mode="0755"),
            entry(f"{UNITS}/postfix.service.d/gatepost.conf", machine("postfix.conf")),
            *(_mailbox_files() if postfix.keeps_mail else ()),
            *_volume_files(volumes),
            *outside.files(postfix, certificates, bucket=directory.bucket, region=directory.region),
            *outbound.files(postfix, region=directory.region, login=login),
            *forwarding.files(postfix),
            *(
                entry(f"/etc/postfix/{name}", content, late=True)
                for name, content in postfix_files(postfix).items()
            ),
        ],
        "runcmd": [["sh", "-ec", "\n".join(_steps(postfix, directory, volumes))]],
    }
    return "#cloud-config\n" + yaml.safe_dump(document, sort_keys=False, width=1000)


def _mailbox_files() -> tuple[dict[str, Any], ...]:
    user, folder = mailbox_settings()
    return (entry(SYSUSERS, user), entry(TMPFILES, folder))


def mailbox_settings() -> tuple[str, str]:
    """The one system user that owns all mailboxes (sysusers.d(5)), their folder (tmpfiles.d(5))."""
    user = f'u {MAILBOX_USER} {MAILBOX_UID} "mailboxes" {MAILBOXES}\n'
    return user, f"d {MAILBOXES} 0750 {MAILBOX_USER} {MAILBOX_USER}\n"


def _volume_files(volumes: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    """What mounts the data volumes, and has Postfix wait for them.

    Without its queue or mailboxes Postfix must not start; without certificates it does.
    """
    units = {purpose: f"gatepost-volume@{purpose}.service" for purpose in volumes}
    every = " ".join(units.values())
    needed = " ".join(unit for purpose, unit in units.items() if purpose != "certificates")
    wait = f"[Unit]\nRequires={needed}\nWants={every}\nAfter={every}\n"
    return (
        *(
            entry(f"/etc/gatepost/volumes/{purpose}", f"VOLUME={volume}\nMOUNT={MOUNTS[purpose]}\n")
            for purpose, volume in volumes.items()
        ),
        entry(f"{UNITS}/postfix.service.d/volumes.conf", wait),
    )


def _steps(postfix: Postfix, directory: Directory, volumes: Mapping[str, str]) -> tuple[str, ...]:
    """What is done once, after all files and packages are there; the first failure ends it."""
    archive = software.archive(directory.role)
    key = archive.key(directory.owner)
    mailboxes = (f"systemd-sysusers {SYSUSERS}", f"systemd-tmpfiles --create {TMPFILES}")
    masked = " ".join(outside.masked(postfix))
    enabled = (
        *("postfix.service", "gatepost-directory.service", "nftables.service"),
        *("chrony.service", "unattended-upgrades.service"),
        *(f"gatepost-volume@{purpose}.service" for purpose in volumes),
        *outside.enabled(postfix),
        *outbound.enabled(postfix),
        *forwarding.enabled(postfix),
    )
    return (
        *(mailboxes if postfix.keeps_mail else ()),
        f"{FETCHER} {directory.bucket} {directory.region} {key} {archive.digest}",
        # In this order: a timer that still waits when systemd learns that it is masked has failed.
        *([f"systemctl stop {masked}", f"systemctl --no-reload mask {masked}"] if masked else ()),
        # systemd is told once, at the end: it reads all units anew each time, and for a unit with
        # a script of System V's beside it `enable` would have it do so three times.
        f"SYSTEMCTL_SKIP_SYSV=1 systemctl --no-reload enable {' '.join(enabled)}",
        "systemctl daemon-reload",
        *outside.steps(postfix),
        *outbound.steps(postfix),
        *forwarding.steps(postfix),
        "systemctl restart nftables.service systemd-journald.service chrony.service"
        " systemd-sysctl.service",
        "systemctl start --no-block gatepost-directory.service",
    )


def pack(document: str) -> str:
    """User data as EC2 takes it: gzip, then base64; raises SettingsError beyond EC2's limit."""
    found = packed(document.encode())
    if len(found) > LIMIT:
        raise SettingsError(
            [f"user data: must be at most {LIMIT} bytes when packed, got {len(found)}"]
        )
    return base64.b64encode(found).decode()
