"""The mail logs: nothing that Postfix warns of."""

from __future__ import annotations

import re

from checks.suite import Check, Scene, expect

TROUBLE = re.compile(r"postfix\S*: (warning|error|fatal|panic): ")
CLOCKS = (
    "warning: file system clock is 1 seconds ahead of local clock",
    "warning: resetting file time stamps - this hurts performance",
)
"""Not Postfix's trouble, which says the second after the first: since Linux 6.13 a file's time
stamp may be some milliseconds ahead of time(2) (Documentation/filesystems/multigrain-ts.rst), over
a second's end now and then."""

REREAD = "warning: problem talking to service rewrite: Connection reset by peer"
"""Not trouble: trivial-rewrite(8) ends when a table of its has changed, as one does when people or
branches change, and whoever was asking it asks again."""

_SMTPD = re.compile(r"postfix\S*/smtpd\[(\d+)\]: ")
_RECEIVER = re.compile(r"postfix\S*/(smtpd|postscreen|tlsproxy|dnsblog)\[\d+\]: ")
"""What listens to strangers. Our own clients' trouble with a host outside is ours."""
_CLIENT = re.compile(r"\[(\d+(?:\.\d+){3})\]")
_UNNAMED = re.compile(
    # What a stranger's process says of its client without naming it.
    r"postfix\S*/smtpd\[\d+\]: warning: TLS library problem: "
    # A message that has grown too large comes from a stranger where only strangers come, or from a
    # program of the host, which hears it; from a host of our own it would be a defect.
    r"|postfix/(strangers/)?cleanup\[\d+\]: warning: (\w+: queue file size limit exceeded"
    r"|mail_stream_cleanup: close error)"
)


def checks(_: Scene) -> list[Check]:
    """The logs are read last: they judge what the other checks did as well."""
    return [no_warning, no_refusal]


def no_warning(scene: Scene) -> str:
    """no warning in any mail log, but of what strangers did"""
    lines = 0
    strangers = {host.address for host in scene.outside}
    for host in scene.hosts:
        log = scene.run(host.name, ["journalctl", "-q", "--no-pager", "-o", "short", "-b"]).out
        mail = [line for line in log.splitlines() if "postfix" in line]
        expect(mail, f"{host.name} has no mail log at all")
        found = [
            line
            for line in _ours(mail, strangers)
            if not any(known in line for known in (*CLOCKS, REREAD))
        ]
        expect(not found, f"{host.name} warns {len(found)} times, first: {found[:1]}")
        lines += len(mail)
    return f"{lines} lines on {len(scene.hosts)} hosts"


def _ours(log: list[str], strangers: set[str]) -> list[str]:
    """The warnings of a log, but those of a service about its client, one of the `strangers`."""
    found, clients = [], dict[str, str]()
    for line in log:
        client, process = _CLIENT.search(line), _SMTPD.search(line)
        if client and process:
            clients[process[1]] = client[1]
        if not TROUBLE.search(line):
            continue
        if client and client[1] in strangers and _RECEIVER.search(line):
            continue
        serves = clients.get(process[1], "") if process else ""
        if _UNNAMED.search(line) and (not process or serves in strangers):
            continue
        found.append(line)
    return found


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
