"""Requests to this machine itself go to it, whatever proxy the caller's environment names."""

from __future__ import annotations

from collections.abc import Mapping

LOCAL = ("127.0.0.1", "localhost")
ALL = "*"
"""No proxy for anything; only when it stands alone (urllib.request.proxy_bypass_environment)."""


def unproxied(caller: Mapping[str, str]) -> dict[str, str]:
    """NO_PROXY in both spellings, since some read one and some the other.

    Holds what the caller has in either.
    """
    had = ",".join(caller.get(name, "") for name in ("no_proxy", "NO_PROXY")).split(",")
    names = [name for name in map(str.strip, had) if name]
    value = ALL if ALL in names else ",".join(dict.fromkeys([*names, *LOCAL]))
    return {"NO_PROXY": value, "no_proxy": value}
