"""What a stack file says about public names: zones, policies, keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from model import fields
from model.fields import setting
from model.outbound import DIRECT, RELAY
from model.people import address

OUTBOUND_LABEL = "out"
"""The label, in the primary domain, of the name under which the hub sends in `direct` mode."""

POLICY_LABEL = "mta-sts"
"""The label, in every domain, of the host that serves its MTA-STS policy (RFC 8461, 3.3)."""

KMS_REGION = "us-east-1"
"""Where the key of a signed zone must be (Route 53 Developer Guide, "Working with customer managed
keys for DNSSEC")."""

HOSTED_ZONE = fields.matching(r"[A-Z0-9]{2,32}", "a hosted zone's id such as Z0123456789ABCDEF")
SELECTOR = fields.matching(
    r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*",
    "a DKIM selector in lower case such as 2026a",
)
DKIM = fields.matching(
    r"v=DKIM1; *(k=(rsa|ed25519); *)?(t=[ys:]+; *)?p=([A-Za-z0-9+/]+={0,2})?;?",
    "a DKIM key record such as 'v=DKIM1; k=rsa; p=MIIBIjAN...' (RFC 6376, section 3.6.1)",
)
SPF_NAME = fields.matching(
    r"([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?",
    "a domain name that holds an SPF policy, such as amazonses.com",
)
ISSUER = fields.matching(
    r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]+(; *[a-z]+=[!-:<-~]+)*",
    "a certificate authority's name, such as letsencrypt.org",
)
KEY_DIGEST = fields.matching(
    r"[0-9a-f]{64}", "the SHA-256 of a public key (SubjectPublicKeyInfo) in lower case hexadecimal"
)

DMARC_POLICIES = ("none", "quarantine", "reject")

SPF_LOOKUPS = 10
"""The most terms of an SPF policy that need a look-up, those within includes counted as well
(RFC 7208 section 4.6.4)."""

SPF_ROOM = 330
"""Characters for includes: of 450 (RFC 7208 section 3.4) four relays and the NAT's address take
112."""


def txt(raw: Any) -> str:
    """A TXT record's text: printable ASCII; Route 53 takes at most 4,000 characters."""
    if not isinstance(raw, str) or not re.fullmatch(r"[ -~]{1,4000}", raw):
        raise ValueError(f"must be 1 to 4000 printable ASCII characters, got {raw!r}")
    return raw


@dataclass(frozen=True, kw_only=True)
class Dmarc:
    """What receivers do with mail that is neither by SPF nor by DKIM our own (RFC 7489)."""

    policy: str = setting(
        fields.one_of(*DMARC_POLICIES),
        "for mail of the domains themselves",
        default="quarantine",
    )
    subdomains: str = setting(
        fields.one_of(*DMARC_POLICIES),
        "for mail of the names below them (`sp`): hosts of our own never send under those",
        default="reject",
    )
    reports: str = setting(
        address, "who gets the daily aggregate reports (`rua`); without it nobody", default=""
    )


@dataclass(frozen=True, kw_only=True)
class Caa:
    """Who may issue certificates (RFC 8659)."""

    issuers: tuple[str, ...] = setting(
        fields.several(ISSUER, 1, 10),
        "the authorities; in a zone of the program's own for every name in it, so name those of "
        "your web servers too; in an existing zone for the mail hosts' names only",
        default=("letsencrypt.org",),
    )
    reports: str = setting(
        address,
        "who hears of refused requests (`iodef`); without it postmaster of the primary domain",
        default="",
    )


