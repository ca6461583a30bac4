#!/usr/bin/python3
"""Obtain and renew this relay's certificates, and have Postfix and nginx use them.

`renew [--force]` runs certbot for each lineage of the settings; `deploy` puts what is issued in
use, and until there is anything Debian's self-signed pair. A renewal never restarts a service and
a failed one never stops mail: systemd tries again with growing pauses, an alarm file tells of it.

Names that all relays serve are validated by one record set, which certbot's Route 53 plugin
replaces as a whole: two relays at a time would overwrite each other's. So whoever asks for such a
lineage first takes a lock in Route 53 itself, a TXT record: a CREATE of what exists is refused
(Route 53 API Reference, ChangeResourceRecordSets).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from gatepost_alarms import report

SETTINGS = Path("/etc/gatepost/certificates.json")
LIVE = Path("/etc/letsencrypt/live")
IN_USE = Path("/var/lib/gatepost-tls")
"""One PEM file for each lineage, key first, as smtpd_tls_chain_files wants it (postconf(5))."""
HOST = "host"
"""The lineage that Postfix uses; all others are nginx's."""
SELF_SIGNED = ("/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/ssl-cert-snakeoil.pem")
ALARM = "certificates"

CERTBOT_LIMIT = 1200.0
"""Seconds for one lineage; the plugin alone waits up to 600 for Route 53."""
LOCK_LIFETIME = 1800
"""Seconds after which a lock counts as left behind: more than certbot is given."""
LOCK_SKEW = 60
"""Seconds by which another relay's clock may be ahead."""
LOCK_PATIENCE = 900.0
"""Seconds to wait for another relay's lock before systemd's next attempt."""
LOCK_PAUSE = 3.0
LOCK_TTL = 10
"""Nobody asks for it by DNS, but a record set has one."""


RecordSet = dict[str, Any]
"""As Route 53 lists it."""


class Trouble(Exception):
    """Why a lineage was not renewed, or not put in use."""


@dataclass(frozen=True)
class Settings:
    """What user data tells this program: see userdata/render.py."""

    host: str
    zone: str
    """The id of the hosted zone that holds the lock."""
    lock: str
    """The name of the lock's record."""
    lineages: dict[str, list[str]]


class Lock:
    """The record `name` in a hosted zone, held by one relay at a time until it expires.

    Any relay may write it, so a burglar in one of them may: what no relay would have written holds
    nobody up.
    """

    def __init__(self, route53: Any, settings: Settings) -> None:
        self.route53 = route53
        self.zone, self.name = settings.zone, settings.lock
        self.holder = settings.host

    @contextlib.contextmanager
    def held(self) -> Generator[None]:
        """Hold it; raises Trouble if another relay does not let go within LOCK_PATIENCE."""
        deadline = time.monotonic() + LOCK_PATIENCE
        while not (mine := self._take()):
            if time.monotonic() > deadline:
                held = ", ".join(_values(self._standing()))
                raise Trouble(f"{self.name} is held by {held} for {LOCK_PATIENCE:g} s")
            time.sleep(LOCK_PAUSE)
        try:
            yield
        finally:
            if not self._change(("DELETE", mine)):
                print(f"{self.name}: another relay took it over from us", file=sys.stderr)

    def _take(self) -> RecordSet | None:
        """The record set that this relay holds it by now, or None if another one does."""
        mine: RecordSet = {
            "Name": self.name,
            "Type": "TXT",
            "TTL": LOCK_TTL,
            "ResourceRecords": [{"Value": f'"{self.holder} {int(time.time()) + LOCK_LIFETIME}"'}],
        }
        if self._change(("CREATE", mine)):
            return mine
        theirs = self._standing()
        if not theirs or _holds(_values(theirs)):
            return None
        # In one batch: if another relay was faster, what stands differs and nothing happens.
        broken = self._change(*(("DELETE", each) for each in theirs), ("CREATE", mine))
        return mine if broken else None

    def _standing(self) -> list[RecordSet]:
        """The record sets of the lock's name, as they are: one if a relay holds it, or none.

        A DELETE must state all that a record set has; with a routing policy there may be several.
        """
        found = self.route53.list_resource_record_sets(
            HostedZoneId=self.zone, StartRecordName=self.name, StartRecordType="TXT"
        )["ResourceRecordSets"]
        return [each for each in found if (each["Name"], each["Type"]) == (f"{self.name}.", "TXT")]

    def _change(self, *changes: tuple[str, RecordSet]) -> bool:
        """Whether Route 53 made all changes; it makes all or none."""
        batch = [{"Action": action, "ResourceRecordSet": record} for action, record in changes]
        try:
            self.route53.change_resource_record_sets(
                HostedZoneId=self.zone, ChangeBatch={"Changes": batch}
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidChangeBatch":
                return False
            raise
        return True


def _values(records: list[RecordSet]) -> list[str]:
    """All values of record sets; an alias has none."""
    return [value["Value"] for each in records for value in each.get("ResourceRecords", ())]


def _holds(values: list[str]) -> bool:
    """Whether a lock with these values is one that a relay has taken, and is good still."""
    written = re.fullmatch(r'"\S+ (\d{1,12})"', values[0]) if len(values) == 1 else None
    now = time.time()
    return written is not None and now <= int(written[1]) <= now + LOCK_LIFETIME + LOCK_SKEW


def renew(settings: Settings, route53: Any, *, force: bool = False) -> list[str]:
    """Renew each lineage that is due, put all in use; returns a sentence for each trouble."""
    problems = []
    for lineage, names in settings.lineages.items():
        shared = lineage != HOST
        try:
            with Lock(route53, settings).held() if shared else contextlib.nullcontext():
                _certbot(lineage, names, force)
            # Postfix does not wait for nginx's, which may wait for the lock.
            problems += [] if shared else deploy()
        except (Trouble, BotoCoreError, ClientError) as error:
            problems.append(f"{lineage} ({', '.join(names)}): {error}")
    return problems + deploy()


def _certbot(lineage: str, names: list[str], force: bool) -> None:
    command = ["certbot", "certonly", "--quiet", "--non-interactive", "--agree-tos"]
    command += ["--register-unsafely-without-email", "--dns-route53", "--cert-name", lineage]
    command += ["--force-renewal" if force else "--keep-until-expiring"]
    # The names may have become others since; without --cert-name that would be a new lineage.
    command += ["--renew-with-new-domains", "--domains", ",".join(names)]
    # The relay's own key stays, as its digest may be in a TLSA record (RFC 7671 section 8.1).
    command += ["--reuse-key"] if lineage == HOST else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=CERTBOT_LIMIT)
    except subprocess.TimeoutExpired:
        raise Trouble(f"certbot has not ended after {CERTBOT_LIMIT:g} s") from None
    if done.returncode != 0:
        raise Trouble(f"certbot: {' '.join(done.stderr.split())}")


