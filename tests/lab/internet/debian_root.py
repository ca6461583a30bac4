"""A Debian root in a network namespace, with what a machine is given of the lab's Internet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lab.internet.dnssec import root_key, trust_anchor, trust_anchor_ds
from lab.internet.resolver import SERVED_THOUGH_RESERVED
from lab.machines.image import Images
from lab.machines.trust import Trust, install
from lab.session import cache_folder
from tests.lab.internet.small_internet import Completed, SmallInternet

ENTER = """
set -e
mount -t overlay overlay -o "lowerdir=$1,upperdir=$0/upper,workdir=$0/work" "$0/root"
for name in proc dev sys; do mount --rbind "/$name" "$0/root/$name"; done
shift
exec chroot "$0/root" "$@"
"""


class DebianRoot:
    """The base image and `packages`, as Debian configures them; what is written stays."""

    def __init__(self, internet: SmallInternet, folder: Path, *packages: str) -> None:
        self._internet, self._folder = internet, folder
        self._layers = Images(cache_folder(), print).layer(packages).layers
        for name in ("upper", "work", "root"):
            (folder / name).mkdir(parents=True)
        key = root_key(internet.state / "authority")
        trust = Trust(
            certificate=internet.state / "authority" / "ca.pem",
            root_key=trust_anchor(key),
            root_ds=trust_anchor_ds(key),
            reserved=SERVED_THOUGH_RESERVED,
        )
        install(trust, folder / "upper", self._layers)
        self.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")

    def write(self, path: str, text: str) -> None:
        """Puts a file there before the next `run`."""
        place = self._folder / "upper" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def run(
        self, namespace: str, *command: str, environment: Mapping[str, str] | None = None
    ) -> Completed:
        """A command at an outside host's place in the network; its processes end with it."""
        values = [f"{name}={value}" for name, value in (environment or {}).items()]
        argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ENTER]
        argv += [str(self._folder), ":".join(map(str, self._layers))]
        argv += ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", *values, *command]
        return self._internet.holder.run(argv, netns=namespace, check=False)
