"""The public DNS records that follow from the settings, and the MTA-STS policy beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from model.dns_settings import OUTBOUND_LABEL, POLICY_LABEL
from model.outbound import DIRECT, RELAY
from model.people import ROLES
from model.settings import Environment

TTL = 300
"""Seconds; short enough that a moved Elastic IP is found within minutes."""

PREFERENCE = 10
"""The MX preference of every relay: equal, so that senders spread (RFC 5321 section 5.1)."""

STRING = 255
"""The most octets of one string of a TXT record (RFC 1035 section 3.3)."""

POLICY_AGE = {"testing": 86_400, "enforce": 604_800, "none": 86_400}
"""Seconds for which senders keep the MTA-STS policy of each mode: a week, as RFC 8461 (section
3.2) wants weeks against an attacker who blocks its renewal; a day while it may be taken back."""

MTA_STS_LABEL = "_mta-sts"
"""Where senders learn that a domain has a policy, and which (RFC 8461 section 3.1)."""

DANE_PARAMETERS = "3 1 1"
"""Usage, selector and matching type of TLSA: the host's own key by SHA-256 (RFC 7672, 3.1.1)."""

Entry = tuple[str, str, Sequence[str]]
"""The name, type and values of a record set."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record set in the zone of `domain`; `name` has no final dot, TXT values are plain text."""

    domain: str
    name: str
    type: str
    values: tuple[str, ...]

    def route53_values(self) -> list[str]:
        """The values as the `records` of Pulumi's aws.route53.Record want them."""
        return [text_value(value) if self.type == "TXT" else value for value in self.values]


def zone_domains(settings: Environment) -> tuple[str, ...]:
    """The domains that have a zone: those in the settings' existing ones, and those that lie
    beneath no other domain; the others' records stand in the zone above."""
    domains = settings.every_domain

    def lies_within(domain: str) -> bool:
        return any(domain.endswith(f".{other}") for other in domains)

    return tuple(
        domain
        for domain in domains
        if domain in settings.dns.hosted_zones or not lies_within(domain)
    )


def outbound_name(primary: str) -> str:
    """The name of the NAT gateway's address, which the hub gives as HELO in `direct` mode."""
    return f"{OUTBOUND_LABEL}.{primary}"


def policy_host(domain: str) -> str:
    """The name at which every relay serves the MTA-STS policy of `domain` (RFC 8461, 3.3)."""
    return f"{POLICY_LABEL}.{domain}"


def exits(settings: Environment, relays: Mapping[str, str], nat: str) -> dict[str, str]:
    """The addresses from which mail leaves to the Internet, by the name given as EHLO.

    `relays` are the relays' addresses by name, `nat` is that of the hub's NAT gateway. A relay
    sends mail (`relay` mode) or at least bounces (`direct`); with a smarthost nothing leaves but
    by that one. Around a change of mode those of both are named.
    """
    ways = {settings.outbound, *settings.dns.also_leaves_by}
    return {
        **(relays if ways & {RELAY, DIRECT} else {}),
        **({outbound_name(settings.domains[0]): nat} if DIRECT in ways else {}),
    }


def reverse_names(settings: Environment, relays: Mapping[str, str], nat: str) -> dict[str, str]:
    """The addresses that have a reverse name, by that name: the relays', and every exit's."""
    return {**relays, **exits(settings, relays, nat)}


def records(settings: Environment, relays: Mapping[str, str], nat: str) -> tuple[Record, ...]:
    """All records of the public zones; `relays` and `nat` are as for `exits`.

    Which there are, their names and types, does not depend on the addresses. No host inside has
    one, but for the outbound name where mail leaves, or may, in `direct` mode.
    """
    zones = zone_domains(settings)
    leaving = exits(settings, relays, nat)
    entries = [*_host_entries(settings, relays, leaving)]
    for domain in settings.every_domain:
        entries += _domain_entries(settings, domain, leaving)
        if settings.delegated:
            entries += _policy_entries(settings, domain, relays)
        entries += _issuer_entries(settings, domain)
    return tuple(
        Record(domain=zone_of(name, zones), name=name, type=kind, values=tuple(values))
        for name, kind, values in entries
    )


def spf(addresses: Sequence[str], includes: Sequence[str] = ()) -> str:
    """An SPF policy (RFC 7208): passes `addresses` (IPv4) and `includes`, fails everyone else."""
    terms = [f"ip4:{address}" for address in addresses] + [f"include:{name}" for name in includes]
    return " ".join(["v=spf1", *terms, "-all"])


