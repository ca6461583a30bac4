"""What hosts are told, rendered for tests: main.cf and master.cf by parameter and service."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any

from model import mail
from model.outbound import Smarthost
from model.settings import Environment
from userdata import render

VOLUMES = {"queue": "vol-0a", "mail": "vol-0b"}


def directory(role: str) -> render.Directory:
    return render.Directory(
        role=role,
        bucket="b",
        region="us-east-1",
        owner="environment",
        domains=("example.jp",),
        branches="192.168.0.0/16",
        hub="10.1.11.5",
    )


def hosts(settings: Environment) -> dict[str, mail.Postfix]:
    return {
        "relay": mail.relay(
            settings, "dmz-ms.example.jp", IPv4Address("10.1.11.5"), "198.51.100.1"
        ),
        "hub": mail.hub(settings, IPv4Address("10.1.11.5")),
        "branch": mail.branch(
            "ms2.example.jp", "192.168.10.5", settings.domains, "10.1.11.5", "ms.example.jp"
        ),
    }


def parameters(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not any(line[0].isspace() for line in lines), "every parameter is one line"
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition("=")
        assert name.strip() not in found, "no parameter is given twice"
        found[name.strip()] = value.strip()
    return found


def services(text: str) -> dict[str, dict[str, str]]:
    """The options of each service of a master.cf, by name and program."""
    found: dict[str, dict[str, str]] = {}
    service = ""
    for line in text.splitlines():
        if line.startswith("  -o "):
            name, _, value = line.removeprefix("  -o ").partition("=")
            found[service][name] = value
        elif line and not line.startswith("#"):
            fields = line.split()
            assert len(fields) == 8, line
            service = f"{fields[0]} {fields[7]}"
            assert service not in found, "no service is given twice"
            found[service] = {}
    return found


def master(settings: Environment, role: str) -> dict[str, dict[str, str]]:
    return services(render.postfix_files(hosts(settings)[role])["master.cf"])


def smarthost(settings: Environment, **changes: Any) -> Environment:
    """The same environment that sends by a smarthost."""
    wanted = Smarthost(host="smtp.example.net", **changes)
    return replace(settings, outbound="smarthost", smarthost=wanted)
