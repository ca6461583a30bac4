"""Route 53: record sets checked as the service checks them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from moto.route53.exceptions import Route53ClientError
from moto.route53.models import Route53Backend, route53_backends

LABEL = re.compile(r"^(?!-)[a-z0-9_-]{1,63}(?<!-)$", re.IGNORECASE)
TXT = re.compile(r'^"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*$')
CAA = re.compile(r'^(0|128) (issue|issuewild|iodef) "[^"]*"$')


def public_addresses(name: str, account: str) -> list[str]:
    """The A records of `name` in the account's public zones, from the closest zone."""
    zones = list(route53_backends[account]["aws"].zones.values())
    public = [z for z in zones if not z.private_zone and f".{name}.".endswith(f".{z.name}")]
    for zone in sorted(public, key=lambda zone: -len(zone.name))[:1]:
        for record in zone.rrsets:
            if record.type == "A" and record.name.lower() == f"{name}.":
                return list(record.records)
    return []


def change_resource_record_sets(
    moto: Any, self: Any, zoneid: str, change_list: list[dict[str, Any]]
) -> None:
    """Refuse what ChangeResourceRecordSets refuses and moto accepts; names become lower case."""
    zone = self.get_hosted_zone(zoneid)
    for change in change_list:
        record_set = change["ResourceRecordSet"]
        record_set["Name"] = record_set["Name"].lower().rstrip(".") + "."
        if change["Action"] == "DELETE":
            continue
        _refuse_conflict(zone, change["Action"], record_set, change_list)
        for value in record_set.get("ResourceRecords") or []:
            _check_value(record_set["Name"], record_set["Type"], value["Value"])
    moto(self, zoneid, change_list)


def _refuse_conflict(
    zone: Any, action: str, record_set: dict[str, Any], changes: list[dict[str, Any]]
) -> None:
    name, kind = record_set["Name"], record_set["Type"]
    deleted = {
        (change["ResourceRecordSet"]["Name"], change["ResourceRecordSet"]["Type"])
        for change in changes
        if change["Action"] == "DELETE"
    }
    existing = {r.type for r in zone.rrsets if r.name == name and (name, r.type) not in deleted}
    if action == "CREATE" and kind in existing:
        raise Route53ClientError(
            "InvalidChangeBatch",
            f"[Tried to create resource record set [name='{name}', type='{kind}'] but it already "
            "exists]",
        )
    others = existing - {kind}
    if others and "CNAME" in {kind, *others}:
        raise Route53ClientError(
            "InvalidChangeBatch",
            f"[RRSet of type {kind} with DNS name {name} is not permitted as it conflicts with "
            f"other records with the same DNS name in zone {zone.name}]",
        )


def _check_value(name: str, kind: str, value: str) -> None:
    check = CHECKS.get(kind)
    if check is not None and not check(value):
        raise Route53ClientError(
            "InvalidChangeBatch",
            f"[Invalid Resource Record: value {value!r} of {name} is not valid for type {kind}]",
        )


def is_name(text: str) -> bool:
    """A domain name of at most 255 octets (RFC 1035, 2.3.4); underscores as Route 53 allows."""
    labels = text.rstrip(".").split(".")
    return len(text) <= 255 and all(LABEL.match(label) for label in labels)


def _is_a(value: str) -> bool:
    try:
        return bool(ipaddress.IPv4Address(value))
    except ValueError:
        return False


def _is_aaaa(value: str) -> bool:
    try:
        return ipaddress.IPv6Address(value) is not None
    except ValueError:
        return False


def _is_mx(value: str) -> bool:
    """Preference and host (RFC 1035, 3.3.9), or the null MX of RFC 7505."""
    preference, _, host = value.partition(" ")
    if not preference.isdecimal() or int(preference) > 65535:
        return False
    return value == "0 ." or is_name(host)


def _is_txt(value: str) -> bool:
    """Quoted strings of at most 255 characters each ("TXT record type", Route 53 guide)."""
    if TXT.match(value) is None:
        return False
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', value)
    return all(len(re.sub(r"\\(\d{3}|.)", "x", part)) <= 255 for part in parts)


CHECKS: dict[str, Callable[[str], bool]] = {
    "A": _is_a,
    "AAAA": _is_aaaa,
    "CAA": lambda value: CAA.match(value) is not None,
    "CNAME": is_name,
    "MX": _is_mx,
    "NS": is_name,
    "TXT": _is_txt,
}

CORRECTIONS = ((Route53Backend, "change_resource_record_sets", change_resource_record_sets),)
