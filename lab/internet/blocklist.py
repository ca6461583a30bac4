"""Spamhaus ZEN as the lab's Internet has it: nobody is listed but who is put there on purpose."""

from __future__ import annotations

from lab.faults import Blocklist, Faults
from lab.internet.dns import SERVER, Lines

ZONE = "zen.spamhaus.org."
TTL = 1
"""Seconds, also for what is not listed: a change is seen at once."""

_LISTED = ("127.0.0.2",)
"""SBL ("Spamhaus DNSBL Return Codes")."""
_TEST_ENTRY = ("127.0.0.2", "127.0.0.4", "127.0.0.10")
"""What 127.0.0.2 always gives (RFC 5782 section 5): an entry of each list that ZEN consists of."""
_FOR_ALL: dict[Blocklist, tuple[str, ...]] = {
    "normal": (),
    "nonsense": ("127.255.255.254",),
    "everything": ("127.0.0.1",),
}


def zone_lines(faults: Faults) -> Lines:
    """The whole zone, as lines of a master file."""
    answers = _FOR_ALL[faults.blocklist]
    entries = {f"*.{ZONE}": answers}
    entries |= {_entry(address): answers or _LISTED for address in faults.listed}
    entries[_entry("127.0.0.2")] = answers or _TEST_ENTRY
    return [
        f"{ZONE} {TTL} IN SOA {SERVER} hostmaster.{SERVER} 1 1800 900 604800 {TTL}",
        f"{ZONE} {TTL} IN NS {SERVER}",
        *(f"{name} {TTL} IN A {value}" for name, values in entries.items() for value in values),
    ]


def _entry(address: str) -> str:
    """RFC 5782 section 2.1: the octets backwards."""
    return ".".join(reversed(address.split("."))) + f".{ZONE}"
