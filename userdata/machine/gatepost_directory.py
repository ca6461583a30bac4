#!/usr/bin/python3
"""Keep this host's Postfix tables equal to the company's directory.

Runs on the mail hosts as a systemd service. The directory is a bucket whose objects have one owner
each: the environment, or one branch. Every few seconds this program asks what changed, checks each
changed object as a whole, derives the tables of the host's role, builds and tries them beside the
live ones, and renames them into place. An object that is wrong is refused by name in the journal,
and the last good one stays in force, on disk too: a host that boots without the directory works.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

VERSION = 1
LARGEST_OBJECT = 32 * 1024 * 1024
"""Bytes; 100,000 people with an alias each take some 10 MB."""
ENVIRONMENT = "environment"
LOCAL = re.compile(r"[a-z0-9]([a-z0-9._+-]{0,62}[a-z0-9])?")
HOST = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")

Tables = dict[str, dict[str, str]]


class Refused(Exception):
    """An object of the directory is not taken, and why."""


@dataclass(frozen=True)
class Config:
    """What user data tells this program: see userdata/render.py."""

    role: str
    bucket: str
    region: str
    owner: str
    """Whose users have their mailboxes on this host."""
    domains: list[str]
    branches: str
    hub: str
    seconds: float
    """Between two looks at the directory."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The keys that this host's role may read."""
        return {
            "relay": ("addresses/",),
            "hub": ("people/",),
            "branch": (f"people/{self.owner}.json",),
        }[self.role]

    @property
    def required(self) -> str:
        """The key without which there is nothing to serve."""
        kind = "addresses" if self.role == "relay" else "people"
        return f"{kind}/{self.owner}.json"


def parse(key: str, body: bytes, config: Config) -> dict[str, Any]:
    """Check one object as a whole; returns its content or raises Refused."""
    if len(body) > LARGEST_OBJECT:
        raise Refused(f"must be at most {LARGEST_OBJECT} bytes, got {len(body)}")
    try:
        data = json.loads(body)
    except ValueError as error:
        raise Refused(f"must be JSON ({error})") from None
    kind, _, rest = key.partition("/")
    owner = rest.removesuffix(".json")
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise Refused(f"must be an object of version {VERSION}")
    if data.get("owner") != owner:
        raise Refused(f"must be owned by {owner}, got {data.get('owner')!r}")
    if kind == "addresses":
        _addresses(data.get("addresses"), "addresses", config)
    else:
        _check_people(data, owner, config)
    return data


def _check_people(data: dict[str, Any], owner: str, config: Config) -> None:
    users = set(_addresses(data.get("users"), "users", config))
    aliases = data.get("aliases")
    if not isinstance(aliases, dict):
        raise Refused("aliases: must map addresses to lists of addresses")
    _addresses(list(aliases), "aliases", config)
    for name, members in aliases.items():
        strangers = set(_addresses(members, f"aliases.{name}", config)) - users
        if strangers or name in users or not members:
            raise Refused(f"aliases.{name}: must expand to users of the same owner")
    _addresses(data.get("open_aliases"), "open_aliases", config)
    if owner == ENVIRONMENT:
        return
    if not isinstance(data.get("host"), str) or not HOST.fullmatch(data["host"]):
        raise Refused(f"host: must be a host name, got {data.get('host')!r}")
    try:
        address = ipaddress.IPv4Address(data.get("address"))
    except ValueError:
        raise Refused(f"address: must be IPv4, got {data.get('address')!r}") from None
    if address not in ipaddress.IPv4Network(config.branches) or str(address) == config.hub:
        raise Refused(f"address: must be a branch's, within {config.branches}, got {address}")


def _addresses(raw: object, where: str, config: Config) -> list[str]:
    if not isinstance(raw, list):
        raise Refused(f"{where}: must be a list of addresses")
    for item in raw:
        local, _, domain = item.rpartition("@") if isinstance(item, str) else ("", "", "")
        if domain not in config.domains or not LOCAL.fullmatch(local) or ".." in local:
            raise Refused(f"{where}: must be an address in our mail domains, got {item!r}")
    return raw


def derive(parts: dict[str, dict[str, Any]], config: Config) -> tuple[Tables, list[str]]:
    """The tables of this host's role, and a sentence for each conflict between owners.

    `parts` maps keys to contents that `parse` has passed. An address belongs to the environment
    if it claims it, else to the first branch by name that does.
    """
    if config.role == "relay":
        known = {address: "OK" for part in parts.values() for address in part["addresses"]}
        return {"recipients": known}, []
    if config.role == "branch":
        mine = parts[config.required]
        return _home_tables(mine["users"]), []
    return _hub_tables(parts)


