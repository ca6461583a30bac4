"""One host's view of the directory, brought up to date a look at a time."""

from __future__ import annotations

import sys
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from .objects import ENVIRONMENT, LARGEST_OBJECT, Config, Part, Refused, check_key, parse, show
from .pairs import Pairs
from .peers import KEYS, Peers
from .store import Reports, Store
from .tables import Tables, derive, places, stale_table
from .waiting import SETTLED, Waiting

AWAY = (BotoCoreError, ClientError)
"""S3 does not answer, or answers with an error."""
STALE_AFTER = 30.0
"""Seconds without an answer after which a relay takes its tables for out of date."""
ALARM_AFTER = 180.0
"""Seconds without an answer after which that is an alarm: S3 is allowed a moment."""
MOST_CONFLICTS = 20
"""Conflicts that are said one by one: one branch could claim every address there is."""


EAGER = 0.5
"""Seconds between two looks while a peer's key is due: its first mail should not wait."""


class Synchroniser:
    """Keeps the tables of one host; `look` brings them up to date once."""

    def __init__(self, config: Config, store: Store, reports: Reports, s3: Any) -> None:
        self.config = config
        self.store = store
        self.reports = reports
        self.s3 = s3
        kept, wrong = store.load()
        self.peers = Peers(config, store, s3, {k: kept.pop(k) for k in [*kept] if _is_key(k)})
        self.pairs = Pairs(config, s3)
        self.waiting = Waiting(config)
        self.parts = kept
        self.places = self._places()
        """Whose each server's address and name is by what is in force; on a hub only."""
        self._rivals: set[str] = set()
        """Objects that are refused because another has their place."""
        self.tags: dict[str, str] = {}
        """The entity tag of each object as it was last looked at, taken or refused."""
        self.taken: dict[str, str] = {}
        """The same of what is in force."""
        self.refused: dict[str, str] = {}
        self.derived: set[str] = {f"refused {name}: {reason}" for name, reason in wrong.items()}
        self.missing = False
        self.applied = False
        """Whether the tables are what the objects say; a fetch that breaks off leaves it so."""
        self.answered = time.monotonic()
        self._answered_at = 0.0
        """The same in Unix time, once it has."""
        self._conflicts = 0
        self._renewals = [time.monotonic() + SETTLED]
        """When smtpd(8) is to ask anew for ways that have changed; at first, as a former process
        may have been about to."""
        self.said: set[str] = set()

    def look(self) -> bool:
        """Take what changed and put it in force; True once there is something to serve.

        Where S3 does not answer, the last good state stays, and the relay is told that it may be
        out of date; that is said at once, and an alarm after some minutes. Raises
        NoCredentialsError where only a new process will have any.
        """
        self._renew()
        try:
            self._fetch_changes()
        except NoCredentialsError as error:
            # The metadata service was late when the client was made, which asks no second time; if
            # it is not, somebody has to know.
            self._say(self._complaints() | {f"the host's role gives no credentials: {error}"})
            raise
        except AWAY as error:
            self._say(self._complaints(), f"the directory does not answer: {error}")
            if self._silence() > STALE_AFTER:
                self.set_stale(True)
            return self.store.ready.exists()
        self.answered, self._answered_at = time.monotonic(), time.time()
        if self.peers.look(self.parts):
            self.waiting.again()
        if self.applied:
            self.set_stale(self._blind())
        else:
            self.applied = self._apply()
            if not self.applied:
                self._doubt()
        self.pairs.look({*self.tags, *self.refused})
        self.waiting.look()
        self._say(self._complaints())
        return self.store.ready.exists()

    def _renew(self) -> None:
        now = time.monotonic()
        if any(at <= now for at in self._renewals):
            self._renewals = [at for at in self._renewals if at > now]
            self.store.renew()

    @property
    def pause(self) -> float:
        """Seconds until the next look."""
        return EAGER if self.peers.hurries else self.config.seconds

    def set_stale(self, stale: bool) -> None:
        """Have a relay say 450 instead of 550 to addresses that it does not know."""
        self.store.install(self._stale(stale))

    def _doubt(self) -> None:
        """Have a relay whose new tables do not come in force say so, if that much can be built."""
        try:
            self.set_stale(True)
        except Refused as reason:
            self.derived.add(f"not in force: {reason}")

    def _stale(self, stale: bool) -> Tables:
        if self.config.role != "relay":
            return {}
        return {"stale": stale_table(self.config.domains, stale=stale)}

    def _blind(self) -> bool:
        """Whether some owner's people are not known here at all: refused, or not to be fetched, and
        no last good state. A name that is no owner's stands for nobody. Of the environment's a last
        good state does not suffice: a relay whose turn has not come knows no new domain, and who
        has joined an old one is in the same object."""
        unknown = set(self.refused) - (set(self.parts) - {self.config.required})
        return any(_is_owners(key) for key in unknown)

    def _silence(self) -> float:
        """Seconds since S3 has answered."""
        return time.monotonic() - self.answered

    def _complaints(self) -> set[str]:
        found = {f"refused {show(key)}: {reason}" for key, reason in self.refused.items()}
        if self.missing:
            key = self.config.required
            kept = "the last good one stays in force" if key in self.parts else "nothing to serve"
            found.add(f"missing {key}: {kept}")
        others = self.peers.complaints | self.pairs.complaints | self.waiting.complaints
        return found | self.derived | others

    def _fetch_changes(self) -> None:
        """Fetch what is new, and let go of what is gone."""
        if not self.config.prefix:
            self._fetch_own()
            return
        seen = self._list()
        self.missing = self.config.required not in seen
        for key, (tag, size) in seen.items():
            if self._wanted(key, tag, size):
                self._take(key)
        for key in self._gone(set(seen)):
            self._forget(key)

    def _list(self) -> dict[str, tuple[str, int]]:
        """Entity tag and size of every object under this host's prefix, by key."""
        pages = self.s3.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.config.bucket, Prefix=self.config.prefix)
        return {
            item["Key"]: (item["ETag"], item["Size"])
            for page in found
            for item in page.get("Contents", [])
        }

    def _wanted(self, key: str, tag: str, size: int) -> bool:
        """Whether an object has to be fetched; what is refused by name or size is not."""
        if self.tags.get(key) == tag:
            return False
        try:
            check_key(key)
            if size > LARGEST_OBJECT:
                raise Refused(f"must be at most {LARGEST_OBJECT} bytes, got {size}")
        except Refused as reason:
            self.tags[key] = tag
            self.refused[key] = str(reason)
            return False
        return True

    def _take(self, key: str) -> None:
        """Fetch one object, and take it or refuse it; a failure to fetch is tried again."""
        try:
            answer = self.s3.get_object(Bucket=self.config.bucket, Key=key)
        except ClientError as error:
            self.refused[key] = f"cannot be fetched: {error}"
            return
        self._judge(key, answer)

    def _judge(self, key: str, answer: dict[str, Any]) -> None:
        """Take a fetched object, or refuse it and leave its last good state in force."""
        body = answer["Body"].read(LARGEST_OBJECT + 1)
        self.tags[key] = answer["ETag"]
        try:
            part = parse(key, body, self.config)
            self._check_places(key, part)
        except Refused as reason:
            self.refused[key] = str(reason)
            return
        self.refused.pop(key, None)
        self.taken[key] = answer["ETag"]
        self.parts[key] = part
        self.applied = False
        self.store.keep(key, part)

    def _places(self) -> dict[str, str]:
        return places(self.parts, self.config) if self.config.role == "hub" else {}

    def _check_places(self, key: str, part: Part) -> None:
        """Refuse a branch's server with another's address or name: who has it in force keeps it.

        Nobody's mail goes elsewhere because a branch is called by an earlier name.
        """
        if self.config.role != "hub" or part["owner"] == ENVIRONMENT:
            return
        for place in (part["address"], part["host"]):
            holder = self.places.get(place, part["owner"])
            if holder != part["owner"]:
                self._rivals.add(key)
                raise Refused(f"must have a server of its own, {place} belongs to {holder}")

    def _settle_places(self) -> None:
        """Note who has which server now; who was refused for one that has changed hands is heard
        again at the next look."""
        now = self._places()
        if now != self.places:
            self.places = now
            for key in self._rivals:
                self.tags.pop(key, None)
            self._rivals.clear()

    def _fetch_own(self) -> None:
        """A branch's server may read one object only, and asks for that by its entity tag."""
        key = self.config.required
        known = {"IfNoneMatch": self.tags[key]} if key in self.tags else {}
        try:
            answer = self.s3.get_object(Bucket=self.config.bucket, Key=key, **known)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("304", "NotModified"):
                return
            if code not in ("NoSuchKey", "404"):
                raise
            self.tags.pop(key, None)
            self.missing = True
            return
        self.missing = False
        self._judge(key, answer)

    def _gone(self, seen: set[str]) -> set[str]:
        return (set(self.parts) | set(self.tags) | set(self.refused)) - seen

    def _forget(self, key: str) -> None:
        """Let go of an object that is gone, unless nothing works without it."""
        for known in (self.tags, self.refused):
            known.pop(key, None)
        if key == self.config.required or key not in self.parts:
            return
        del self.parts[key]
        print(f"gone: {key}", flush=True)
        self.applied = False
        self.taken.pop(key, None)
        self.store.keep(key, None)

    def _apply(self) -> bool:
        """Derive the tables and put them in force; whether that went well."""
        if self.config.required not in self.parts:
            return False
        tables, conflicts = derive(self.parts, self.config)
        tables |= self._stale(self._blind())
        self._conflicts = len(conflicts)
        self.derived = {f"conflict: {conflict}" for conflict in conflicts[:MOST_CONFLICTS]}
        if rest := conflicts[MOST_CONFLICTS:]:
            self.derived.add(f"conflict: {len(rest)} more")
        try:
            changed = self.store.install(tables)
        except Refused as reason:
            self.derived.add(f"not in force: {reason}")
            return False
        self._settle_places()
        self.store.ready.touch()
        self.reports.in_force(self.taken, time.time())
        if changed:
            said = ", ".join(f"{name} ({len(tables[name])})" for name in changed)
            print(f"in force: {said}", flush=True)
            self.waiting.settle()
        if "transport" in changed:
            self._renewals.append(time.monotonic() + SETTLED)
        return True

    def _say(self, complaints: set[str], away: str = "") -> None:
        """Say what is wrong when it begins, and when it ends; show it as long as it lasts."""
        alarms = complaints | ({away} if away and self._silence() > ALARM_AFTER else set())
        complaints = complaints | ({away} if away else set())
        for complaint in sorted(complaints - self.said):
            print(complaint, file=sys.stderr, flush=True)
        for complaint in sorted(self.said - complaints):
            print(f"mended: {complaint}", flush=True)
        self.said = complaints
        self.reports.alarms(alarms)
        self._measure()

    def _measure(self) -> None:
        ready = self.store.ready
        self.reports.measured(
            {
                "objects": len(self.parts),
                "refused": len(self.refused),
                "conflicts": self._conflicts,
                "answered_timestamp_seconds": int(self._answered_at),
                "applied_timestamp_seconds": int(ready.stat().st_mtime) if ready.exists() else 0,
            }
        )


def _is_key(key: str) -> bool:
    return key.startswith(KEYS)


def _is_owners(key: str) -> bool:
    try:
        check_key(key)
    except Refused:
        return False
    return True
