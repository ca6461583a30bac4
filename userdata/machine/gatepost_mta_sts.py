#!/usr/bin/python3
"""Keep the MTA-STS policy that nginx serves equal to the one in the directory's bucket.

It names every relay, so that it changes when another relay comes or the mode is switched; as an
object of the bucket that replaces no machine. Runs as a systemd service on the relays. An alarm
tells of a policy that cannot be fetched, and of one that has senders refuse this relay.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from gatepost_alarms import report

SETTINGS = Path("/etc/gatepost/mta-sts.json")
"""`bucket`, `region` and `key` of the object, and this relay's `host` name."""
SERVED = Path("/var/lib/gatepost-mta-sts/mta-sts.txt")
SHOWN = Path("/var/lib/gatepost-tls/host.pem")
"""What Postfix shows to senders; gatepost-certificates puts it there."""
TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
ALARM = "mta-sts"
FIRST_LINE = b"version: STSv1"
"""RFC 8461 section 3.2."""
LARGEST = 65_536
"""Bytes that senders take of a policy at most (RFC 8461 section 3.3 suggests 64 KB)."""
ENFORCED = b"mode: enforce"
"""The line by which senders that cannot verify a host keep their mail (RFC 8461 section 5)."""
PAUSE = 10.0
"""Seconds between two looks."""
PATIENCE = 60.0
"""Seconds of failed looks, as at a boot before the network is there, that nobody is told of."""


class Refused(Exception):
    """The object is no policy."""


def look(s3: Any, bucket: str, key: str, seen: str) -> str:
    """Fetch the policy unless its entity tag is still `seen`; returns the tag now in force."""
    tag = s3.head_object(Bucket=bucket, Key=key)["ETag"]
    if tag == seen:
        return seen
    policy = s3.get_object(Bucket=bucket, Key=key)["Body"].read(LARGEST + 1)
    if not policy.startswith(FIRST_LINE) or len(policy) > LARGEST:
        raise Refused(
            f"{key}: must begin with {FIRST_LINE.decode()!r} and have at most {LARGEST} bytes, "
            f"got {policy[:40]!r} ({len(policy)} bytes)"
        )
    new = SERVED.with_suffix(".new")
    new.write_bytes(policy)
    os.replace(new, SERVED)
    print(f"in force: {' '.join(policy.decode().split())}", flush=True)
    return tag


def unverifiable(host: str) -> str:
    """What keeps senders from this relay whom the policy has verify it; empty if nothing does."""
    if not SERVED.exists() or ENFORCED not in SERVED.read_bytes().splitlines():
        return ""
    argv = ["openssl", "verify", "-CAfile", TRUSTED, "-untrusted", str(SHOWN)]
    argv += ["-purpose", "sslserver", "-verify_hostname", host, str(SHOWN)]
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    why = " ".join(done.stderr.split())
    return f"the MTA-STS policy says enforce, but senders cannot verify {host}: {why}"


@dataclass
class Watch:
    """Looks again and again; what goes wrong is said when it begins and when it ends."""

    s3: Any
    bucket: str
    key: str
    host: str
    good: float
    """When a look last went well, by the monotonic clock; at first, when it began to look."""
    seen: str = ""
    trouble: str = ""

    def look(self) -> None:
        """One look, and the alarm that follows from it. Raises NoCredentialsError."""
        try:
            self.seen = look(self.s3, self.bucket, self.key, self.seen)
            self.good, now = time.monotonic(), ""
        except NoCredentialsError:
            # The client will not ask for them again: a new process does.
            raise
        except (BotoCoreError, ClientError, Refused) as error:
            now = str(error)
        if now != self.trouble:
            print(now or "the policy is there again", file=sys.stderr)
            self.trouble = now
        late = f"the MTA-STS policy cannot be fetched: {now}"
        lasting = [late] if now and time.monotonic() - self.good >= PATIENCE else []
        report(ALARM, "; ".join([*lasting, *filter(None, [unverifiable(self.host)])]))


def main() -> None:
    """Look until stopped."""
    settings = json.loads(SETTINGS.read_text())
    options = Config(
        retries={"total_max_attempts": 2},
        s3={"us_east_1_regional_endpoint": "regional", "addressing_style": "virtual"},
    )
    s3 = boto3.client("s3", region_name=settings["region"], config=options)
    where = {name: settings[name] for name in ("bucket", "key", "host")}
    watch = Watch(s3=s3, good=time.monotonic(), **where)
    while True:
        watch.look()
        time.sleep(PAUSE)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
