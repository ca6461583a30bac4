"""The machines themselves: how they began, volumes, the metadata fence, what keeps them current."""

from __future__ import annotations

import json
from itertools import chain

from checks.suite import Check, Failed, Scene, expect

QUEUE, MAILBOXES = "/var/spool/postfix", "/var/mail/vhosts"

_TOKEN = """
import urllib.request
ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
there = urllib.request.Request("http://169.254.169.254/latest/api/token", method="PUT", headers=ttl)
try:
    print("token" if urllib.request.urlopen(there, timeout=3).read() else "nothing")
except OSError as error:
    print(type(getattr(error, "reason", error)).__name__)
"""
_SHUT_OUT = (ConnectionRefusedError.__name__, TimeoutError.__name__)
"""What a packet filter makes of an attempt; the program itself must have run to say so."""

_TIME = "169.254.169.123"
"""Amazon's time service, which no rule has to let through ("Set the time reference on your EC2
instance", EC2 User Guide)."""
_CLOCKS = (
    *("sh", "-c"),
    "chronyd -p | sed -n 's/^sourcedir //p' | while read -r place; do"
    ' for file in "$place"/*.sources; do [ ! -e "$file" ] || cat "$file"; done; done',
)
"""The sources in the folders that chrony.conf(5) names; `chronyd -p` shows none of them."""

_UNITS = {
    "unattended-upgrades.service": ("enabled",),
    "chrony.service": ("enabled",),
    # The twin masks it: it would start in the middle of a test.
    "apt-daily-upgrade.timer": ("enabled", "masked"),
}


def checks(_: Scene) -> list[Check]:
    """What holds on every mail host."""
    return [told, units, volumes, metadata_fence, upkeep]


def told(scene: Scene) -> str:
    """cloud-init did all that it was told, without a complaint"""
    for host in scene.hosts:
        said = scene.run(host.name, ["cloud-init", "status", "--format", "json"])
        try:
            status = json.loads(said.out)
        except ValueError:
            raise Failed(f"cloud-init on {host.name} tells no status: {said.err.strip()}") from None
        # Recoverable is what it left out, and went on (cloud-init, "Exported errors").
        recovered = chain.from_iterable(status["recoverable_errors"].values())
        ended, complaints = status["extended_status"], [*status["errors"], *recovered]
        expect(
            ended == "done" and not complaints,
            f"cloud-init on {host.name} should be done, is {ended}: {'; '.join(complaints)}",
        )
    return f"{len(scene.hosts)} hosts"


def units(scene: Scene) -> str:
    """no unit has failed"""
    for host in scene.hosts:
        listed = scene.run(host.name, ["systemctl", "list-units", "--failed", "--plain", "-q"])
        expect(listed.code == 0, f"systemctl on {host.name}: {listed.err.strip()}")
        failed = [line.split()[0] for line in listed.out.splitlines()]
        expect(not failed, f"on {host.name} have failed: {', '.join(failed)}")
    return f"{len(scene.hosts)} hosts"


def volumes(scene: Scene) -> str:
    """queue and mailboxes are on volumes of their own"""
    for host in scene.hosts:
        places = [QUEUE] if host.role == "relay" else [QUEUE, MAILBOXES]
        for place in places:
            found = scene.run(
                host.name, ["findmnt", "-n", "-o", "SOURCE,FSTYPE", place]
            ).out.split()
            expect(
                found[1:] == ["ext4"] and found[0].startswith("/dev/"),
                f"{place} on {host.name} should be a volume with ext4, is {found or 'no mount'}",
            )
    return f"{len(scene.hosts)} hosts"


def metadata_fence(scene: Scene) -> str:
    """root reaches the metadata service, a service's user does not"""
    for host in scene.hosts:
        argv = ["python3", "-c", _TOKEN]
        root = _said(scene, host.name, argv)
        expect(root == "token", f"root on {host.name} should get a token: {root}")
        other = _said(scene, host.name, ["setpriv", "--reuid=postfix", "--clear-groups", *argv])
        expect(other in _SHUT_OUT, f"postfix on {host.name} should be shut out: {other}")
    return f"{len(scene.hosts)} hosts"


def upkeep(scene: Scene) -> str:
    """security updates, time sync and bounded logs are on"""
    for host in scene.hosts:
        for unit, states in _UNITS.items():
            state = scene.run(host.name, ["systemctl", "is-enabled", unit]).out.strip()
            expect(state in states, f"{unit} on {host.name} is {state or 'missing'}")
        preferred = [
            line.split()[:2]
            for line in scene.run(host.name, _CLOCKS).out.splitlines()
            if "prefer" in line.split()
        ]
        expect(
            preferred == [["server", _TIME]],
            f"chrony on {host.name} should prefer {_TIME}, prefers {preferred}",
        )
        said = scene.run(host.name, ["apt-config", "dump", "APT::Periodic::Unattended-Upgrade"]).out
        expect('"1"' in said, f"{host.name} does not upgrade by itself: {said.strip()!r}")
        said = scene.run(host.name, ["systemd-analyze", "cat-config", "systemd/journald.conf"]).out
        expect("\nSystemMaxUse=1G" in said, f"the journal of {host.name} has no bound of its own")
    return f"{len(scene.hosts)} hosts"


def _said(scene: Scene, host: str, argv: list[str]) -> str:
    """What a program printed, or why it did not run."""
    done = scene.run(host, argv)
    return (done.out if done.code == 0 else done.err).strip()[-200:]
