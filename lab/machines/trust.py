"""What a machine believes of the lab's Internet in place of the real one: its CA and its root key.

Everything else on a machine is as Debian has it: its software verifies certificates and signatures
as it would anywhere, and finds the root servers where they are.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BUNDLE = Path("etc/ssl/certs/ca-certificates.crt")
LOCAL = Path("usr/local/share/ca-certificates/lab.crt")
"""Where update-ca-certificates(8) looks for certificates of the machine's own."""
ROOT_KEY = Path("usr/share/dns/root.key")
ROOT_DS = Path("usr/share/dns/root.ds")
"""The root's key and its digest of package dns-root-data: Debian's unbound copies the first to
/var/lib/unbound/root.key before each start (/usr/libexec/unbound-helper)."""
DIVERSIONS = Path("var/lib/dpkg/diversions")
UNBOUND = Path("etc/unbound/unbound.conf.d/lab.conf")


@dataclass(frozen=True, kw_only=True)
class Trust:
    """`certificate` is the CA's file; the rest are texts.

    `root_key` is the root's DNSKEY record and `root_ds` its DS record, as lines of a master file.
    `reserved` are zones that unbound answers by itself since they are reserved, and that are
    ordinary ones here (unbound.conf(5), `local-zone`).
    """

    certificate: Path
    root_key: str
    root_ds: str
    reserved: Sequence[str] = ()


def install(trust: Trust, upper: Path, layers: Sequence[Path]) -> None:
    """Puts it onto a new disk, the overlay's folder `upper`, over the image `layers` (top first).

    Raises:
        FileNotFoundError: the image has no package ca-certificates or dpkg.
    """
    _add_authority(trust.certificate, upper, layers)
    _write(upper / ROOT_KEY, trust.root_key)
    _write(upper / ROOT_DS, trust.root_ds)
    # Otherwise the package, if it is installed later, would put the real ones in their place.
    diverted = "".join(f"/{path}\n/{path}.real\n:\n" for path in (ROOT_KEY, ROOT_DS))
    _write(upper / DIVERSIONS, _find(DIVERSIONS, layers).read_text() + diverted)
    served = "".join(f'    local-zone: "{zone}" nodefault\n' for zone in trust.reserved)
    _write(
        upper / UNBOUND,
        f"# The lab's addresses are from ranges for documentation.\nserver:\n{served}",
    )


def _add_authority(certificate: Path, upper: Path, layers: Sequence[Path]) -> None:
    """Does by hand what update-ca-certificates(8) would do for one more certificate."""
    _write(upper / BUNDLE, _find(BUNDLE, layers).read_text() + certificate.read_text())
    _write(upper / LOCAL, certificate.read_text())
    # OpenSSL looks a CA up in a directory by the hash of its name (openssl-rehash(1)).
    hashed = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash", "-in", str(certificate)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (upper / BUNDLE.parent / f"{hashed}.0").symlink_to("/" / LOCAL)


def _find(path: Path, layers: Sequence[Path]) -> Path:
    for layer in layers:
        if (layer / path).exists():
            return layer / path
    raise FileNotFoundError(f"/{path} is in none of {', '.join(map(str, layers))}")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
