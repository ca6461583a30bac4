#!/usr/bin/python3
"""Fetch this host's secret, the login at the smarthost, and give it to Postfix; started by a timer.

The secret is a SecureString parameter of Systems Manager that only this host's role can read. It
stays out of user data, of Pulumi's state and of command lines. While there is none, mail for the
Internet waits in the queue and an alarm stands; a changed one is in force at the next look, without
a restart.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatepost_alarms import report

SETTINGS = Path("/etc/gatepost/secrets.json")
STATE = Path("/var/lib/gatepost-smarthost")

LOGIN = re.compile(r"[!-9;-~]+:[!-~]([ -~]*[!-~])?")
"""user:password in printable ASCII, as a table's line holds it (postmap(1)); `:` ends the user."""

WAITS = "retry:4.7.0 this host has no login at the smarthost yet"


class Trouble(Exception):
    """Why there is no new secret; the last one stays in force."""


@dataclass(frozen=True)
class Settings:
    """What user data tells this program: see userdata/render.py."""

    region: str
    parameter: str
    """/gatepost/STACK/ROLE/NAME."""
    nexthop: str
    """The smarthost as transport(5) names it: [host]:port."""

    @property
    def command(self) -> str:
        """What an administrator does to store it."""
        _, _, stack, _, name = self.parameter.split("/")
        return f"gatepost secret put {stack} {name}"


def fetch(settings: Settings, ssm: Any) -> str:
    """The secret of today; raises Trouble."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        found = ssm.get_parameter(Name=settings.parameter, WithDecryption=True)
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        if code == "ParameterNotFound":
            raise Trouble(f"{settings.parameter} is missing: {settings.command}") from None
        raise Trouble(f"{settings.parameter} cannot be read: {error}") from None
    value = found["Parameter"]["Value"]
    if found["Parameter"]["Type"] != "SecureString":
        raise Trouble(f"{settings.parameter} must be a SecureString: {settings.command}")
    if not LOGIN.fullmatch(value):
        raise Trouble(f"{settings.parameter} must be user:password: {settings.command}")
    return value


class Tables:
    """Postfix's two tables: `login`, and `route`, which holds mail back while there is none."""

    def __init__(self, root: Path, nexthop: str) -> None:
        self.root = root
        self.nexthop = nexthop

    @property
    def has_login(self) -> bool:
        """Whether there has ever been a secret for this smarthost."""
        login = self.root / "login"
        return login.exists() and login.read_text().startswith(f"{self.nexthop} ")

    def prepare(self) -> None:
        """Have both tables, so that Postfix finds them: without a login, mail waits."""
        if not self.has_login:
            self._put("login", "")
            self._put("route", f"* {WAITS}\n")

    def install(self, secret: str) -> bool:
        """Put a secret in force; whether that changed anything."""
        changed = self._put("login", f"{self.nexthop} {secret}\n")
        return self._put("route", "") or changed

    def _put(self, name: str, content: str) -> bool:
        """Replace a table as a whole, if it differs."""
        file, new = self.root / name, self.root / f"new-{name}"
        if file.exists() and file.read_text() == content:
            return False
        with open(new, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
            out.write(content)
        # The table gets the permissions of its source.
        subprocess.run(["postmap", f"cdb:{new}"], check=True)
        os.replace(f"{new}.cdb", f"{file}.cdb")
        os.replace(new, file)
        return True


def look(settings: Settings, tables: Tables, ssm: Any) -> str:
    """Bring the tables up to date; returns what is wrong, or nothing."""
    waited = not tables.has_login
    tables.prepare()
    try:
        secret = fetch(settings, ssm)
    except Trouble as trouble:
        state = "mail waits in the queue" if waited else "the last one stays in force"
        return f"{trouble}; {state}"
    if tables.install(secret):
        if _run("systemctl", "is-active", "--quiet", "postfix.service") == 0:
            _use_now(flush=waited)
        print(f"in force: {settings.parameter} as it is now", flush=True)
    return ""


def _use_now(*, flush: bool) -> None:
    """Have a running Postfix open its tables again; what has waited goes now, not at its turn.

    Left to themselves its processes notice a replaced table, but some only after their next use.
    By systemctl the reload would wait for this very unit, which is to end before Postfix's.
    """
    for command in (
        ("postfix", "reload"),
        *((("postqueue", "-f"),) if flush else ()),
    ):
        if status := _run(*command):
            print(f"{' '.join(command)} ended with {status}", file=sys.stderr)


def _run(*command: str) -> int:
    return subprocess.run(command).returncode


def main() -> None:
    """One look."""
    import boto3
    from botocore.config import Config

    settings = Settings(**json.loads(SETTINGS.read_text()))
    options = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
    ssm = boto3.client("ssm", region_name=settings.region, config=options)
    STATE.mkdir(mode=0o700, exist_ok=True)
    report("smarthost", look(settings, Tables(STATE, settings.nexthop), ssm))


if __name__ == "__main__":
    main()
