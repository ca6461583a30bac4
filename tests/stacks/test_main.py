"""The program's entry, which reads a stack file's sections."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_misspelt_section_is_named_before_anything_else_is_read() -> None:
    config = {"gatepost:kind": "environment", "gatepost:enviroment": "{}", "aws:region": "x"}
    done = subprocess.run(
        [sys.executable, "__main__.py"],
        cwd=ROOT,
        env=os.environ | {"PULUMI_CONFIG": json.dumps(config), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "1 problem in the settings" in done.stderr
    assert "gatepost:enviroment: unknown key; did you mean environment?" in done.stderr
