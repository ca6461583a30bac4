"""This host's own key, and what the directory tells others of it.

A key is made where it is used and never leaves the machine; a new machine has a new one. What is
published is its fingerprint, which lets others verify and lets nobody pretend.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

from .objects import VERSION

DAYS = "36500"
"""Validity of the certificate. Nobody looks: a fingerprint stands for the key alone (TLS_README,
"Certificate fingerprint verification"), and the machine is replaced long before."""


def ensure(file: Path) -> str:
    """Make the key and its self-signed certificate unless they are there; the key's fingerprint.

    The certificate's name tells nothing. Raises CalledProcessError where openssl fails.
    """
    if not file.exists():
        key = _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
        named = ("req", "-x509", "-key", "/dev/stdin", "-subj", "/CN=gatepost", "-days", DAYS)
        certificate = _openssl(*named, stdin=key)
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
            written.write(key + certificate)
            # Or a crash could leave an empty file under the name.
            written.flush()
            os.fsync(written.fileno())
        new.replace(file)
    return fingerprint(file)


def fingerprint(file: Path) -> str:
    """SHA-256 of the public key (DER, SubjectPublicKeyInfo), as Postfix writes it."""
    public = _openssl("pkey", "-in", str(file), "-pubout", "-outform", "DER")
    return hashlib.sha256(public).digest().hex(":").upper()


def published(owner: str, host: str, fingerprint: str) -> bytes:
    """The object by which others learn of a host's key."""
    content = {"version": VERSION, "owner": owner, "host": host, "fingerprint": fingerprint}
    return (json.dumps(content, indent=1) + "\n").encode()


def _openssl(*argv: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *argv], input=stdin, capture_output=True, check=True)
    return done.stdout
