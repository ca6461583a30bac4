#!/usr/bin/python3
"""Tell a block of outbound port 25 from other troubles: one look, started by a timer.

EC2 drops what goes to port 25 until the account's request is granted (EC2 User Guide, "Restriction
on email sent using port 25"): no error comes back, and no API tells. So this looks from outside:
if well-known receivers say nothing at port 25 while HTTPS gets through, the port is blocked. What
is wrong stands in an alarm file while it lasts; the journal hears of its beginning and its end.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from gatepost_alarms import report

SETTINGS = Path("/etc/gatepost/port25.json")
FORM = "https://console.aws.amazon.com/support/contacts?#/rdns-limits"
"""AWS's "Request to remove email sending limitations"."""

SMTP, HTTPS = 25, 443
LIMIT = 10.0
"""Seconds to wait for an answer: Linux sends a lost SYN again after 1, 3 and 7 (RFC 6298)."""
GREETING = 5.0
"""Seconds to wait for a greeting, so that QUIT can be said; nothing depends on it."""
ENOUGH = 2
"""Hosts that must agree before a port counts as blocked: one may be down by itself."""


class Answer(Enum):
    """What an attempt met; a refusal is an answer too, as it came from the other end."""

    SOMETHING = "answers"
    SILENCE = "is silent"
    NO_NAME = "has no address"


@dataclass(frozen=True)
class Settings:
    """What user data tells this program: see userdata/render.py."""

    hosts: list[str]
    """Well-known MX hosts."""
    web: str
    """A host of AWS that serves HTTPS to everyone."""


def attempt(host: str, port: int) -> Answer:
    """Try one port of the first IPv4 address of a host, and take leave politely."""
    try:
        address = socket.gethostbyname(host)
    except socket.gaierror:
        return Answer.NO_NAME
    try:
        with socket.create_connection((address, port), timeout=LIMIT) as connection:
            if port == SMTP:
                _quit(connection)
    except ConnectionRefusedError:
        return Answer.SOMETHING
    except OSError:
        return Answer.SILENCE
    return Answer.SOMETHING


def _quit(connection: socket.socket) -> None:
    # Whatever goes wrong after the connection: that it came to be is all that counts.
    with contextlib.suppress(OSError):
        connection.settimeout(GREETING)
        connection.recv(1024)
        connection.sendall(b"QUIT\r\n")


def look(settings: Settings, attempt: Callable[[str, int], Answer] = attempt) -> str:
    """What is wrong, as a sentence; empty if port 25 is open."""
    wanted = [(host, SMTP) for host in settings.hosts]
    wanted += [(host, HTTPS) for host in (*settings.hosts, settings.web)]
    with ThreadPoolExecutor(max_workers=len(wanted)) as pool:
        answers = dict(zip(wanted, pool.map(lambda pair: attempt(*pair), wanted), strict=True))
    return judge(settings.hosts, answers)


def judge(hosts: Sequence[str], answers: Mapping[tuple[str, int], Answer]) -> str:
    """The sentence for the answers of all hosts by (host, port)."""
    mail = {host: answers[host, SMTP] for host in hosts}
    if Answer.SOMETHING in mail.values():
        return ""
    silent = [host for host, answer in mail.items() if answer is Answer.SILENCE]
    through = [
        host for (host, port), a in answers.items() if port == HTTPS and a is Answer.SOMETHING
    ]
    if len(silent) < ENOUGH:
        nameless = [host for host, answer in mail.items() if answer is Answer.NO_NAME]
        return f"the names of {', '.join(nameless)} do not resolve; mail waits in the queue"
    if not through:
        return (
            f"no network: neither {', '.join(silent)} at port 25 nor any host at port 443 answers; "
            "mail waits in the queue"
        )
    return (
        f"outbound port 25 is blocked: {', '.join(silent)} do not answer there while {through[0]} "
        f"does at port 443. Ask AWS to lift it: {FORM}. Mail waits in the queue"
    )


if __name__ == "__main__":
    report("port25", look(Settings(**json.loads(SETTINGS.read_text()))))
