"""Whether a deployment has come so far that it can be judged."""

from __future__ import annotations

import time

from checks.deployment import Deployment, mail_hosts
from checks.suite import Failed

LIMIT = 120.0
"""Seconds after a boot within which every host must take mail."""


def wait_ready(deployment: Deployment) -> None:
    """Wait until every mail host's Postfix runs; raises Failed, naming those that do not.

    Postfix starts once the directory's first tables are in force.
    """
    waiting = {host.name for host in mail_hosts(deployment)}
    deadline = time.monotonic() + LIMIT
    while waiting:
        waiting = {name for name in waiting if not _takes_mail(deployment, name)}
        if waiting and time.monotonic() > deadline:
            raise Failed(f"no mail service after {LIMIT:.0f} s on {', '.join(sorted(waiting))}")
        if waiting:
            time.sleep(0.1)


def _takes_mail(deployment: Deployment, host: str) -> bool:
    return deployment.run(host, ["systemctl", "is-active", "postfix"]).out.strip() == "active"
