"""`python -m lab.provider ENGINE_ADDRESS`, as Pulumi's engine starts a resource plugin."""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    # As in lab.engine: it lives for one operation.
    gc.disable()
    from lab.provider import serve

    serve.main(sys.argv[1:])
