"""`python -m lab.provider ENGINE_ADDRESS`, as Pulumi's engine starts a resource plugin."""

from __future__ import annotations

import sys

from lab.provider import serve

if __name__ == "__main__":
    serve.main(sys.argv[1:])
