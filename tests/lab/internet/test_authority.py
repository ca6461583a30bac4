"""The lab's certificate authority, as TLS clients see it."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from lab.internet.authority import Authority, open_authority, write_private
from lab.internet.server import tls_context

STRICT = ssl.VERIFY_X509_STRICT
"""What Python >= 3.13 verifies by (ssl.create_default_context)."""


def handshake(authority: Authority, chain: bytes, name: str, folder: Path) -> str | None:
    """The TLS version agreed with a server that has `chain` by a client that wants `name`."""
    file = folder / "chain.pem"
    write_private(file, chain)
    ours, theirs = socket.socketpair()
    client = ssl.create_default_context(cadata=authority.pem.decode())
    client.verify_flags |= STRICT

    def serve() -> None:
        try:
            tls_context(file).wrap_socket(theirs, server_side=True).close()
        except (ssl.SSLError, ConnectionError):
            theirs.close()  # the client says why

    server = threading.Thread(target=serve)
    server.start()
    try:
        with client.wrap_socket(ours, server_hostname=name) as connection:
            return connection.version()
    finally:
        ours.close()
        server.join()
        theirs.close()


def test_a_strict_client_trusts_what_it_issued(tmp_path: Path) -> None:
    authority = open_authority(tmp_path / "ca")
    chain = authority.issue(["mx.example.net", "*.s3.test"])
    assert handshake(authority, chain, "mx.example.net", tmp_path) == "TLSv1.3"
    assert handshake(authority, chain, "bucket.s3.test", tmp_path) == "TLSv1.3"


def test_another_name_or_authority_is_not_trusted(tmp_path: Path) -> None:
    authority = open_authority(tmp_path / "ca")
    stranger = open_authority(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(authority, authority.issue(["mx.example.net"]), "mx.example.com", tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, stranger.issue(["mx.example.net"]), "mx.example.net", tmp_path)


def test_it_is_kept_and_its_key_is_private(tmp_path: Path) -> None:
    first = open_authority(tmp_path / "ca")
    again = open_authority(tmp_path / "ca")
    assert again.pem == first.pem
    assert handshake(first, again.issue(["a.test"]), "a.test", tmp_path) == "TLSv1.3"
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600


def test_half_an_authority_is_told(tmp_path: Path) -> None:
    open_authority(tmp_path / "ca")
    (tmp_path / "ca" / "ca.pem").unlink()
    with pytest.raises(ValueError, match=r"ca\.pem is missing; remove"):
        open_authority(tmp_path / "ca")


def test_a_certificate_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one DNS name"):
        open_authority(tmp_path / "ca").issue([])


def test_an_old_file_becomes_private(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("old")
    (tmp_path / "key").chmod(0o644)
    write_private(tmp_path / "key", b"new")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key").read_bytes() == b"new"
