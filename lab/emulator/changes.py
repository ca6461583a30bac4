"""How often the account may have changed: who reads much of it asks that first."""

from __future__ import annotations

import io
import re
from typing import Any
from urllib.parse import parse_qs

PATH = "/moto-api/changes"
"""Where the number is told; moto has what is not AWS's below `/moto-api/` too."""
_READS = re.compile(r"(BatchGet|Describe|Get|Head|List|Search)")
_GIVES = ("GetSessionToken", "GetFederationToken")
"""Of these calls something new comes, whatever their names say (STS API reference)."""


def may_change(environ: dict[str, Any]) -> bool:
    """Whether a request to the emulator may change anything: a call whose name tells nothing may.

    `environ` is WSGI's (PEP 3333); a body that has to be read is put back.
    """
    action = _action(environ)
    if action is None:
        return environ["REQUEST_METHOD"] not in ("GET", "HEAD")
    return action in _GIVES or _READS.match(action) is None


def _action(environ: dict[str, Any]) -> str | None:
    """The action's name, where the protocol gives one: JSON in a header, Query in the body."""
    if target := environ.get("HTTP_X_AMZ_TARGET"):
        return target.rpartition(".")[2]
    if not environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):
        return None
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