def _home_tables(users: list[str]) -> Tables:
    """Users whose mailbox is on this host."""
    return {
        "transport": dict.fromkeys(users, "virtual:"),
        "mailboxes": {user: _maildir(user) for user in users},
        "recipients": dict.fromkeys(users, "OK"),
    }


def _maildir(user: str) -> str:
    local, _, domain = user.rpartition("@")
    return f"{domain}/{local}/"


def _hub_tables(parts: dict[str, dict[str, Any]]) -> tuple[Tables, list[str]]:
    home = parts[f"people/{ENVIRONMENT}.json"]
    tables = _home_tables(home["users"])
    aliases = {name: list(members) for name, members in home["aliases"].items()}
    opened = set(home["open_aliases"])
    tables["clients"] = {}
    conflicts = []
    for key in sorted(set(parts) - {f"people/{ENVIRONMENT}.json"}):
        conflicts += [f"{key}: {what}" for what in _add_branch(tables, aliases, opened, parts[key])]
    tables["aliases"] = {name: ", ".join(members) for name, members in aliases.items()}
    return tables, conflicts


def _add_branch(
    tables: Tables, aliases: dict[str, list[str]], opened: set[str], branch: dict[str, Any]
) -> list[str]:
    """Add one branch to the hub's tables; what others own already is left out and returned."""
    server, taken = branch["address"], tables["recipients"]
    if server in tables["clients"]:
        return [f"{server} is the server of {tables['clients'][server]}"]
    tables["clients"][server] = branch["owner"]
    conflicts = []
    accepted = set()
    for user in branch["users"]:
        if user in taken or user in aliases:
            conflicts.append(f"{user} belongs to another owner")
            continue
        accepted.add(user)
        taken[user] = "OK"
        tables["transport"][user] = f"relay:[{server}]"
    for name, members in branch["aliases"].items():
        if name in taken or (name in aliases and name not in opened):
            conflicts.append(f"alias {name} belongs to another owner")
            continue
        joined = [member for member in members if member in accepted]
        if joined:
            aliases.setdefault(name, []).extend(joined)
    return conflicts


class Store:
    """The live tables of this host and the last good objects they came from, under `root`."""

    ORDER = ("mailboxes", "transport", "aliases", "clients", "recipients")
    """Who exists is said last: an address is accepted only once its way is known."""

    def __init__(self, root: Path) -> None:
        self.tables = root / "tables"
        self.parts = root / "parts"
        self.ready = root / "ready"
        for folder in (self.tables, self.parts):
            folder.mkdir(parents=True, exist_ok=True)

    def load(self, config: Config) -> dict[str, dict[str, Any]]:
        """The last good objects, by key."""
        names = {quote(prefix, safe="") for prefix in config.prefixes}
        found = {}
        for file in self.parts.iterdir():
            if any(file.name.startswith(name) for name in names):
                data = json.loads(file.read_bytes())
                found[data["key"]] = data["part"]
        return found

    def keep(self, key: str, part: dict[str, Any] | None) -> None:
        """Remember an object as good, or forget it."""
        file = self.parts / quote(key, safe="")
        if part is None:
            file.unlink(missing_ok=True)
            return
        _replace(file, json.dumps({"key": key, "part": part}))

    def install(self, tables: Tables) -> list[str]:
        """Put changed tables in force; returns their names. Raises Refused if one is wrong."""
        changed = []
        for name in self.ORDER:
            if name in tables and self._changed(name, tables[name]):
                self._build(name, tables[name])
                changed.append(name)
        for name in changed:
            new = self.tables / f"new-{name}"
            os.replace(f"{new}.cdb", self.tables / f"{name}.cdb")
            os.replace(new, self.tables / name)
        self.ready.touch()
        return changed

    def _changed(self, name: str, table: dict[str, str]) -> bool:
        file = self.tables / name
        return not file.exists() or file.read_text() != _source(table)

    def _build(self, name: str, table: dict[str, str]) -> None:
        """Build a table beside the live one and ask it for a known and an unknown key."""
        file = self.tables / f"new-{name}"
        file.write_text(_source(table))
        subprocess.run(["postmap", f"cdb:{file}"], check=True)
        unknown = "nobody@invalid"
        probes = {unknown: "", **dict(list(table.items())[:1])}
        for key, expected in probes.items():
            answer = subprocess.run(
                ["postmap", "-q", key, f"cdb:{file}"], capture_output=True, text=True
            )
            if answer.stdout.rstrip("\n") != expected:
                raise Refused(f"table {name}: must answer {expected!r} for {key}, got {answer}")


