"""The stand-in `aws` provider as a resource plugin in the engine's plugin cache."""

from __future__ import annotations

import importlib.metadata
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the package `lab`."""


def install_provider(home: Path) -> Path:
    """Write the plugin into `home` (PULUMI_HOME) and return its folder.

    From the plugin cache the engine starts it without a warning, unlike from PATH. The version is
    that of pulumi_aws here, which is the one the program asks for.
    """
    folder = home / "plugins" / f"resource-aws-v{importlib.metadata.version('pulumi-aws')}"
    folder.mkdir(parents=True, exist_ok=True)
    # -P: the engine starts plugins in the program's folder, whose modules must not be found.
    command = f"exec {shlex.quote(sys.executable)} -P -m lab.provider"
    script = f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} {command} "$@"\n'
    executable = folder / "pulumi-resource-aws"
    if not executable.exists() or executable.read_text() != script:
        executable.write_text(script)
        executable.chmod(0o755)
    return folder
