"""sts-check DOMAIN: would a sender that honours MTA-STS (RFC 8461) hand mail to this domain?

The policy is fetched and read by Debian's postfix-mta-sts-resolver; each MX host must be one that
the policy names and show a certificate for its own name that the host's trust store vouches for.
Exit status 0 if there is a policy and every host is as it says, 1 if not.
"""

from __future__ import annotations

import asyncio
import os
import smtplib
import ssl
import sys
from collections.abc import Iterable

TRUST_STORE = "/etc/ssl/certs/ca-certificates.crt"
# Read by OpenSSL, below the HTTPS client as well (SSL_CTX_load_verify_locations(3ssl)).
os.environ["SSL_CERT_FILE"] = TRUST_STORE

import dns.resolver  # noqa: E402 - the environment comes first
from postfix_mta_sts_resolver.resolver import STSFetchResult, STSResolver  # noqa: E402

LIMIT = 10.0
"""Seconds for each answer."""


def matches(host: str, patterns: Iterable[str]) -> bool:
    """Whether a policy's `mx` lines name the host; `*.` stands for one label (section 4.1)."""
    parent = host.partition(".")[2]
    return any(pattern.lower() in (host, f"*.{parent}") for pattern in patterns)


def verify(host: str) -> str | None:
    """What is wrong with the host's TLS; None if it verifies."""
    try:
        with smtplib.SMTP(host, timeout=LIMIT) as client:
            client.starttls(context=ssl.create_default_context(cafile=TRUST_STORE))
            return None
    except (OSError, smtplib.SMTPException) as error:
        return str(error)


async def check(domain: str) -> bool:
    """Says what there is and what is wrong, a line each; whether mail would be handed over."""
    resolver = STSResolver(loop=asyncio.get_running_loop())
    status, found = await resolver.resolve(domain)
    if status is not STSFetchResult.VALID or found is None:
        print(f"{domain}: no policy that is valid: {status.name}")
        return False
    identifier, policy = found
    print(f"{domain}: policy {identifier}, mode {policy['mode']}, mx {' '.join(policy['mx'])}")
    good = True
    for record in dns.resolver.resolve(domain, "MX"):
        host = record.exchange.to_text().rstrip(".").lower()
        named = matches(host, policy["mx"])
        trouble = verify(host) if named else "the policy does not name it"
        print(f"{host}: {'refused: ' + trouble if trouble else 'accepted'}")
        good = good and trouble is None
    return good


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} DOMAIN")
    sys.exit(0 if asyncio.run(check(sys.argv[1])) else 1)
