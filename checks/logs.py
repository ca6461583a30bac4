"""The mail logs: nothing that Postfix warns of."""

from __future__ import annotations

import re

from checks.suite import Check, Scene, expect

TROUBLE = re.compile(r"postfix\S*: (warning|error|fatal|panic): ")
CLOCKS = "warning: file system clock is 1 seconds ahead of local clock"
"""Not Postfix's trouble: since Linux 6.13 a file's time stamp may be some milliseconds ahead of
time(2) (Documentation/filesystems/multigrain-ts.rst), across a second's end now and then."""

REREAD = "warning: problem talking to service rewrite: Connection reset by peer"
"""Not trouble: trivial-rewrite(8) ends when a table of its has changed, as one does when people or
branches change, and whoever was asking it asks again."""


def checks(_: Scene) -> list[Check]:
    """The logs are read last: they judge what the other checks did as well."""
    return [no_warning, no_refusal]


def no_warning(scene: Scene) -> str:
    """no warning in any mail log"""
    lines = 0
    for host in scene.hosts:
        log = scene.run(host.name, ["journalctl", "-q", "--no-pager", "-o", "short", "-b"]).out
        mail = [line for line in log.splitlines() if "postfix" in line]
        expect(mail, f"{host.name} has no mail log at all")
        trouble = [line for line in mail if TROUBLE.search(line)]
        found = [line for line in trouble if CLOCKS not in line and REREAD not in line]
        expect(not found, f"{host.name} warns {len(found)} times, first: {found[:1]}")
        lines += len(mail)
    return f"{lines} lines on {len(scene.hosts)} hosts"


def no_refusal(scene: Scene) -> str:
    """every host's synchroniser runs and has refused nothing"""
    unit = "gatepost-directory.service"
    for host in scene.hosts:
        state = scene.run(host.name, ["systemctl", "is-active", unit]).out.strip()
        expect(state == "active", f"{unit} on {host.name} should be active, is {state}")
        log = scene.run(host.name, ["journalctl", "-q", "--no-pager", "-o", "cat", "-u", unit]).out
        found = [line for line in log.splitlines() if line.startswith(("refused", "conflict"))]
        expect(not found, f"{host.name}: {found}")
    return f"{len(scene.hosts)} hosts"
