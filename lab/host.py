"""What the lab needs of the host: Linux, root and a few tools, asked for at once and by name.

`python -m lab.host` says what is missing; `python -m lab.host --packages` prints the Debian
packages that bring every tool, one line, for `apt-get install`.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys

from lab.errors import LabError

TOOLS = {
    "ip": "iproute2",
    "kill": "procps",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "sysctl": "procps",
    "unshare": "util-linux",
    "dpkg-deb": "dpkg",
}
"""Each tool the lab runs on the host and the Debian package that brings it."""

EXTRA_PACKAGES = ("debian-archive-keyring",)
"""Needed without being a command: mmdebstrap checks Debian's signatures with it."""

SUPERUSER_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Debian's PATH for root (login(1)); a user's own PATH may lack the sbin folders."""


class HostError(LabError):
    """The host lacks something the lab cannot do without."""


def search_path() -> str:
    """The caller's PATH and what it lacks of root's: under plain su(1) it is a user's still."""
    folders = [*os.environ.get("PATH", "").split(os.pathsep), *SUPERUSER_PATH.split(os.pathsep)]
    return os.pathsep.join(dict.fromkeys(filter(None, folders)))


def packages() -> list[str]:
    """The Debian packages that bring every tool, sorted, each once."""
    return sorted({*TOOLS.values(), *EXTRA_PACKAGES})


def missing() -> list[str]:
    """What the host lacks, one sentence each; empty if the lab can run."""
    if platform.system() != "Linux":
        return [f"The lab needs Linux namespaces, but this is {platform.system()}."]
    problems = _no_root()
    absent = [tool for tool in TOOLS if shutil.which(tool, path=search_path()) is None]
    if absent:
        wanted = " ".join(sorted({TOOLS[tool] for tool in absent}))
        problems.append(f"Not found: {', '.join(absent)}. Install: apt-get install {wanted}")
    return problems


def _no_root() -> list[str]:
    uid = os.geteuid()
    return [f"The lab needs root, but runs as uid {uid}: use sudo."] if uid else []


def require_root() -> None:
    """Raise HostError unless this is root, whose processes alone may enter a lab."""
    if problems := _no_root():
        raise HostError("\n".join(problems))


def require_host() -> None:
    """Raise HostError naming everything that is missing, and how to install it."""
    problems = missing()
    if problems:
        raise HostError("\n".join(problems))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.host", description=__doc__)
    parser.add_argument("--packages", action="store_true", help="print the packages to install")
    if parser.parse_args().packages:
        print(" ".join(packages()))
        return 0
    problems = missing()
    print("\n".join(problems) or "The lab can run here.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