@dataclass(frozen=True, kw_only=True)
class Dns:
    """What the public zones hold beside the addresses, which follow from the hosts."""

    hosted_zones: dict[str, str] = setting(
        fields.mapping(fields.domain, HOSTED_ZONE, 100),
        "existing zones by domain: their ids. Without one a domain gets a new zone, or stands in "
        "that of the domain above it",
        default_factory=dict,
    )
    texts: dict[str, tuple[str, ...]] = setting(
        fields.mapping(fields.domain, fields.several(txt, 1, 20), 100),
        "more TXT strings of a domain, beside its SPF policy: proofs of ownership and the like",
        default_factory=dict,
    )
    spf_includes: tuple[str, ...] | None = setting(
        fields.several(SPF_NAME, 0, SPF_LOOKUPS),
        "policies of services that send under our domains, `include` in SPF; with a smarthost "
        "required, `[]` if it sends under an envelope domain of its own",
        default=None,
    )
    also_leaves_by: tuple[str, ...] = setting(
        fields.several(fields.one_of(RELAY, DIRECT), 0, 2),
        "modes whose exits SPF, addresses and reverse names hold beside those of `outbound`: for "
        "the time around a change of it (docs/operations.md)",
        default=(),
    )
    dkim: dict[str, str] = setting(
        fields.mapping(SELECTOR, DKIM, 10),
        "public keys by selector, published in every domain; gatepost does not sign yet, so they "
        "are those of services that do",
        default_factory=dict,
    )
    dmarc: Dmarc = setting(fields.record(Dmarc), "the DMARC policy", default=Dmarc())
    tls_reports: str = setting(
        address,
        "who gets reports on TLS failures (RFC 8460); without it nobody",
        default="",
    )
    mta_sts: str = setting(
        fields.one_of("testing", "enforce", "none"),
        "whether senders must find a valid certificate (RFC 8461): `enforce` once every relay's "
        "verifies; `none` takes it back",
        default="testing",
    )
    caa: Caa = setting(fields.record(Caa), "who may issue certificates", default=Caa())
    dnssec: bool = setting(
        fields.flag,
        f"whether the new zones are signed (in {KMS_REGION} only); hand the DS records in the "
        "outputs to the registrar, and withdraw them there a day before you unset it",
        default=False,
    )

    @property
    def includes(self) -> tuple[str, ...]:
        """The SPF policies that are included."""
        return self.spf_includes or ()


def dns_problems(dns: Dns, values: dict[str, Any], domains: tuple[str, ...]) -> Iterator[str]:
    """Where the DNS settings do not fit the environment's other `values`.

    `domains` are all of its domains, alias domains too.
    """
    for key, named in (("hosted_zones", dns.hosted_zones), ("texts", dns.texts)):
        for domain in named:
            if domain not in domains:
                listed = ", ".join(domains)
                yield f"environment.dns.{key}: must name domains of {listed}, got {domain!r}"
    for domain, texts in dns.texts.items():
        if any(text.lower().startswith("v=spf1") for text in texts):
            yield (
                f"environment.dns.texts.{domain}: must hold no SPF policy, the program writes it; "
                "name other senders' policies in environment.dns.spf_includes"
            )
    yield from _spf_problems(dns, values.get("outbound"))
    yield from _dnssec_problems(dns, values, domains)


def _spf_problems(dns: Dns, outbound: str | None) -> Iterator[str]:
    if outbound == "smarthost" and dns.spf_includes is None:
        yield (
            "environment.dns.spf_includes: missing; with outbound: smarthost name what your "
            "smarthost tells you to include in SPF, or [] if its envelope domain is its own"
        )
    taken = sum(len(f" include:{name}") for name in dns.includes)
    if taken > SPF_ROOM:
        yield (
            f"environment.dns.spf_includes: must be at most {SPF_ROOM} characters in all, got "
            f"{taken} (RFC 7208, section 3.4: a policy must fit in one answer)"
        )


def _dnssec_problems(dns: Dns, values: dict[str, Any], domains: tuple[str, ...]) -> Iterator[str]:
    region = values.get("region", KMS_REGION)
    if dns.dnssec and region != KMS_REGION:
        yield (
            f"environment.dns.dnssec: must be false in {region}: Route 53 signs with a KMS key in "
            f"{KMS_REGION} only, and a stack has one Region"
        )
    for index, relay in enumerate(values.get("relays", ())):
        if relay.tlsa and not (dns.dnssec or domains[0] in dns.hosted_zones):
            yield (
                f"environment.relays[{index}].tlsa: must be empty without environment.dns.dnssec: "
                "TLSA records count in signed zones only (RFC 7672, section 2.1)"
            )
