"""What is in the lab's base image: Debian 13 in the likeness of Debian's own EC2 image.

The likeness follows https://salsa.debian.org/cloud-team/debian-cloud-images (config_space, classes
EC2, CLOUD and SYSTEM_BOOT). Left out is what a machine without a kernel, a disk and a console of
its own cannot use, and what only takes time at boot: the boot loader, netplan (cloud-init writes
systemd-networkd's files itself), chrony, unattended-upgrades, the AWS CLI.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import yaml

SUITE = "trixie"

PACKAGES = (
    *("systemd", "systemd-sysv", "systemd-resolved", "libnss-resolve", "libnss-myhostname"),
    *("libpam-systemd", "dbus", "udev", "sudo", "openssh-server", "cloud-init", "python3"),
    *("ca-certificates", "curl", "iproute2", "iptables", "iputils-ping", "netbase", "procps"),
    *("e2fsprogs", "less", "locales", "tzdata"),
)

FILES = {
    "/etc/cloud/cloud.cfg.d/90_dpkg.cfg": "datasource_list: [ Ec2 ]\n",
    "/etc/cloud/cloud.cfg.d/99_lab.cfg": """\
# One kind of host key instead of three: making an RSA key takes as long as the rest of a boot.
ssh_genkeytypes: [ed25519]
# There is no disk to grow, no console to write keys to and no udev to announce new interfaces.
growpart: {mode: "off"}
resize_rootfs: false
ssh: {emit_keys_to_console: false}
updates: {network: {when: [boot-new-instance]}}
# Without this the name instance-data. is looked up first, for seconds, before there is any DNS.
datasource: {Ec2: {metadata_urls: ["http://169.254.169.254"], strict_id: true}}
""",
    # As netplan has it by default: DHCP's domain is a search domain.
    "/etc/systemd/networkd.conf.d/10-domains.conf": "[Network]\nUseDomains=yes\n",
    # A VPC carries no multicast, so that nobody ever answers: this only saves the wait.
    "/etc/systemd/resolved.conf.d/10-llmnr.conf": "[Resolve]\nLLMNR=no\n",
    # As in the EC2 image, there by an initramfs script (no-v6-dad.sh).
    "/etc/sysctl.d/10-no-v6-dad.conf": "-net.ipv6.conf.*.accept_dad = 0\n",
    "/etc/default/locale": "LANG=C.UTF-8\n",
    "/etc/hostname": "localhost\n",
}

ADMIN_GROUPS = ("adm", "audio", "cdrom", "dialout", "dip", "floppy", "plugdev", "sudo", "video")

APPENDED = {
    # RFC 2131 has clients wait at random for some seconds lest they all start at once.
    "/etc/dhcpcd.conf": "nodelay\n",
}

MASKED = (
    # Maintenance that would start at a moment of its own choosing, in the middle of a test.
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "systemd-tmpfiles-clean.timer"),
    # Rebuilds caches that the image already has.
    *("ldconfig.service", "systemd-hwdb-update.service", "systemd-update-done.service"),
    *("systemd-journal-catalog-update.service", "systemd-sysusers.service"),
    # Hardware, kernel and console of which a namespace has none.
    *("systemd-modules-load.service", "systemd-pstore.service", "systemd-binfmt.service"),
    *("systemd-udevd.service", "systemd-udev-trigger.service", "systemd-tpm2-setup.service"),
    *("systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "sys-kernel-config.mount"),
    *("getty.target", "console-getty.service", "dev-hugepages.mount", "dev-mqueue.mount"),
    *("systemd-ask-password-wall.path", "systemd-ask-password-console.path"),
    *("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount"),
    *("proc-sys-fs-binfmt_misc.automount", "systemd-remount-fs.service"),
    # Sockets of features that nothing here calls; each costs a little at every boot.
    *("systemd-creds.socket", "systemd-pcrextend.socket", "systemd-pcrlock.socket"),
    *("systemd-sysext.socket", "systemd-initctl.socket", "cloud-init-hotplugd.socket"),
)


def fingerprint() -> str:
    """All that decides what the image holds, apart from the date of Debian's archive."""
    return json.dumps([SUITE, PACKAGES, FILES, APPENDED, MASKED, _cloud_config("host"), _sources()])


def customise(root: Path) -> None:
    """Make a bare Debian of PACKAGES at `root` the likeness; raises CalledProcessError."""
    host = _default_mirror_host(root)
    config = _cloud_config(host)
    files = {
        **FILES,
        "/etc/cloud/cloud.cfg.d/01_debian_cloud.cfg": yaml.safe_dump(config),
        "/etc/apt/sources.list": "# See /etc/apt/sources.list.d/debian.sources\n",
        "/etc/apt/sources.list.d/debian.sources": _sources(),
    }
    # cloud-init writes these two at each boot; the image has them so that they can be read here.
    mirrors = config["system_info"]["package_mirrors"][0]["failsafe"]
    files["/etc/apt/mirrors/debian.list"] = mirrors["primary"] + "\n"
    files["/etc/apt/mirrors/debian-security.list"] = mirrors["security"] + "\n"
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    for name, content in APPENDED.items():
        with (root / name.lstrip("/")).open("a") as file:
            file.write(content)
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    _chroot(root, ["systemctl", "enable", "systemd-networkd.service"])


def _default_mirror_host(root: Path) -> str:
    """The archive that Debian's cloud-init package names."""
    config = yaml.safe_load((root / "etc/cloud/cloud.cfg").read_text())
    return urlsplit(config["system_info"]["package_mirrors"][0]["failsafe"]["primary"]).netloc


def _cloud_config(host: str) -> dict:
    """01_debian_cloud.cfg as Debian's EC2 image has it."""
    mirror = f"https://cdn-aws.{host}"
    return {
        "apt": {"generate_mirrorlists": True},
        "system_info": {
            "default_user": {
                "name": "admin",
                "lock_passwd": True,
                "gecos": "Debian",
                "groups": list(ADMIN_GROUPS),
                "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
                "shell": "/bin/bash",
            },
            "package_mirrors": [
                {
                    "arches": ["default"],
                    "failsafe": {
                        "primary": f"{mirror}/debian",
                        "security": f"{mirror}/debian-security",
                    },
                }
            ],
        },
    }


def _sources() -> str:
    """debian.sources as Debian's EC2 image has it, but trusting the lab's unsigned mirror."""

    def stanza(mirrors: str, suites: str) -> str:
        return (
            f"Types: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/{mirrors}.list\n"
            f"Suites: {suites}\nComponents: main\n"
            "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\nTrusted: yes\n"
        )

    main = stanza("debian", f"{SUITE} {SUITE}-updates {SUITE}-backports")
    return main + "\n" + stanza("debian-security", f"{SUITE}-security")


def _chroot(root: Path, argv: list[str]) -> None:
    subprocess.run(["chroot", str(root), *argv], check=True, capture_output=True)
