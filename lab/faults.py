"""What the lab breaks on purpose; kept with its state: `apply` leaves it, `down` ends it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from lab.errors import LabError
from lab.internet.plan import SMARTHOST

Blocklist = Literal["normal", "nonsense", "everything"]
"""How the DNS blocklist answers: as it should; to every query with 127.255.255.254, as Spamhaus
answers public resolvers ("Spamhaus DNSBL Return Codes"); or with 127.0.0.1, as a list may that has
been given up."""

EVERY_HOST = "all"
NAT_IDLE = 350
"""Seconds after which a NAT gateway forgets an idle flow (VPC User Guide, "NAT gateway basics")."""


class FaultError(LabError):
    """A fault that the lab cannot make."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Nothing is broken unless said so.

    `port_25` holds the instances' names whose packets to public addresses on that port vanish, or
    `all`: so EC2 treats an account until asked not to (EC2 User Guide, "Restriction on email sent
    using port 25"). `nat_idle` in seconds. `listed` are the addresses that the blocklist lists.
    `wrong_certificate` holds the outside mail hosts that show one that nobody should accept. With
    `null_sender_refused` the smarthost takes no bounces, as Amazon SES does. A `smarthost_plain`
    offers a login without TLS, as who sits on the way to the real one would. While `undelegated`
    the registrar has delegated none of the account's zones: nobody on the Internet finds them. With
    `dns_remembered` the outside hosts' resolvers keep what they know for its TTL, as anyone's do,
    when the DNS changes; a lab that is in a hurry has them forget it at once.
    """

    port_25: tuple[str, ...] = ()
    nat_idle: int = NAT_IDLE
    blocklist: Blocklist = "normal"
    listed: tuple[str, ...] = ()
    wrong_certificate: tuple[str, ...] = ()
    null_sender_refused: bool = False
    smarthost_plain: bool = False
    undelegated: bool = False
    dns_remembered: bool = False

    def __post_init__(self) -> None:
        """Raises FaultError if a value means nothing."""
        if self.blocklist not in get_args(Blocklist):
            raise FaultError(
                f"blocklist {self.blocklist!r}: must be one of {', '.join(get_args(Blocklist))}"
            )
        if not 1 <= self.nat_idle <= NAT_IDLE:
            raise FaultError(f"nat-idle {self.nat_idle}: must be 1 to {NAT_IDLE} seconds")
        if self.smarthost_plain and SMARTHOST.namespace in self.wrong_certificate:
            raise FaultError("smarthost-plain: without TLS no certificate is shown, right or wrong")

    def blocks_port_25(self, name: str) -> bool:
        """Whether the instance of that name is cut off."""
        return bool({EVERY_HOST, name} & set(self.port_25))

    def made(self) -> dict[str, object]:
        """What differs from a sound lab."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) != each.default
        }


SOUND = Faults()
"""A lab in which nothing is broken."""


def faults_file(state: Path) -> Path:
    """Where a lab with its files in `state` keeps its faults; absent while nothing is broken."""
    return state / "faults.json"


def read_faults(file: Path) -> Faults:
    """The faults in a file; none if there is none."""
    return parse_faults(file.read_text()) if file.exists() else SOUND


def parse_faults(text: str) -> Faults:
    """The faults in a file's content; none in an empty one."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(text or "{}").items()
    }
    return Faults(**values)


def write_faults(faults: Faults, file: Path) -> None:
    """Puts the faults in place at once, never half of them."""
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(faults)))
    partial.replace(file)
