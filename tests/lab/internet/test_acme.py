"""Certificates from the lab's public authority, by the client that machines use."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from lab.internet.plan import INTERNET
from tests.lab.internet.debian_root import DebianRoot
from tests.lab.internet.small_internet import SmallInternet
from tests.lab.internet.test_route53 import Relay, relay

__all__ = ["relay"]  # a fixture

DIRECTORY = "https://acme-v02.api.letsencrypt.org/directory"
OWN_NAME = "mx1.acme.test"
CERTBOT = ("certbot", "python3-certbot-dns-route53", "ca-certificates", "curl")
ORDER = (
    *(
        "certbot",
        "certonly",
        "--non-interactive",
        "--agree-tos",
        "--register-unsafely-without-email",
    ),
    *("--dns-route53", "--force-renewal", "--cert-name", "host"),
)


@pytest.fixture(scope="module")
def certbot(internet: SmallInternet, tmp_path_factory: pytest.TempPathFactory) -> DebianRoot:
    return DebianRoot(internet, tmp_path_factory.mktemp("certbot"), *CERTBOT)


@pytest.fixture(scope="module")
def lineage(relay: Relay, certbot: DebianRoot) -> str:
    """The chain of the first certificate, as certbot keeps it for servers."""
    ordered = certbot.run(INTERNET.namespace, *ORDER, "-d", OWN_NAME, environment=relay.credentials)
    assert ordered.returncode == 0, ordered.stdout + ordered.stderr
    return certbot.run(INTERNET.namespace, "cat", "/etc/letsencrypt/live/host/fullchain.pem").stdout


def test_the_directory_is_where_lets_encrypts_is(certbot: DebianRoot) -> None:
    got = certbot.run(INTERNET.namespace, "curl", "-sS", DIRECTORY)
    directory = json.loads(got.stdout)
    host = DIRECTORY.removesuffix("/directory")
    assert {
        directory[name].startswith(host) for name in ("newNonce", "newAccount", "newOrder")
    } == {True}
    head = certbot.run(INTERNET.namespace, "curl", "-sSI", directory["newNonce"]).stdout
    assert f'<{DIRECTORY}>;rel="index"' in head


def test_certbot_gets_a_certificate_that_the_labs_authority_backs(
    internet: SmallInternet, lineage: str, tmp_path: Path
) -> None:
    leaf, *chain = x509.load_pem_x509_certificates(lineage.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [OWN_NAME]
    assert 89 <= (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days <= 90
    root = ssl.create_default_context(cafile=str(internet.state / "authority" / "ca.pem"))
    (trusted,) = root.get_ca_certs()
    assert chain[-1].issuer.rfc4514_string() == f"CN={trusted['subject'][0][0][1]}"
    (tmp_path / "chain.pem").write_text(lineage)
    verify = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver"]
    verify += [
        "-verify_hostname",
        OWN_NAME,
        "-CAfile",
        str(internet.state / "authority" / "ca.pem"),
    ]
    verify += ["-untrusted", str(tmp_path / "chain.pem"), str(tmp_path / "chain.pem")]
    assert internet.run(verify).stdout.endswith(": OK\n")


def test_another_one_is_a_new_one_and_no_challenge_stays(
    relay: Relay, certbot: DebianRoot, lineage: str
) -> None:
    again = certbot.run(INTERNET.namespace, *ORDER, "-d", OWN_NAME, environment=relay.credentials)
    assert again.returncode == 0, again.stdout + again.stderr
    live = "/etc/letsencrypt/live/host/fullchain.pem"
    assert certbot.run(INTERNET.namespace, "cat", live).stdout != lineage
    assert relay.dig(f"_acme-challenge.{OWN_NAME}") == ""


def test_who_may_not_change_the_name_gets_none(
    relay: Relay, certbot: DebianRoot, lineage: str
) -> None:
    other = certbot.run(
        INTERNET.namespace, *ORDER, "-d", "mx2.acme.test", environment=relay.credentials
    )
    assert other.returncode != 0
    assert "AccessDenied" in other.stdout + other.stderr


def test_a_domain_that_names_another_authority_gets_none(
    relay: Relay, certbot: DebianRoot, lineage: str
) -> None:
    route53 = relay.internet.client("route53")
    values = [{"Value": '0 issue "ca.example.net"'}]
    records = {"Name": OWN_NAME, "Type": "CAA", "TTL": 60, "ResourceRecords": values}

    def change(action: str) -> None:
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": records}]}
        route53.change_resource_record_sets(HostedZoneId=relay.zone, ChangeBatch=batch)
        # Served at the next change that comes by the public endpoint.
        text = f'"{action}"'
        assert (
            relay.change(("UPSERT", "_acme-challenge.mta-sts.acme.test", "TXT", text)) == "INSYNC"
        )

    change("CREATE")
    try:
        refused = certbot.run(
            INTERNET.namespace, *ORDER, "-d", OWN_NAME, environment=relay.credentials
        )
    finally:
        change("DELETE")
    assert refused.returncode != 0
    assert "CAA of mx1.acme.test allows 'ca.example.net'" in refused.stdout + refused.stderr
