"""Runs the tools that build the network: `ip`, `nft` and `sysctl`, each in a namespace."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.network.errors import CommandError

NAMESPACES = Path("/run/netns")
"""Where `ip netns` keeps the names of network namespaces (ip-netns(8))."""

_LIMIT = 60
"""Seconds until a tool counts as hung; each needs milliseconds."""
_FAILED_LINE = re.compile(r"Command failed -:(\d+)")


def ip(commands: Sequence[str], namespace: str | None = None) -> None:
    """Run `ip` commands in their order, in `namespace` or where the caller is.

    Raises:
        CommandError: a command failed; it and those after it had no effect.
    """
    if not commands:
        return
    where = ["-n", namespace] if namespace else []
    result = _run(["ip", *where, "-batch", "-"], "\n".join(commands))
    if result.returncode == 0:
        return
    line = _FAILED_LINE.search(result.stderr)
    done = int(line[1]) - 1 if line else 0
    raise CommandError(
        f"in {namespace or 'the lab'}: `ip {commands[done]}` failed: "
        f"{_FAILED_LINE.sub('', result.stderr).strip()}",
        done=done,
    )


def nft(text: str, namespace: str) -> None:
    """Load nftables text in `namespace`, all of it or nothing.

    Raises:
        CommandError: the text was refused.
    """
    _inside(namespace, ["nft", "-f", "-"], text)


def sysctl(settings: Sequence[str], namespace: str) -> None:
    """Set kernel settings (`name=value`) in `namespace`.

    Raises:
        CommandError: a setting is not known or its value was refused.
    """
    _inside(namespace, ["sysctl", "--quiet", "--load=-"], "\n".join(settings))


def _inside(namespace: str, argv: list[str], text: str) -> None:
    result = _run(["nsenter", f"--net={NAMESPACES / namespace}", *argv], text)
    if result.returncode != 0:
        raise CommandError(
            f"in {namespace}: `{' '.join(argv)}` failed: {result.stderr.strip()}", done=0
        )


def _run(argv: list[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            argv, input=text, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CommandError(f"`{' '.join(argv)}` could not be run: {error}", done=0) from error
