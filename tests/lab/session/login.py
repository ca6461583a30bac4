"""A smarthost in a stack's settings, and its login as an administrator stores it."""

from __future__ import annotations

import subprocess
import sys

from lab.internet.smarthost import PASSWORD, SELECTOR, USER, dkim_record
from lab.reality import aws_environment
from tests.lab.session.bench import Bench, edit

LOGIN = f"{USER}:{PASSWORD}"
LOOK_LIMIT = 90.0
"""Seconds within which a changed login is in force: the hub looks every minute."""
MODE = """\
    outbound: smarthost
    smarthost: {host: email-smtp.us-east-1.amazonaws.com}
"""
DNS = f"""\
    dns:
      spf_includes: [amazonses.com]
      dkim: {{{SELECTOR}: {dkim_record()!r}}}
"""


def use_smarthost(bench: Bench, stack: str) -> None:
    """Change an environment's stack file from `relay` to `smarthost`."""
    file = bench.lab.project / "stacks" / f"Pulumi.{stack}.yaml"
    mode = "    outbound: relay\n"
    if "    dns:\n" in file.read_text():
        edit(file, "    dns:\n", DNS)
        edit(file, mode, MODE)
    else:
        edit(file, mode, MODE + DNS)


def put(bench: Bench, stack: str, login: str) -> subprocess.CompletedProcess[str]:
    """`gatepost secret put`, as an administrator does it, against the lab's account."""
    record = bench.lab.record
    environment = aws_environment(record["region"], record["endpoint"])
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "secret", "put", stack, "smarthost"],
        cwd=bench.lab.project,
        input=f"{login}\n",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
