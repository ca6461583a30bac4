"""What a host needs to send: the smarthost's login, and an eye on outbound port 25."""

from __future__ import annotations

import json
from typing import Any

from model.mail import Postfix
from userdata.files import entry

SMARTHOST = "/var/lib/gatepost-smarthost"
"""Where the program that fetches the login keeps Postfix's tables."""

SASL = ("libsasl2-modules",)
"""Debian's package of the mechanisms PLAIN and LOGIN."""


def packages(postfix: Postfix) -> tuple[str, ...]:
    """Debian packages of this host beside those that every host has."""
    return SASL if postfix.login else ()


def files(postfix: Postfix, *, region: str, login: str) -> tuple[dict[str, Any], ...]:
    """Entries of write_files; `login` is the parameter that holds the login at the smarthost."""
    found = []
    if postfix.login:
        asked = {"region": region, "parameter": login, "nexthop": postfix.outside[0]}
        found.append(entry("/etc/gatepost/secrets.json", _json(asked)))
    if postfix.verifies:
        probes = {"hosts": postfix.port25_probes, "web": f"ssm.{region}.amazonaws.com"}
        found.append(entry("/etc/gatepost/port25.json", _json(probes)))
    return tuple(found)


def enabled(postfix: Postfix) -> tuple[str, ...]:
    """Units that run from now on, at each boot."""
    return (
        *(("gatepost-port25.timer",) if postfix.verifies else ()),
        *(("gatepost-secrets.service", "gatepost-secrets.timer") if postfix.login else ()),
    )


def steps(postfix: Postfix) -> tuple[str, ...]:
    """What begins now, before Postfix is started."""
    units = enabled(postfix)
    return (f"systemctl start {' '.join(units)}",) if units else ()


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"
