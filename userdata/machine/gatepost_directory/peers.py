"""The hosts of our own that this one talks to: how each proves who it is.

Each host publishes the fingerprint of its key, and only its own role may write that object
(docs/decisions/identity.md). What is not known here is not trusted: Postfix's default for a host
of our own is a fingerprint that no key has, so mail waits.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import identity
from .objects import ENVIRONMENT, VERSION, Config, Part, Refused, decode, show
from .store import Store
from .tables import Tables, servers

KEYS = "keys/"
LARGEST_KEY = 1024
"""Bytes of an object with a fingerprint; one takes some 200."""
FIELDS = {"version", "owner", "host", "fingerprint"}
FINGERPRINT = re.compile(r"([0-9A-F]{2}:){31}[0-9A-F]{2}")
HURRY = 120.0
"""Seconds for which a host is looked for more often than usual: one that boots has its key soon."""
ALARM_AFTER = 180.0
"""Seconds after which a key that does not come is an alarm."""


@dataclass(frozen=True)
class Peer:
    """A host of our own, and the next hops at which Postfix finds it (transport(5))."""

    owner: str
    host: str
    nexthops: tuple[str, ...]


def key_of(owner: str, host: str) -> str:
    """Where a host's fingerprint lies in the bucket."""
    return f"{KEYS}{owner}/{host.partition('.')[0]}.json"


def expected(parts: Mapping[str, Part], config: Config) -> dict[str, Peer]:
    """Whose keys this host has to know, by the object's key: the environment's hosts first.

    Those are told by user data; a hub learns of relays and branches by the directory.
    """
    found = {
        key_of(ENVIRONMENT, host): Peer(ENVIRONMENT, host, tuple(nexthops))
        for host, nexthops in (config.peers | _relays(parts, config)).items()
    }
    if config.role == "hub":
        for part in servers(parts, config):
            if part["owner"] != ENVIRONMENT:
                peer = Peer(part["owner"], part["host"], (f"[{part['address']}]",))
                found[key_of(peer.owner, peer.host)] = peer
    return found


def _relays(parts: Mapping[str, Part], config: Config) -> dict[str, list[str]]:
    """The relays that a hub has, each with the next hop at which it takes mail for the Internet."""
    listed = [relay for part in parts.values() for relay in part.get("relays", [])]
    return {
        relay["host"]: [f"[{relay['address']}]:{config.relay_port}"] if config.relay_port else []
        for relay in listed
    }


def outward(peers: Mapping[str, Peer], keys: Mapping[str, Part]) -> Tables:
    """The next hops of what leaves by the relays, in order: one whose key has not come is last.

    The SMTP client takes the first that answers (postconf(5), relayhost).
    """
    ways = {key: peer.nexthops for key, peer in peers.items() if peer.owner == ENVIRONMENT}
    ordered = sorted(ways, key=lambda key: key not in keys)
    nexthops = ", ".join(nexthop for key in ordered for nexthop in ways[key])
    return {"outward": {"relays": nexthops}} if nexthops else {}


def parse(body: bytes, peer: Peer) -> Part:
    """Check what is said to be a peer's key; returns its content or raises Refused."""
    if len(body) > LARGEST_KEY:
        raise Refused(f"must be at most {LARGEST_KEY} bytes, got more")
    data = decode(body)
    if not isinstance(data, dict) or set(data) != FIELDS:
        raise Refused(f"must have exactly {', '.join(sorted(FIELDS))}")
    if type(data["version"]) is not int or data["version"] != VERSION:
        raise Refused(f"must be of version {VERSION}, got {show(data['version'])}")
    for name, wanted in (("owner", peer.owner), ("host", peer.host)):
        if data[name] != wanted:
            raise Refused(f"{name}: must be {wanted}, got {show(data[name])}")
    said = data["fingerprint"]
    if not isinstance(said, str) or not FINGERPRINT.fullmatch(said):
        raise Refused(f"fingerprint: must be a SHA-256 in capitals with colons, got {show(said)}")
    return data


def derive(
    peers: Mapping[str, Peer], keys: Mapping[str, Part], config: Config
) -> tuple[Tables, list[str]]:
    """The tables by which Postfix tells its own, and a sentence for each key that two claim.

    `tls_policy` has the next hops, `peers` the fingerprints; on a hub `branch_certs` those that
    may send to anywhere. A key belongs to the first who has it: nobody gets another's rights by
    publishing another's fingerprint.
    """
    policy: dict[str, str] = {}
    known: dict[str, str] = {}
    branches: dict[str, str] = {}
    conflicts = []
    owners: dict[str, str] = {}
    for key, peer in peers.items():
        if key not in keys:
            continue
        said = keys[key]["fingerprint"]
        if said in owners:
            conflicts.append(f"{key}: its key belongs to {owners[said]}")
            continue
        owners[said] = key
        known[said] = "OK"
        policy |= dict.fromkeys(peer.nexthops, f"fingerprint match={said}")
        if peer.owner != ENVIRONMENT:
            branches[said] = peer.owner
    tables = {"tls_policy": policy, "peers": known}
    if config.relay_port:
        tables |= outward(peers, keys)
    return tables | ({"branch_certs": branches} if config.role == "hub" else {}), conflicts


