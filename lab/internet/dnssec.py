"""Signs zones (DNSSEC, RFC 4033 to 4035) with ECDSA P-256 (RFC 6605), as Route 53 does.

The lab's Internet has a root key of its own, as it has a certificate authority of its own. A hosted
zone is signed as Route 53 signs it: the zone's keys by the key in KMS that the account chose (the
key-signing key), everything else by a key of the service's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dns.dnssec
import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype
import dns.rrset
import dns.transaction
import dns.zone
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from dns.dnssecalgs.base import GenericPrivateKey
from dns.dnssecalgs.ecdsa import PrivateECDSAP256SHA256, PublicECDSAP256SHA256
from dns.rdtypes.ANY.DNSKEY import DNSKEY
from dns.rdtypes.dnskeybase import Flag

from lab.internet.authority import write_private
from lab.internet.zonefile import ZoneError

KEY_TTL = 3600
"""Seconds; that of the DNSKEY records of a zone that Route 53 signs."""
NEGATIVE_TTL = 1
"""Seconds a proof of absence (NSEC) may be kept. Route 53's proofs cover one name at a time; these
cover a stretch of the zone, of which a resolver may conclude more (RFC 8198): a record made a
moment ago must not stay unknown for that."""
LIFETIME = 30 * 24 * 3600
"""Seconds for which signatures are valid: longer than any lab is up."""
SKEW = 3600
"""Seconds by which signatures begin before they are made."""

_OCTETS = PublicECDSAP256SHA256.octets

Sign = Callable[[bytes], bytes]
"""Signs a message with ECDSA on P-256 and SHA-256; the signature is in DER, as KMS gives it."""


@dataclass(frozen=True, kw_only=True)
class ZoneKey:
    """A key of a zone: what signs, and the DNSKEY record that tells its public half."""

    private: GenericPrivateKey = field(compare=False)
    dnskey: DNSKEY

    def ds(self, zone: str) -> str:
        """The DS record's value with which the parent of `zone` vouches for this key."""
        return dns.dnssec.make_ds(zone, self.dnskey, "SHA256").to_text()


def open_key(folder: Path, zone: str, *, entry: bool) -> ZoneKey:
    """The zone's key kept in `folder` (mode 0600); made if absent.

    `entry` marks it as one that parents and trust anchors name (the SEP flag, RFC 4034 2.1.1).

    Raises:
        ValueError: the file holds no such key.
    """
    file = folder / f"{zone.strip('.').replace('/', '_') or 'root'}.{'ksk' if entry else 'zsk'}.pem"
    if file.exists():
        private: GenericPrivateKey = PrivateECDSAP256SHA256.from_pem(file.read_bytes())
    else:
        folder.mkdir(parents=True, exist_ok=True)
        private = PrivateECDSAP256SHA256.generate()
        write_private(file, private.to_pem())
    flags = Flag.ZONE | (Flag.SEP if entry else 0)
    return ZoneKey(private=private, dnskey=private.public_key().to_dnskey(flags=flags))


def root_key(folder: Path) -> ZoneKey:
    """The root's key kept in `folder`, which machines trust in place of the real one's."""
    return open_key(folder, ".", entry=True)


def remote_key(dnskey: str, sign: Sign) -> ZoneKey:
    """A key whose private half is elsewhere: `dnskey` is its record's value, `sign` asks it.

    Raises:
        ZoneError: the value is no DNSKEY of ECDSA P-256.
    """
    try:
        record = dns.rdata.from_text("IN", "DNSKEY", dnskey)
    except dns.exception.DNSException as error:
        raise ZoneError(f"DNSKEY {dnskey!r}: {error}") from error
    assert isinstance(record, DNSKEY)
    if record.algorithm != PublicECDSAP256SHA256.algorithm:
        raise ZoneError(f"DNSKEY {dnskey!r}: algorithm {record.algorithm}, not ECDSA P-256 (13)")
    return ZoneKey(private=_Remote(sign), dnskey=record)


def sign_zone(zone: str, text: str, keys: Sequence[ZoneKey]) -> str:
    """The master file `text` of `zone` with keys, signatures and proofs of absence.

    Keys with the SEP flag sign the keys, the others everything else; where there is no other, one
    key signs everything.

    Raises:
        ZoneError: the text is no valid zone.
    """
    try:
        loaded = dns.zone.from_text(text, origin=zone, relativize=False)
        now = int(time.time())
        with loaded.writer() as transaction:
            for key in keys:
                transaction.add(dns.name.from_text(zone), KEY_TTL, key.dnskey)
            dns.dnssec.sign_zone(
                loaded,
                transaction,
                rrset_signer=_signer(zone, keys, now - SKEW, now + LIFETIME),
                add_dnskey=False,
            )
    except (dns.exception.DNSException, ValueError) as error:
        raise ZoneError(f"zone {zone}: {error}") from error
    return loaded.to_text(relativize=False, want_origin=True)


def trust_anchor(key: ZoneKey) -> str:
    """The root's key as Debian's dns-root-data has it in `root.key`."""
    return f". IN DNSKEY {key.dnskey.to_text(chunksize=0)}\n"


def trust_anchor_ds(key: ZoneKey) -> str:
    """The same as Debian's dns-root-data has it in `root.ds`."""
    return f". IN DS {key.ds('.')}\n"


class _Remote(PrivateECDSAP256SHA256):
    """A private key that is asked for signatures and never seen."""

    def __init__(self, sign: Sign) -> None:
        self._sign = sign

    def sign(self, data: bytes, verify: bool = False, deterministic: bool = True) -> bytes:
        parts = decode_dss_signature(self._sign(data))
        return b"".join(part.to_bytes(_OCTETS, "big") for part in parts)  # RFC 6605 section 4


def _signer(
    zone: str, keys: Sequence[ZoneKey], inception: int, expiration: int
) -> Callable[[dns.transaction.Transaction, dns.rrset.RRset], None]:
    entries = [key for key in keys if key.dnskey.flags & Flag.SEP]
    others = [key for key in keys if key not in entries] or entries
    origin = dns.name.from_text(zone)

    def sign(transaction: dns.transaction.Transaction, records: dns.rrset.RRset) -> None:
        if records.rdtype == dns.rdatatype.NSEC:
            records.ttl = NEGATIVE_TTL
            transaction.replace(records)
        for key in entries if records.rdtype == dns.rdatatype.DNSKEY else others:
            signature = dns.dnssec.sign(
                records, key.private, origin, key.dnskey, inception, expiration
            )
            transaction.add(records.name, records.ttl, signature)

    return sign
