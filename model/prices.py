"""The fixed monthly cost of a stack, from a small dated table.

Traffic, requests, snapshots and taxes come on top: they depend on use. S3, peering, gateway
endpoints and Connect endpoints have no fixed price.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.dns import zone_domains
from model.settings import TRANSIT_GATEWAY, Branch, Disks, Environment

REGION = "us-east-1"
AS_OF = f"{REGION}, on demand, USD, noted 2026-11"
SOURCE = "AWS's public price pages, at second hand: look there before you budget"

HOURS = 730
"""Hours of a month, as AWS's own calculator counts."""

INSTANCES = {
    "t4g.micro": 0.0084,
    "t4g.small": 0.0168,
    "t4g.medium": 0.0336,
    "t4g.large": 0.0672,
    "t3.micro": 0.0104,
    "t3.small": 0.0208,
    "t3.medium": 0.0416,
    "t3.large": 0.0832,
}
"""An hour of each instance type."""
NAT_GATEWAY = 0.045
"""An hour; each GB through it is another 0.045."""
TRANSIT_ATTACHMENT = 0.05
"""An hour of what is attached to a Transit Gateway; each GB that it sends is another 0.02."""
VPN_CONNECTION = 0.05
"""An hour of a site-to-site VPN connection."""
PUBLIC_ADDRESS = 0.005
"""An hour of a public IPv4 address, in use or not."""
GP3 = 0.08
"""A month of one GiB."""
KEY = 1.0
ZONE = 0.5
"""A month of a KMS key, of a hosted zone."""

ROOT_DISK = 8
"""GiB of each host's root volume; Debian with Postfix and its logs takes some 3."""

CERTIFICATES_DISK = 1
"""GiB of a relay's volume for its certificates, some hundred kilobytes: the least that gp3 has."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """So many of one thing and their price a month in USD, None where the table has none."""

    what: str
    count: int
    price: float | None


def environment_cost(settings: Environment) -> list[Item]:
    """What an environment costs each month whether or not mail flows."""
    nats = len(settings.nat_zones)
    hosts = [*settings.relays, settings.hub]
    types = [host.instance_type or settings.instance_type for host in hosts]
    disks = settings.disks
    gibibytes = len(hosts) * (ROOT_DISK + disks.queue) + disks.mail
    gibibytes += len(settings.relays) * CERTIFICATES_DISK
    new_zones = set(zone_domains(settings)) - set(settings.dns.hosted_zones)
    return [
        *_instances(types),
        _item("NAT gateway", nats, NAT_GATEWAY * HOURS),
        _item("public IPv4 address", len(settings.relays) + nats, PUBLIC_ADDRESS * HOURS),
        _item("GiB of gp3", gibibytes, GP3),
        _item("KMS key", 2 + settings.dns.dnssec, KEY),
        _item("hosted zone", len(new_zones), ZONE),
        *_attachment(settings.branch_link),
    ]


def office_cost() -> list[Item]:
    """What an office that is not on AWS costs each month there."""
    return [
        _item("VPN connection", 1, VPN_CONNECTION * HOURS),
        *_attachment(TRANSIT_GATEWAY),
    ]


def branch_cost(settings: Branch, link: str) -> list[Item]:
    """What a branch costs each month, joined by `link`."""
    nats = int(settings.way_out == "nat")
    return [
        *_instances([settings.instance_type]),
        *([_item("NAT gateway", nats, NAT_GATEWAY * HOURS)] if nats else []),
        _item("public IPv4 address", 1, PUBLIC_ADDRESS * HOURS),
        _item("GiB of gp3", _gibibytes(settings.disks), GP3),
        _item("KMS key", 1, KEY),
        *_attachment(link),
    ]


def _attachment(link: str) -> list[Item]:
    if link != TRANSIT_GATEWAY:
        return []
    return [_item("transit gateway attachment", 1, TRANSIT_ATTACHMENT * HOURS)]


def describe(items: list[Item], region: str) -> str:
    """The items as a table, with their sum and where the prices are from, if not from `region`."""
    lines = [
        f"  {item.count:5} x {item.what:26} "
        + (f"{item.price:9.2f}" if item.price is not None else "  not in the table")
        for item in items
    ]
    total = sum(item.price or 0 for item in items)
    missing = any(item.price is None for item in items)
    sum_line = f"  {'fixed cost a month':34} {total:9.2f}" + (" and more" if missing else "")
    elsewhere = f"; this stack is in {region}, where others hold" if region != REGION else ""
    return "\n".join([f"prices: {AS_OF} ({SOURCE}){elsewhere}", *lines, sum_line])


def _gibibytes(disks: Disks) -> int:
    return ROOT_DISK + disks.queue + disks.mail


def _item(what: str, count: int, each: float) -> Item:
    return Item(what=what, count=count, price=count * each)


def _instances(types: list[str]) -> list[Item]:
    items = []
    for kind in sorted(set(types)):
        count, hourly = types.count(kind), INSTANCES.get(kind)
        price = None if hourly is None else count * hourly * HOURS
        items.append(Item(what=kind, count=count, price=price))
    return items
