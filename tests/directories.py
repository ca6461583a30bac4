"""Directories for tests: the program's own objects, and a bucket that serves them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

from model import directory
from model.forwarding import SRS, Forwarding
from model.people import People, read_people
from userdata.machine.gatepost_directory.objects import Config, Part, parse
from userdata.machine.gatepost_directory.peers import KEYS
from userdata.machine.gatepost_directory.store import Reports, Store
from userdata.machine.gatepost_directory.waiting import Waiting
from userdata.machine.gatepost_directory.watch import Synchroniser

DOMAINS = ("example.jp", "example.co.jp")
HUB_ADDRESS = "10.1.11.5"
HUB = Config(
    role="hub",
    bucket="b",
    region="us-east-1",
    owner="environment",
    domains=list(DOMAINS),
    branches="192.168.0.0/16",
    hub=HUB_ADDRESS,
    seconds=1,
    host="ms.example.jp",
    network="10.1.0.0/16",
    relay_port=10025,
    hands_over=True,
    legacy={"old": "203.0.113.9"},
)
FORWARDING_HUB = replace(HUB, forwarding=True)
PEER = {"ms.example.jp": [f"[{HUB_ADDRESS}]"]}
RELAY = replace(
    HUB, role="relay", host="dmz-ms.example.jp", peers=PEER, hands_over=False, relay_port=0
)
BRANCH = replace(
    HUB, role="branch", owner="branches/osaka", host="ms2.example.jp", peers=PEER, relay_port=0
)
RELAYS = {"dmz-ms.example.jp": IPv4Address("10.1.1.4")}
HOME_KEY, OSAKA_KEY = "people/environment.json", "people/branches/osaka.json"
SERVERS = {
    "environment": ("ms.example.jp", HUB_ADDRESS),
    "branches/osaka": ("ms2.example.jp", "192.168.10.5"),
    "branches/nagoya": ("ms3.example.jp", "192.168.20.5"),
    "branches/tokyo": ("ms4.example.jp", "192.168.30.5"),
}
ROLES = {f"{role}@{d}": ["taro@example.jp"] for d in DOMAINS for role in ("postmaster", "abuse")}


def people(owner: str, **file: Any) -> People:
    """The people of a file; the environment's has what it must have."""
    branch = owner != "environment"
    if not branch:
        file.setdefault("users", ["taro@example.jp"])
        file["aliases"] = ROLES | file.get("aliases", {})
    found, problems = read_people(
        file,
        DOMAINS,
        path="p",
        branch=branch,
        legacy=tuple(HUB.legacy),
        forwarding=Forwarding(mode=SRS),
    )
    assert found is not None, problems
    return found


def texts(owner: str, **file: Any) -> dict[str, str]:
    """The objects of an owner by key, as the program writes them."""
    host, address = SERVERS[owner]
    relays = RELAYS if owner == "environment" else None
    made = directory.objects(
        owner, people(owner, **file), host=host, address=address, relays=relays
    )
    return {item.key: item.text for item in made}


def parts(config: Config, *objects: dict[str, str]) -> dict[str, Part]:
    """What a host of a role makes of some owners' objects."""
    prefix = config.prefix or config.required
    return {
        key: parse(key, text.encode(), config)
        for each in objects
        for key, text in each.items()
        if key.startswith(prefix)
    }


def altered(text: str, **changes: Any) -> bytes:
    """An object with some of its fields changed."""
    return json.dumps(json.loads(text) | changes).encode()


class Bucket:
    """An S3 client over a dictionary, which counts what is fetched and can be away."""

    def __init__(self, *objects: dict[str, str]) -> None:
        self.objects: dict[str, bytes] = {}
        for each in objects:
            self.put(each)
        self.fetched: list[str] = []
        self.keys_fetched: list[str] = []
        self.unreadable: set[str] = set()
        self.breaking: set[str] = set()
        """Objects at which the connection breaks off."""
        self.away = False
        self.asked = 0
        """Calls, with an answer or without."""

    def put(self, objects: dict[str, str]) -> None:
        """Write objects as Pulumi does."""
        self.objects |= {key: text.encode() for key, text in objects.items()}

    def get_paginator(self, name: str) -> Bucket:
        assert name == "list_objects_v2"
        return self

    def paginate(self, Bucket: str, Prefix: str) -> Iterator[dict[str, Any]]:
        self._answer()
        for key in sorted(self.objects):
            if key.startswith(Prefix):
                body = self.objects[key]
                yield {"Contents": [{"Key": key, "ETag": _tag(body), "Size": len(body)}]}

    def get_object(self, Bucket: str, Key: str, IfNoneMatch: str = "") -> dict[str, Any]:
        self._answer()
        if Key in self.breaking:
            raise EndpointConnectionError(endpoint_url="https://b.s3.amazonaws.com")
        if Key in self.unreadable:
            raise _error("AccessDenied")
        if Key not in self.objects:
            raise _error("NoSuchKey")
        body = self.objects[Key]
        if IfNoneMatch == _tag(body):
            raise _error("304")
        (self.keys_fetched if Key.startswith(KEYS) else self.fetched).append(Key)
        return {"Body": io.BytesIO(body), "ETag": _tag(body)}

    def put_object(self, Bucket: str, Key: str, Body: bytes, ContentType: str) -> None:
        self._answer()
        self.objects[Key] = Body

    def _answer(self) -> None:
        self.asked += 1
        if self.away:
            raise EndpointConnectionError(endpoint_url="https://b.s3.amazonaws.com")


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": code}}, "GetObject")


class Tables(Store):
    """A store that keeps what would be built, without Postfix."""

    def _build(self, name: str, prefix: str, table: dict[str, str]) -> None:
        file = self.tables / f"{prefix}-{name}"
        file.write_text("".join(f"{key} {value}\n" for key, value in sorted(table.items())))
        Path(f"{file}.cdb").write_text("cdb")


class NoQueue(Waiting):
    """A host without Postfix; counts how often its mail would be tried again."""

    tried = 0
    settled = 0

    def look(self) -> None:
        pass

    def again(self) -> None:
        self.tried += 1

    def settle(self) -> None:
        self.settled += 1


def published(owner: str, host: str, *, of: str = "") -> dict[str, str]:
    """What a host has published of its key; a fingerprint made of its name, or of another's."""
    fingerprint = hashlib.sha256((of or host).encode()).digest().hex(":").upper()
    made = directory.identity_object(owner, host, fingerprint)
    return {made.key: made.text}


KEYS_OF_ALL = {
    key: text
    for owner, host in (
        ("environment", "dmz-ms.example.jp"),
        *((owner, host) for owner, (host, _) in SERVERS.items()),
    )
    for key, text in published(owner, host).items()
}


def follow(
    folder: Path, bucket: Bucket, config: Config, keys: dict[str, str] = KEYS_OF_ALL
) -> Synchroniser:
    """A synchroniser of a role that keeps its files below `folder`; others have their `keys`."""
    reports = Reports(folder / "run")
    bucket.put(keys)
    made = Synchroniser(config, Tables(folder / "state"), reports, bucket)
    made.waiting = NoQueue(config)
    return made


def tables(folder: Path) -> dict[str, str]:
    """The tables in force, by name."""
    found = (folder / "state" / "tables").iterdir()
    return {f.name: f.read_text() for f in found if "-" not in f.name and f.suffix != ".cdb"}


def alarms(folder: Path) -> list[str]:
    """What is shown to be wrong."""
    file = folder / "run" / "alarms" / "directory"
    return file.read_text().splitlines() if file.exists() else []
