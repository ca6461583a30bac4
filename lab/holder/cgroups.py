"""Control groups of a lab: one folder per lab in the cgroup2 hierarchy, one below per machine.

The hierarchy is mounted anew wherever it is needed: hosts with the old hybrid layout have it in
another place, and some have not mounted it at all, but there is only ever one (cgroups(7)).
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

REMOVE = """
mount -t cgroup2 cgroup2 /mnt
[ ! -d "/mnt/$1" ] || find "/mnt/$1" -depth -type d -exec rmdir {} +
"""


def lab_group(state: Path) -> str:
    """The folder of the lab whose state is in `state`; other labs have others."""
    return "gatepost-" + hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]


def remove(group: str) -> str | None:
    """Remove a folder with all below; None if it is gone, else what stood in the way.

    The kernel refuses while a process is left in it, which takes a moment after its death.
    """
    result = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", REMOVE, "sh", group],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if result.returncode == 0 else result.stderr.strip()