class Peers:
    """Keeps what this host knows of its peers' keys; `look` brings it up to date once."""

    def __init__(self, config: Config, store: Store, s3: Any, keys: dict[str, Part]) -> None:
        self.config = config
        self.store = store
        self.s3 = s3
        self.keys = keys
        """The last good object of each peer."""
        self.own = ""
        """This host's fingerprint, once the directory has it."""
        self._tags: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._conflicts: set[str] = set()
        self._since: dict[str, float] = {}
        """When each trouble that may pass by itself began."""

    def look(self, parts: Mapping[str, Part]) -> bool:
        """Publish this host's key, learn of others' and put that in force; whether it changed."""
        peers = expected(parts, self.config)
        troubles = set()
        try:
            self._publish()
            self._fetch(peers)
        except (BotoCoreError, ClientError) as error:
            troubles.add(f"the keys cannot be read: {error}")
        for key in set(self.keys) - set(peers):
            del self.keys[key]
            self._tags.pop(key, None)  # who comes back is asked anew
            self.store.keep(key, None)
        troubles |= {
            f"no key of {peer.host} ({key}): mail from and to it waits"
            for key, peer in peers.items()
            if key not in self.keys
        }
        now = time.monotonic()
        self._since = {trouble: self._since.get(trouble, now) for trouble in troubles}
        self._refused = {key: why for key, why in self._refused.items() if key in peers}
        return self._apply(peers)

    @property
    def complaints(self) -> set[str]:
        """What is wrong, and has been for longer than a boot takes."""
        now = time.monotonic()
        found = {f"refused {show(key)}: {reason}" for key, reason in self._refused.items()}
        late = {what for what, since in self._since.items() if now - since > ALARM_AFTER}
        return found | late | self._conflicts

    @property
    def hurries(self) -> bool:
        """Whether a peer's key should come any moment."""
        now = time.monotonic()
        return any(now - since < HURRY for since in self._since.values())

    def _publish(self) -> None:
        if self.own:
            return
        own = identity.ensure(self.store.identity)
        config = self.config
        self.s3.put_object(
            Bucket=config.bucket,
            Key=key_of(config.owner, config.host),
            Body=identity.published(config.owner, config.host, own),
            ContentType="application/json",
        )
        self.own = own
        print(f"published the key {own}", flush=True)

    def _fetch(self, peers: Mapping[str, Peer]) -> None:
        """A hub lists the keys, as branches are many; others ask for the few that they may read."""
        if self.config.role != "hub":
            for key, peer in peers.items():
                self._ask(key, peer)
            return
        pages = self.s3.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.config.bucket, Prefix=KEYS):
            for item in page.get("Contents", []):
                key = item["Key"]
                if key in peers and item["ETag"] != self._tags.get(key):
                    self._ask(key, peers[key])

    def _ask(self, key: str, peer: Peer) -> None:
        """Fetch one key if it has changed, and take it or refuse it."""
        known = {"IfNoneMatch": self._tags[key]} if key in self._tags else {}
        try:
            answer = self.s3.get_object(Bucket=self.config.bucket, Key=key, **known)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            # Who may not list a bucket hears 403 of what is not there (S3 API, GetObject).
            if code in ("NoSuchKey", "404", "AccessDenied", "403"):
                self._tags.pop(key, None)
            elif code not in ("304", "NotModified"):
                raise
            return
        self._tags[key] = answer["ETag"]
        try:
            self.keys[key] = parse(answer["Body"].read(LARGEST_KEY + 1), peer)
        except Refused as reason:
            self._refused[key] = str(reason)
            return
        self._refused.pop(key, None)
        self.store.keep(key, self.keys[key])

    def _apply(self, peers: Mapping[str, Peer]) -> bool:
        tables, conflicts = derive(peers, self.keys, self.config)
        self._conflicts = {f"conflict: {conflict}" for conflict in conflicts}
        try:
            changed = self.store.install(tables)
        except Refused as reason:
            self._conflicts.add(f"not in force: {reason}")
            print(reason, file=sys.stderr, flush=True)
            return False
        if changed:
            said = ", ".join(f"{name} ({len(tables[name])})" for name in changed)
            print(f"in force: {said}", flush=True)
        return bool(changed)
