"""The lab's certificate authority: one per lab, trusted by its machines and by nobody else."""

from __future__ import annotations

import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_LIFETIME = datetime.timedelta(days=3650)
SERVER_LIFETIME = datetime.timedelta(days=90)
"""A public authority's usual lifetime; certificates are made anew whenever a lab starts."""
CLOCK_SKEW = datetime.timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Authority:
    """An authority with its key; `open_authority` makes or loads it."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, names: Sequence[str]) -> bytes:
        """A new key and certificate for a server with these DNS names, as one PEM text: key first,
        which is what Postfix's smtpd_tls_chain_files and Python's ssl module take.

        Raises:
            ValueError: no name given.
        """
        if not names:
            raise ValueError("a server certificate needs at least one DNS name")
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_name(names[0]))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + SERVER_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .add_extension(issuer_key, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return _key_pem(key) + certificate.public_bytes(serialization.Encoding.PEM) + self.pem

    def vouch(self, root: x509.Certificate) -> x509.Certificate:
        """A certificate for another authority's root, of one intermediate at most below it."""
        now = datetime.datetime.now(datetime.UTC)
        identifier = root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(root.subject)
            .issuer_name(self.certificate.subject)
            .public_key(root.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
            .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(self.key, hashes.SHA256())
        )


def open_authority(folder: Path) -> Authority:
    """The authority kept in `folder` (`ca.pem`, and `ca.key` with mode 0600); made if absent.

    Raises:
        ValueError: one of the two files is missing or unreadable as PEM.
    """
    key_file, certificate_file = folder / "ca.key", folder / "ca.pem"
    if not key_file.exists() and not certificate_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        authority = _new_authority()
        write_private(key_file, _key_pem(authority.key))
        certificate_file.write_bytes(authority.pem)
        return authority
    for file in (key_file, certificate_file):
        if not file.exists():
            raise ValueError(f"{file} is missing; remove {folder} to have a new authority made")
    key = serialization.load_pem_private_key(key_file.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{key_file} holds no elliptic curve key; remove {folder}")
    certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
    return Authority(key=key, certificate=certificate)


def write_private(path: Path, content: bytes) -> None:
    """Writes a file that was never readable for others, mode 0600."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)


def _new_authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    name = _name("Lab certificate authority")
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + CA_LIFETIME)
        # Two more authorities may lie between it and a server: see `vouch`.
        .add_extension(x509.BasicConstraints(ca=True, path_length=2), critical=True)
        # Python >= 3.13 verifies strictly (VERIFY_X509_STRICT) and wants keyUsage in an authority.
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(key=key, certificate=certificate)


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
