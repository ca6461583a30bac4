"""The machines themselves: volumes, the metadata fence, what keeps them current."""

from __future__ import annotations

from checks.suite import Check, Scene, expect

QUEUE, MAILBOXES = "/var/spool/postfix", "/var/mail/vhosts"

_TOKEN = (
    "import urllib.request as u; "
    "r = u.Request('http://169.254.169.254/latest/api/token', method='PUT', "
    "headers={'X-aws-ec2-metadata-token-ttl-seconds': '60'}); "
    "print(len(u.urlopen(r, timeout=3).read()))"
)


def checks(_: Scene) -> list[Check]:
    """What holds on every mail host."""
    return [volumes, metadata_fence, upkeep]


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
        root = scene.run(host.name, ["python3", "-c", _TOKEN])
        expect(root.code == 0, f"root on {host.name} should get a token: {root.err.strip()[-200:]}")
        argv = ["setpriv", "--reuid=postfix", "--clear-groups", "python3", "-c", _TOKEN]
        other = scene.run(host.name, argv)
        expect(other.code != 0, f"postfix on {host.name} should get no token, got {other.out!r}")
    return f"{len(scene.hosts)} hosts"


def upkeep(scene: Scene) -> str:
    """security updates, time sync and bounded logs are on"""
    for host in scene.hosts:
        for unit in ("unattended-upgrades.service", "chrony.service", "apt-daily-upgrade.timer"):
            state = scene.run(host.name, ["systemctl", "is-enabled", unit]).out.strip()
            # The twin masks the timer, which would start in the middle of a test.
            expect(state in ("enabled", "masked"), f"{unit} on {host.name} is {state or 'missing'}")
        said = scene.run(host.name, ["apt-config", "dump", "APT::Periodic::Unattended-Upgrade"]).out
        expect('"1"' in said, f"{host.name} does not upgrade by itself: {said.strip()!r}")
        said = scene.run(host.name, ["systemd-analyze", "cat-config", "systemd/journald.conf"]).out
        expect("\nSystemMaxUse=1G" in said, f"the journal of {host.name} has no bound of its own")
    return f"{len(scene.hosts)} hosts"
