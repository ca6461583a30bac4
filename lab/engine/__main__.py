"""`python -m lab.engine REQUEST_FILE ANSWER_FILE`: one operation, see `lab.engine.run`."""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    # All that is imported stays: to look through it for garbage takes a sixth of the start.
    gc.disable()
    from lab.engine import run

    run.main(*sys.argv[1:])