def deploy() -> list[str]:
    """Put issued certificates in use; returns a sentence for each trouble.

    A reload lets Postfix's and nginx's processes end their connections before they go.
    """
    # What is in use outlives a volume that has not come (gatepost-volume).
    pairs = {} if (IN_USE / f"{HOST}.pem").exists() else {HOST: SELF_SIGNED}
    for lineage in sorted(LIVE.glob("*/fullchain.pem")):
        folder = lineage.parent
        pairs[folder.name] = (str(folder / "privkey.pem"), str(folder / "fullchain.pem"))
    try:
        changed = {name for name, pair in pairs.items() if _install(name, pair)}
        if HOST in changed and _run("is-active", "--quiet", "postfix.service") == 0:
            _require("reload", "postfix.service")
        if changed - {HOST}:
            _require("--no-block", "reload-or-restart", "nginx.service")
    except (OSError, Trouble) as error:
        return [f"not put in use: {error}"]
    return []


def _install(lineage: str, pair: tuple[str, str]) -> bool:
    """Whether the lineage's file in use became another; it is replaced whole, or not at all."""
    content = b"".join(Path(file).read_bytes() for file in pair)
    file = IN_USE / f"{lineage}.pem"
    if file.exists() and file.read_bytes() == content:
        return False
    new = file.with_suffix(".new")
    with open(new, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
        out.write(content)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(new)
    except ssl.SSLError as error:
        raise Trouble(f"{pair[1]} and its key do not belong together: {error}") from None
    os.replace(new, file)
    print(f"in use: {lineage}, from {pair[1]}", flush=True)
    return True


def _run(*systemctl: str) -> int:
    return subprocess.run(["systemctl", *systemctl]).returncode


def _require(*systemctl: str) -> None:
    status = _run(*systemctl)
    if status != 0:
        raise Trouble(f"systemctl {' '.join(systemctl)} ended with {status}")


def main(argv: list[str]) -> int:
    """Do what the first argument says; exit status 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="gatepost-certificates", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    renewal = commands.add_parser("renew", help="renew what is due, put it in use")
    renewal.add_argument("--force", action="store_true", help="renew what is not due, too")
    commands.add_parser("deploy", help="put what is issued in use")
    given = parser.parse_args(argv)
    IN_USE.mkdir(mode=0o700, exist_ok=True)
    if given.command == "deploy":
        problems = deploy()
        # What does not go well in a renewal may be wrong still.
        if problems:
            report(ALARM, "; ".join(problems))
        return int(bool(problems))
    try:
        settings = Settings(**json.loads(SETTINGS.read_text()))
        retries = Config(retries={"mode": "standard", "total_max_attempts": 5})
        problems = renew(settings, boto3.client("route53", config=retries), force=given.force)
    except Exception as error:
        # Nobody has thought of it: a person must, before the certificates end.
        report(ALARM, f"{type(error).__name__}: {error}")
        raise
    report(ALARM, "; ".join(problems))
    return int(bool(problems))


if __name__ == "__main__":
    # Stopped, it lets go of the lock: by default Python ends without a `finally`.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    sys.exit(main(sys.argv[1:]))
