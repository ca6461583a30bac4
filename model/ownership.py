"""Whose a record set of an existing zone is: what stands there, and what the program may write.

A zone that the program shares with others holds a TXT record set at `_gatepost.<domain>` that
lists the record sets of one stack. What is not on that list belongs to somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from model.dns import Record

LABEL = "_gatepost"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A record set as Route 53 lists it; `values` may be what an alias points at."""

    name: str
    type: str
    values: tuple[str, ...]


def plain_name(name: str) -> str:
    """A name of Route 53's list as settings write it: no final dot, octal escapes resolved."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name).rstrip(".").lower()


def owner_record(stack: str, domain: str, records: Iterable[Record]) -> Record:
    """The list of a stack's record sets in the existing zone of `domain`."""
    own = [f"{record.type} {record.name}" for record in records if record.domain == domain]
    return Record(
        domain=domain, name=f"{LABEL}.{domain}", type="TXT", values=(f"stack {stack}", *own)
    )


def collisions(stack: str, domain: str, wanted: Sequence[Record], found: list[Found]) -> list[str]:
    """A sentence for each record set `found` in the zone of `domain` that is in the way.

    `wanted` are the program's records; those of other zones are left out. DNS has no other record
    beside a CNAME (RFC 1034, 3.6.2), so one of somebody else's is in the way of every type.
    """
    listed, problems = _listed(stack, domain, found)
    for record in (record for record in wanted if record.domain == domain):
        for other in found:
            same = other.name == record.name and other.type in (record.type, "CNAME")
            if same and f"{other.type} {other.name}" not in listed:
                problems.append(_sentence(domain, record, other))
    return problems


def _listed(stack: str, domain: str, found: list[Found]) -> tuple[set[str], list[str]]:
    """What the zone's list says is the stack's, and the problem if it is another's."""
    name = f"{LABEL}.{domain}"
    for other in found:
        if (other.name, other.type) != (name, "TXT"):
            continue
        lines = {value.strip('"') for value in other.values}
        if f"stack {stack}" in lines:
            return lines | {f"TXT {name}"}, []
        return {f"TXT {name}"}, [
            f"environment.dns.hosted_zones.{domain}: is in use by another stack, whose record sets "
            f"{name} TXT lists ({', '.join(sorted(lines))}); this one is {stack!r}"
        ]
    return set(), []


def _sentence(domain: str, record: Record, other: Found) -> str:
    advice = "delete it first, or choose another zone"
    if (record.name, other.type) == (domain, "TXT"):
        advice = (
            f"take what must stay into environment.dns.texts.{domain} and spf_includes, "
            "then delete it"
        )
    return (
        f"environment.dns.hosted_zones.{domain}: {other.name} {other.type} is there and not ours: "
        f"{', '.join(other.values)}; {advice}"
    )
