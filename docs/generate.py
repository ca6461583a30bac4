"""Write the pages that follow from the model: `python docs/generate.py`; a test compares them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from model import acl, flows  # noqa: E402
from model.dns_settings import Caa, Dmarc, Dns  # noqa: E402
from model.outbound import Smarthost  # noqa: E402
from model.settings import Branch, Disks, Environment, Hub, Legacy, Office, Relay  # noqa: E402

HEAD = ("from", "to", "port", "why")
NETWORK = IPv4Network("10.1.0.0/16")
SUPERNET = IPv4Network("192.168.0.0/16")
HUB = IPv4Address("10.1.11.5")
LEGACY_SERVER = IPv4Address("172.16.0.25")

UNFILTERED = """\
## What AWS does not filter

Neither groups nor ACLs see the VPC resolver (base address + 2, 169.254.169.253), DHCP, instance
metadata (169.254.169.254), time sync (169.254.169.123) and the subnet's router (VPC User Guide,
"Security groups", "Network ACL basics"). Metadata has a fence on each machine: its own nftables
lets root alone reach it. Groups cannot match names: packages and AWS's services are therefore
HTTPS to anywhere. Of the Region's S3 the gateway endpoint's policy leaves the directory's bucket
alone; buckets of other Regions are HTTPS like all else. A name server that leaks data through the
resolver is not stopped here.
"""


def firewall_page() -> str:
    """The table of flows in every mode, and the DMZ's ACL, as a page."""
    parts = [
        "# The firewall\n\nGenerated from `model/flows.py` and `model/acl.py` by"
        " `docs/generate.py`. What is not in a table does not pass; replies pass by the groups'"
        " state. The check *a probe of every pair of hosts equals the table of flows* compares"
        " this with real packets, *the rules that AWS has are those of the tables, no more and no"
        " fewer* with what the account holds.\n",
        "## An environment\n\n" + _flows(flows.environment_firewall("relay", SUPERNET)),
        *(_difference(outbound=outbound) for outbound in ("direct", "smarthost")),
        "With a server from which the company migrates (`legacy`) there is also the following; from"
        " one with a public address nothing reaches the hub.\n\n"
        + _table(HEAD, _rows(_legacy_flows())),
        "## A branch\n\n" + _flows(flows.branch_firewall(HUB)),
        "## The DMZ's network ACL\n\nStateless, at the border of the DMZ's subnets; here for the"
        f" network {NETWORK} and the branches {SUPERNET}, with `outbound: relay`.\n\n"
        + _acl(acl.dmz_acl("relay", NETWORK, SUPERNET)),
        *(_acl_difference(outbound) for outbound in ("direct", "smarthost")),
        UNFILTERED,
    ]
    return "\n".join(parts)


def settings_page() -> str:
    """Every setting of a stack file, from the model's own words."""
    parts = [
        "# Settings\n\nGenerated from `model/settings.py` by `docs/generate.py`. A stack file has"
        " `gatepost:kind`, and the settings of that kind under `gatepost:environment`,"
        " `gatepost:branch` or `gatepost:office`. A key that is not listed here is refused.\n"
    ]
    for title, cls in (
        ("gatepost:environment", Environment),
        ("gatepost:environment.relays[]", Relay),
        ("gatepost:environment.hub", Hub),
        ("gatepost:environment.dns", Dns),
        ("gatepost:environment.dns.dmarc", Dmarc),
        ("gatepost:environment.dns.caa", Caa),
        ("gatepost:environment.smarthost", Smarthost),
        ("gatepost:environment.legacy[]", Legacy),
        ("disks, of an environment or a branch", Disks),
        ("gatepost:branch", Branch),
        ("gatepost:office", Office),
    ):
        parts.append(f"## {title}\n\n{cls.__doc__}\n\n{_settings(cls)}")
    return "\n".join(parts)


def _difference(*, outbound: str) -> str:
    """What another mode takes out of the first one's table, and what it adds."""
    usual = flows.environment_firewall("relay", SUPERNET).flows
    other = flows.environment_firewall(outbound, SUPERNET).flows
    gone = [row for row in _rows(usual) if row not in _rows(other)]
    new = [row for row in _rows(other) if row not in _rows(usual)]
    return (
        f"With `outbound: {outbound}` this goes:\n\n{_table(HEAD, gone)}\n"
        f"and this comes:\n\n{_table(HEAD, new)}"
    )


def _flows(firewall: flows.Firewall) -> str:
    return _table(HEAD, _rows(firewall.flows))


def _rows(table: Sequence[flows.Flow]) -> list[tuple[str, ...]]:
    return [(f.source, f.destination, f"{f.protocol} {f.port}", f.why) for f in table]


def _legacy_flows() -> list[flows.Flow]:
    """What a server to migrate from adds to the table."""
    usual = flows.environment_firewall("relay", SUPERNET).flows
    other = flows.environment_firewall("relay", SUPERNET, legacy={"old": LEGACY_SERVER}).flows
    return [flow for flow in other if flow not in usual]


def _acl_difference(outbound: str) -> str:
    """The rules that another mode has not; it has no others."""
    usual, other = (acl.dmz_acl(mode, NETWORK, SUPERNET) for mode in ("relay", outbound))
    assert set(other) <= set(usual)
    gone = [
        f"{'out' if rule.egress else 'in'} {rule.number}" for rule in usual if rule not in other
    ]
    return f"With `outbound: {outbound}` there is no {' and no '.join(gone)}.\n"


def _acl(rules: tuple[acl.AclRule, ...]) -> str:
    rows = []
    for rule in sorted(rules, key=lambda rule: (rule.egress, rule.number)):
        what = rule.protocol if rule.protocol != "-1" else "all"
        if rule.ports:
            low, high = rule.ports
            what += f" {low}" if low == high else f" {low} to {high}"
        if rule.icmp:
            kind, code = rule.icmp
            what += f" type {kind}" + (f" code {code}" if code >= 0 else "")
        rows.append(
            (
                "out" if rule.egress else "in",
                str(rule.number),
                "allow" if rule.allow else "deny",
                what,
                str(rule.cidr),
                rule.why,
            )
        )
    return _table(("way", "number", "does", "what", "peer", "why"), rows)


def _settings(cls: type[Any]) -> str:
    rows = []
    for field in dataclasses.fields(cls):
        default = "required"
        if field.default_factory is not dataclasses.MISSING:
            default = ""
        elif field.default is not dataclasses.MISSING:
            default = _default(field.default)
        rows.append((f"`{field.name}`", default, field.metadata["doc"]))
    return _table(("key", "default", "meaning"), rows)


def _default(value: Any) -> str:
    """A default as a stack file would have it; what has parts or is empty speaks for itself."""
    if dataclasses.is_dataclass(value) or value in ("", (), None):
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, tuple("---" for _ in head), *rows)]
    return "\n".join(lines) + "\n"


PAGES = {"firewall.md": firewall_page, "settings.md": settings_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
