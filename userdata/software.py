"""The software of a host: what is the same on every host of a role, as one archive.

EC2 takes 16 KB of user data. So user data holds only what differs between hosts, and the name and
hash of this archive, which the host fetches from the directory's bucket at its first boot. As the
hash is part of user data, a changed archive replaces the machine as changed user data does.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from model.directory import SOFTWARE
from userdata.files import packed

HERE = Path(__file__).parent / "machine"

PROGRAMS = "/usr/local/sbin"
SYNCHRONISER = f"{PROGRAMS}/gatepost-directory"
MOUNTER = f"{PROGRAMS}/gatepost-volume"
LIBRARY = "/usr/local/lib/gatepost"
"""Where Python packages lie."""
UNITS = "/etc/systemd/system"

EVERYWHERE = {
    SYNCHRONISER: "gatepost-directory",
    **{
        f"{LIBRARY}/gatepost_directory/{part.name}": f"gatepost_directory/{part.name}"
        for part in (HERE / "gatepost_directory").glob("*.py")
    },
    MOUNTER: "gatepost-volume",
    f"{UNITS}/gatepost-directory.service": "gatepost-directory.service",
    f"{UNITS}/gatepost-volume@.service": "gatepost-volume@.service",
    "/etc/nftables.conf": "nftables.conf",
    "/etc/apt/apt.conf.d/52gatepost": "apt.conf",
    "/etc/chrony/sources.d/amazon.sources": "amazon.sources",
    "/etc/systemd/journald.conf.d/gatepost.conf": "journald.conf",
    "/etc/sysctl.d/60-gatepost.conf": "sysctl.conf",
    f"{PROGRAMS}/gatepost_alarms.py": "gatepost_alarms.py",
}
"""Path on the machine and file in userdata/machine of what every host has."""

MAIL_EXIT = {
    "/etc/gatepost/resolv.conf": "resolv.conf",
    "/etc/unbound/unbound.conf.d/gatepost.conf": "unbound.conf",
    f"{UNITS}/unbound.service.d/gatepost.conf": "unbound-service.conf",
    f"{PROGRAMS}/gatepost-tls-policy": "gatepost_tls_policy.py",
    f"{UNITS}/gatepost-tls-policy.service": "gatepost-tls-policy.service",
    f"{PROGRAMS}/gatepost-port25": "gatepost_port25.py",
    f"{UNITS}/gatepost-port25.service": "gatepost-port25.service",
    f"{UNITS}/gatepost-port25.timer": "gatepost-port25.timer",
}
"""The same of what a host needs to send to the Internet by itself; in use where it does."""

FACE = {
    "/etc/postfix/strangers.regexp": "strangers.regexp",
    f"{PROGRAMS}/gatepost-certificates": "gatepost_certificates.py",
    f"{UNITS}/gatepost-certificates.service": "gatepost-certificates.service",
    f"{UNITS}/gatepost-certificates.timer": "gatepost-certificates.timer",
    f"{UNITS}/postfix.service.d/certificates.conf": "postfix-certificates.conf",
    f"{PROGRAMS}/gatepost-mta-sts": "gatepost_mta_sts.py",
    f"{UNITS}/gatepost-mta-sts.service": "gatepost-mta-sts.service",
    f"{UNITS}/nginx.service.d/gatepost.conf": "nginx-service.conf",
}
"""The same of what strangers meet at a relay."""

SECRETS = {
    f"{PROGRAMS}/gatepost-secrets": "gatepost_secrets.py",
    f"{UNITS}/gatepost-secrets.service": "gatepost-secrets.service",
    f"{UNITS}/gatepost-secrets.timer": "gatepost-secrets.timer",
}
"""The same of what a host needs to log in at a smarthost; in use where it does."""

FORWARDING = {
    f"{PROGRAMS}/gatepost-srs-secret": "gatepost-srs-secret",
    f"{UNITS}/postsrsd.service.d/gatepost.conf": "postsrsd-service.conf",
}
"""The same of what a host needs to forward mail outside; in use where it does."""

ROLES: dict[str, dict[str, str]] = {
    "relay": {**MAIL_EXIT, **FACE},
    "hub": {**MAIL_EXIT, **SECRETS, **FORWARDING},
    "branch": {},
}
"""The same of what only the hosts of one role have."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A gzipped tar file and its SHA-256, in hexadecimal."""

    role: str
    content: bytes

    @property
    def digest(self) -> str:
        """What the host compares before it unpacks."""
        return hashlib.sha256(self.content).hexdigest()

    def key(self, owner: str) -> str:
        """Where the archive of `owner`, the environment or a branch, lies in the bucket."""
        return f"{SOFTWARE}{owner}/{self.role}-{self.digest[:16]}.tar.gz"


def archive(role: str) -> Archive:
    """The software of a role: `relay`, `hub` or `branch`. Equal files give equal bytes."""
    tape = io.BytesIO()
    with tarfile.open(fileobj=tape, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, name in sorted({**EVERYWHERE, **ROLES[role]}.items()):
            content = (HERE / name).read_bytes()
            member = tarfile.TarInfo(path.lstrip("/"))
            member.size = len(content)
            # What programs import lies beside them, where Python looks first.
            program = path.startswith(f"{PROGRAMS}/") and not path.endswith(".py")
            member.mode = 0o755 if program else 0o644
            tar.addfile(member, io.BytesIO(content))
    return Archive(role=role, content=packed(tape.getvalue()))