def _source(table: dict[str, str]) -> str:
    return "".join(f"{key} {value}\n" for key, value in sorted(table.items()))


def _replace(file: Path, text: str) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_text(text)
    os.replace(new, file)


class Synchroniser:
    """One host's view of the directory; `look` brings it up to date once."""

    def __init__(self, config: Config, store: Store, s3: Any) -> None:
        self.config = config
        self.store = store
        self.s3 = s3
        self.parts = store.load(config)
        self.tags: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.said: set[str] = set()

    def look(self) -> bool:
        """Fetch what changed and put it in force; True once there is something to serve."""
        seen = self._list()
        for key, tag in seen.items():
            if self.tags.get(key) != tag:
                self._fetch(key)
                self.tags[key] = tag
        for key in set(self.parts) - set(seen) - {self.config.required}:
            del self.parts[key]
            self.store.keep(key, None)
        for key in (set(self.tags) | set(self.refused)) - set(seen):
            self.tags.pop(key, None)
            self.refused.pop(key, None)
        complaints = {f"refused {key}: {reason}" for key, reason in self.refused.items()}
        self._say(complaints | self._apply())
        return self.store.ready.exists()

    def _fetch(self, key: str) -> None:
        """Take one object, or refuse it and leave its last good state in force."""
        body = self.s3.get_object(Bucket=self.config.bucket, Key=key)["Body"]
        try:
            self.parts[key] = parse(key, body.read(LARGEST_OBJECT + 1), self.config)
        except Refused as reason:
            self.refused[key] = str(reason)
            return
        self.refused.pop(key, None)
        self.store.keep(key, self.parts[key])

    def _list(self) -> dict[str, str]:
        """The keys of this host's prefixes and their entity tags."""
        if self.config.role == "branch":
            head = self.s3.head_object(Bucket=self.config.bucket, Key=self.config.required)
            return {self.config.required: head["ETag"]}
        seen = {}
        pages = self.s3.get_paginator("list_objects_v2")
        for prefix in self.config.prefixes:
            for page in pages.paginate(Bucket=self.config.bucket, Prefix=prefix):
                seen.update({item["Key"]: item["ETag"] for item in page.get("Contents", [])})
        return seen

    def _apply(self) -> set[str]:
        if self.config.required not in self.parts:
            return {f"missing {self.config.required}: nothing to serve yet"}
        tables, conflicts = derive(self.parts, self.config)
        changed = self.store.install(tables)
        if changed:
            said = ", ".join(f"{name} ({len(tables[name])})" for name in changed)
            print(f"in force: {said}", flush=True)
        return {f"conflict: {conflict}" for conflict in conflicts}

    def _say(self, complaints: set[str]) -> None:
        """Say what is wrong when it begins, and when it ends."""
        for complaint in sorted(complaints - self.said):
            print(complaint, file=sys.stderr)
        for complaint in sorted(self.said - complaints):
            print(f"mended: {complaint}", flush=True)
        self.said = complaints


def notify(message: str) -> None:
    """Tell systemd (sd_notify(3))."""
    name = os.environ.get("NOTIFY_SOCKET")
    if name:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(message.encode(), name.replace("@", "\0", 1))


def main(argv: list[str]) -> None:
    """Keep the tables until stopped; `argv` is the configuration file and the state folder."""
    import boto3
    from botocore.config import Config as ClientConfig
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(**json.loads(Path(argv[1]).read_text()))
    options = ClientConfig(
        connect_timeout=5,
        read_timeout=20,
        retries={"total_max_attempts": 2},
        s3={"us_east_1_regional_endpoint": "regional", "addressing_style": "virtual"},
    )
    s3 = boto3.client("s3", region_name=config.region, config=options)
    sync = Synchroniser(config, Store(Path(argv[2])), s3)
    ready = sync.store.ready.exists()
    if ready:
        notify("READY=1")
    trouble = ""
    while True:
        try:
            done = sync.look()
            if trouble:
                print("the directory answers again", flush=True)
            trouble = ""
        except (BotoCoreError, ClientError) as error:
            done = False
            if trouble != str(error):
                trouble = str(error)
                print(f"the directory does not answer: {trouble}", file=sys.stderr)
        if done and not ready:
            ready = True
            notify("READY=1")
        time.sleep(config.seconds)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(sys.argv)
