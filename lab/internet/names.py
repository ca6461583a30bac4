"""The names of the lab's Internet: which zones are served, and signed by which keys."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3

from lab.internet.dns import Lines, public_zones, served
from lab.internet.dnssec import Sign, ZoneKey, open_key, remote_key, root_key, sign_zone
from lab.internet.knot import Knot
from lab.internet.plan import MAIL_HOSTS
from lab.internet.route53 import REGION as ROUTE53_REGION
from lab.internet.zonefile import ZoneError, absolute
from lab.world.dns import read_zone
from lab.world.model import World, Zone

_KMS_ALGORITHM = "ECDSA_SHA_256"
"""Route 53's keys are ECC_NIST_P256 ("Working with customer managed keys for DNSSEC", Route 53
Developer Guide)."""

log = logging.getLogger("names")


class Names:
    """Serves zones by `knot`; keys are kept in the folder `keys`. For any number of threads.

    `emulator` is the URL of the AWS API: of KMS, which signs for hosted zones, and of Route 53.
    """

    def __init__(self, knot: Knot, *, keys: Path, emulator: str, mirrors: Sequence[str]) -> None:
        self._knot, self._keys, self._mirrors = knot, keys, tuple(mirrors)
        # Any credentials do: the emulator asks for none of its own.
        self._session = boto3.Session(aws_access_key_id="lab", aws_secret_access_key="lab")
        self._emulator = emulator
        self._route53: Any = self._session.client(
            "route53", endpoint_url=emulator, region_name=ROUTE53_REGION
        )
        self._lock = threading.Lock()
        self._world: World | None = None
        self._outside: Mapping[str, Lines] = {}
        self._registered = True
        self._changed: set[str] = set()
        self._signed: dict[str, tuple[str, tuple[ZoneKey, ...], str]] = {}

    @property
    def root_key(self) -> ZoneKey:
        """The root's key, which machines trust in place of the real one's."""
        return root_key(self._keys)

    def apply(
        self, world: World, outside: Mapping[str, Lines] | None = None, *, registered: bool = True
    ) -> bool:
        """Serves the zones of `world`; says whether that changed anything.

        `outside` holds more master file lines of the outside hosts' domains, by domain; without it
        they stay what they were. Unless `registered`, nobody finds the hosted zones. A zone that
        has changed by `refresh` is read again, since the world may have been read before.

        Raises:
            ZoneError, NameServerError: what was served before stays.
        """
        with self._lock:
            if outside is not None:
                self._outside = outside
            self._registered = registered
            zones = (
                self._read(zone.id) if zone.id in self._changed else zone for zone in world.zones
            )
            return self._serve(replace(world, zones=tuple(zones)))

    def refresh(self, zone: str) -> None:
        """Serves what Route 53 holds now of one hosted zone; one that is not served is left alone.

        Raises:
            ZoneError, NameServerError: what was served before stays.
        """
        with self._lock:
            self._changed.add(zone)
            if self._world is None or zone not in {known.id for known in self._world.zones}:
                return
            zones = (self._read(zone) if known.id == zone else known for known in self._world.zones)
            self._serve(replace(self._world, zones=tuple(zones)))

    def _read(self, zone: str) -> Zone:
        return read_zone(self._route53, zone)

    def _serve(self, world: World) -> bool:
        keys, entries = self._keys_of(world)
        found = served(
            world,
            self._mirrors,
            entries=entries,
            outside=self._outside,
            registered=self._registered,
        )
        for zone in found.undelegated:
            log.warning("public zone %s is not served: its parent has no NS record for it", zone)
        texts = {
            name: self._signed_text(name, text, keys[name]) if name in keys else text
            for name, text in found.zones.items()
        }
        changed = self._knot.apply(texts)
        self._world = world
        return changed

    def _signed_text(self, name: str, text: str, keys: tuple[ZoneKey, ...]) -> str:
        """Signed anew only if there is something new, since each signature is another one."""
        known = self._signed.get(name)
        if known is None or known[:2] != (text, keys):
            self._signed[name] = text, keys, sign_zone(name, text, keys)
        return self._signed[name][2]

    def _keys_of(self, world: World) -> tuple[dict[str, tuple[ZoneKey, ...]], dict[str, Lines]]:
        """The keys of each signed zone, and the DS records' values for its parent."""
        keys = {".": (self.root_key,)}
        entries: dict[str, Lines] = {}
        for host in MAIL_HOSTS:
            if host.domain and host.signed:
                name = absolute(host.domain)
                key = open_key(self._keys, name, entry=True)
                keys[name], entries[name] = (key,), (key.ds(name),)
        for name, zone in public_zones(world).items():
            if zone.signed:
                keys[name] = self._hosted_keys(zone)
                entries[name] = tuple(key.ds for key in zone.keys)
        return keys, entries

    def _hosted_keys(self, zone: Zone) -> tuple[ZoneKey, ...]:
        name = absolute(zone.name)
        if not zone.keys:
            raise ZoneError(f"zone {name} ({zone.id}) is signed, but has no active signing key")
        entries = (remote_key(key.dnskey, self._kms(key.kms_key)) for key in zone.keys)
        return (*entries, open_key(self._keys, name, entry=False))

    def _kms(self, arn: str) -> Sign:
        region = arn.split(":")[3]
        kms: Any = self._session.client("kms", endpoint_url=self._emulator, region_name=region)

        def sign(message: bytes) -> bytes:
            answer = kms.sign(KeyId=arn, Message=message, SigningAlgorithm=_KMS_ALGORITHM)
            return answer["Signature"]

        return sign
