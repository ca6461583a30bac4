"""The certificates of a relay: which names each holds, and the records that prove them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.directory import DirectoryObject
from model.dns import mta_sts_policy, policy_host
from model.settings import Environment

CHALLENGE_LABEL = "_acme-challenge"
"""Where an authority looks for the proof of a name (RFC 8555 section 8.4)."""

LOCK_LABEL = "lock"
"""The label, in the primary domain, of the name whose challenge record is the relays' lock; no host
has it, so that no authority ever looks there."""

NAMES_LIMIT = 100
"""Names in one certificate (Let's Encrypt, "Rate Limits")."""

POLICY_KEY = "policy/mta-sts.txt"
"""Where the MTA-STS policy that the relays serve lies in the directory's bucket: a policy that
changes with another relay, or another mode, replaces no machine."""

HOST, POLICY = "host", "policy"
"""Lineages, as certbot calls a certificate and those that renew it: Postfix's, and nginx's."""


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """What a relay is told of its certificates: see userdata/machine/gatepost_certificates.py."""

    host: str
    zone: str
    """The id of the hosted zone that holds the relays' lock."""
    lock: str
    lineages: dict[str, tuple[str, ...]]


def of_relay(host: str, domains: Sequence[str], zone: str) -> Certificates:
    """The certificates of the relay `host`; `zone` is the id of the primary domain's zone."""
    return Certificates(
        host=host, zone=zone, lock=lock(domains[0]), lineages=lineages(host, domains)
    )


def policy_object(settings: Environment) -> DirectoryObject:
    """The MTA-STS policy, where the relays fetch it."""
    return DirectoryObject(key=POLICY_KEY, text=mta_sts_policy(settings))


def lineages(host: str, domains: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The names of each certificate of the relay `host`; `domains` are all that take mail.

    The relay's own name is in nginx's, too: it makes the set another on each relay, and only a few
    certificates a week are issued for one and the same set (Let's Encrypt, "Rate Limits"). The
    second one of more than 99 domains is `policy-2`.
    """
    names = [policy_host(domain) for domain in domains]
    room = NAMES_LIMIT - 1
    parts = [names[start : start + room] for start in range(0, len(names), room)]
    policies = {
        POLICY if number == 1 else f"{POLICY}-{number}": (host, *part)
        for number, part in enumerate(parts, start=1)
    }
    return {HOST: (host,), **policies}


def challenge(name: str) -> str:
    """The name of the TXT record that proves a host name."""
    return f"{CHALLENGE_LABEL}.{name}"


def lock(primary: str) -> str:
    """The name of the TXT record that one relay at a time holds while it proves shared names."""
    return challenge(f"{LOCK_LABEL}.{primary}")


def challenges(host: str, domains: Sequence[str]) -> tuple[str, ...]:
    """Every record that the relay `host` must be able to change; the primary domain is first."""
    names = (host, *(policy_host(domain) for domain in domains))
    return (*(challenge(name) for name in names), lock(domains[0]))
