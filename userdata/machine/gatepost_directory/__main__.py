"""`gatepost-directory SETTINGS STATE REPORTS [stale]`: keep the tables until stopped.

With `stale`, only tell a relay that nobody keeps its tables any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config as ClientConfig

from .objects import Config
from .store import Reports, Store
from .watch import Synchroniser

OPTIONS = ClientConfig(
    connect_timeout=3,
    read_timeout=10,
    retries={"total_max_attempts": 1},
    s3={"us_east_1_regional_endpoint": "regional", "addressing_style": "virtual"},
)
"""One attempt a look, in seconds: the next look is the next attempt."""


def notify(message: str) -> None:
    """Tell systemd (sd_notify(3))."""
    name = os.environ.get("NOTIFY_SOCKET")
    if name:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(message.encode(), name.replace("@", "\0", 1))


def main(settings: str, state: str, reports: str, *words: str) -> None:
    """Keep the tables until stopped."""
    config = Config(**json.loads(Path(settings).read_text()))
    s3 = boto3.client("s3", region_name=config.region, config=OPTIONS)
    sync = Synchroniser(config, Store(Path(state)), Reports(Path(reports)), s3)
    if words == ("stale",):
        sync.set_stale(True)
        return
    if sync.store.ready.exists():
        sync.set_stale(True)  # until the first look: the tables may be days old
    told = False
    while True:
        for serving in (sync.store.ready.exists, sync.look):
            if serving() and not told:
                notify("READY=1")
                told = True
        notify("WATCHDOG=1")
        time.sleep(sync.pause)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