def mta_sts_policy(settings: Environment) -> str:
    """The MTA-STS policy (RFC 8461 section 3.2), the same for every domain; lines end in CRLF."""
    mode = settings.dns.mta_sts
    lines = ["version: STSv1", f"mode: {mode}"]
    lines += [f"mx: {host}" for host in settings.relay_hosts]
    lines.append(f"max_age: {POLICY_AGE[mode]}")
    return "".join(f"{line}\r\n" for line in lines)


def mta_sts_id(settings: Environment) -> str:
    """The id of the MTA-STS policy, which the DNS tells."""
    return policy_id(mta_sts_policy(settings))


def policy_id(policy: str) -> str:
    """What tells one policy from the next: up to 32 letters and digits (RFC 8461 section 3.1)."""
    return hashlib.sha256(policy.encode()).hexdigest()[:32]


def text_value(text: str) -> str:
    """A TXT record's text within the quotes that Pulumi's provider puts around it.

    Strings of at most 255 octets, divided by `" "`; a quote or backslash gets a backslash (Route
    53 Developer Guide, "TXT record type").
    """
    strings = [text[start : start + STRING] for start in range(0, len(text), STRING)] or [""]
    return '" "'.join(part.replace("\\", "\\\\").replace('"', '\\"') for part in strings)


def zone_of(name: str, zones: Sequence[str]) -> str:
    """The one of `zones` in which a name's records stand: the longest that it lies in."""
    return max((z for z in zones if name == z or name.endswith(f".{z}")), key=len)


def _host_entries(
    settings: Environment, relays: Mapping[str, str], leaving: Mapping[str, str]
) -> Iterator[Entry]:
    """Each public host: its address, and SPF for mail whose sender is null (RFC 7208, 2.4)."""
    for host, address in {**relays, **leaving}.items():
        yield host, "A", [address]
        yield host, "TXT", [spf([address] if host in leaving else [])]
    for relay in settings.relays:
        if relay.tlsa:
            digests = [f"{DANE_PARAMETERS} {digest}" for digest in relay.tlsa]
            yield f"_25._tcp.{relay.host}", "TLSA", digests


def _domain_entries(
    settings: Environment, domain: str, leaving: Mapping[str, str]
) -> Iterator[Entry]:
    dns = settings.dns
    yield domain, "MX", [f"{PREFERENCE} {host}." for host in settings.relay_hosts]
    others = [str(network) for network in settings.senders_outside]
    policy = spf([*leaving.values(), *others], dns.includes)
    yield domain, "TXT", [policy, *dns.texts.get(domain, ())]
    for selector, key in dns.dkim.items():
        yield f"{selector}._domainkey.{domain}", "TXT", [key]
    yield f"_dmarc.{domain}", "TXT", [_dmarc(settings)]
    reports_to = dns.dmarc.reports.rpartition("@")[2]
    if domain != reports_to and reports_to in settings.every_domain:
        # Reports about a domain go to another one only if that one agrees (RFC 7489 section 7.1).
        yield f"{domain}._report._dmarc.{reports_to}", "TXT", ["v=DMARC1"]
    if dns.tls_reports:
        yield f"_smtp._tls.{domain}", "TXT", [f"v=TLSRPTv1; rua=mailto:{dns.tls_reports}"]


def _dmarc(settings: Environment) -> str:
    dmarc = settings.dns.dmarc
    reports = [f"rua=mailto:{dmarc.reports}"] if dmarc.reports else []
    return "; ".join(["v=DMARC1", f"p={dmarc.policy}", f"sp={dmarc.subdomains}", *reports])


def _policy_entries(
    settings: Environment, domain: str, relays: Mapping[str, str]
) -> Iterator[Entry]:
    yield policy_host(domain), "A", [*relays.values()]
    yield f"{MTA_STS_LABEL}.{domain}", "TXT", [f"v=STSv1; id={mta_sts_id(settings)};"]


def _issuer_entries(settings: Environment, domain: str) -> Iterator[Entry]:
    """CAA holds for all names beneath: in a zone with other tenants only at our own names."""
    caa = settings.dns.caa
    reports = caa.reports or f"{ROLES[0]}@{settings.domains[0]}"
    values = [f'0 issue "{issuer}"' for issuer in caa.issuers] + [f'0 iodef "mailto:{reports}"']
    if zone_of(domain, zone_domains(settings)) not in settings.dns.hosted_zones:
        yield domain, "CAA", values
        return
    yield policy_host(domain), "CAA", values
    if domain == settings.domains[0]:
        for host in settings.relay_hosts:
            yield host, "CAA", values
