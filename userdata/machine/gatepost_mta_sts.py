#!/usr/bin/python3
"""Keep the MTA-STS policy that nginx serves equal to the one in the directory's bucket.

It names every relay, so that it changes when another relay comes or the mode is switched; as an
object of the bucket that replaces no machine. Runs as a systemd service on the relays.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SETTINGS = Path("/etc/gatepost/mta-sts.json")
"""`bucket`, `region` and `key` of the object."""
SERVED = Path("/var/lib/gatepost-mta-sts/mta-sts.txt")
FIRST_LINE = b"version: STSv1"
"""RFC 8461 section 3.2."""
LARGEST = 65_536
"""Bytes that senders take of a policy at most (RFC 8461 section 3.3 suggests 64 KB)."""
PAUSE = 10.0
"""Seconds between two looks."""


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


def main() -> None:
    """Look until stopped; what is wrong is said when it begins and when it ends."""
    settings = json.loads(SETTINGS.read_text())
    options = Config(
        retries={"total_max_attempts": 2},
        s3={"us_east_1_regional_endpoint": "regional", "addressing_style": "virtual"},
    )
    s3 = boto3.client("s3", region_name=settings["region"], config=options)
    seen = trouble = ""
    while True:
        try:
            seen = look(s3, settings["bucket"], settings["key"], seen)
            now = ""
        except (BotoCoreError, ClientError, Refused) as error:
            now = str(error)
        if now != trouble:
            print(now or "the policy is there again", file=sys.stderr)
            trouble = now
        time.sleep(PAUSE)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
