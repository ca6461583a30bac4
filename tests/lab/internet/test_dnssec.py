"""Signed zones as validators judge them; those that run are Debian's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dns.dnssec
import dns.name
import dns.node
import dns.rdataset
import dns.rdatatype
import dns.zone
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from lab.internet.dns import served
from lab.internet.dnssec import (
    NEGATIVE_TTL,
    open_key,
    remote_key,
    root_key,
    sign_zone,
    trust_anchor,
    trust_anchor_ds,
)
from lab.internet.plan import MIRROR
from lab.internet.zonefile import ZoneError
from lab.world.dns import read_zone
from lab.world.model import Zone
from tests.lab.internet.debian_root import DebianRoot
from tests.lab.internet.small_internet import SmallInternet, example_world, record, zone

NAME = "example.jp."
Keys = dict[dns.name.Name, dns.node.Node | dns.rdataset.Rdataset]


def test_a_zone_is_signed_by_both_of_its_keys(tmp_path: Path) -> None:
    entry, other = (open_key(tmp_path, NAME, entry=entry) for entry in (True, False))
    text = served(example_world(), ()).zones[NAME]
    signed = dns.zone.from_text(sign_zone(NAME, text, (entry, other)), relativize=False)
    origin = dns.name.from_text(NAME)
    keys: Keys = {origin: signed.find_rdataset(origin, "DNSKEY")}
    for name, node in signed.items():
        for records in node:
            if records.rdtype == dns.rdatatype.RRSIG:
                continue
            signatures = signed.find_rdataset(name, "RRSIG", records.rdtype)
            dns.dnssec.validate((name, records), (name, signatures), keys)
            by = entry if records.rdtype == dns.rdatatype.DNSKEY else other
            assert signatures[0].key_tag == dns.dnssec.key_id(by.dnskey)
            if records.rdtype == dns.rdatatype.NSEC:
                assert records.ttl == NEGATIVE_TTL


def test_a_key_is_kept_and_private(tmp_path: Path) -> None:
    first = open_key(tmp_path, NAME, entry=True)
    assert open_key(tmp_path, NAME, entry=True) == first
    assert open_key(tmp_path, NAME, entry=False) != first
    (file,) = tmp_path.glob("*.ksk.pem")
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_trust_anchor_is_as_debian_has_it(tmp_path: Path) -> None:
    key = root_key(tmp_path)
    assert re.fullmatch(r"\. IN DNSKEY 257 3 13 [A-Za-z0-9+/]{86}==\n", trust_anchor(key))
    assert re.fullmatch(r"\. IN DS \d+ 13 2 [0-9a-f]{64}\n", trust_anchor_ds(key))


def test_a_remote_key_signs_what_its_public_half_verifies(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    holder = open_key(tmp_path, NAME, entry=True)
    numbers = private.public_key().public_numbers()
    public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
    dnskey = holder.dnskey.replace(key=public).to_text()
    key = remote_key(dnskey, lambda data: private.sign(data, ec.ECDSA(hashes.SHA256())))
    signed = sign_zone(NAME, served(example_world(), ()).zones[NAME], (key,))
    found = dns.zone.from_text(signed, relativize=False)
    origin = dns.name.from_text(NAME)
    records = found.find_rdataset(origin, "SOA")
    signatures = found.find_rdataset(origin, "RRSIG", "SOA")
    keys: Keys = {origin: found.find_rdataset(origin, "DNSKEY")}
    dns.dnssec.validate((origin, records), (origin, signatures), keys)


@pytest.mark.parametrize("dnskey", ["", "257 3 13", "257 3 8 AwEAAQ=="])
def test_another_kind_of_key_is_refused(dnskey: str) -> None:
    with pytest.raises(ZoneError, match="DNSKEY"):
        remote_key(dnskey, bytes)


def test_a_malformed_record_of_a_signed_zone_is_told(tmp_path: Path) -> None:
    key = open_key(tmp_path, NAME, entry=True)
    bad = zone(NAME, record(f"x.{NAME}", "A", "198.51.100.999"))
    text = served(replace(example_world(), zones=(bad,)), ()).zones[NAME]
    with pytest.raises(ZoneError, match=r"zone example\.jp\."):
        sign_zone(NAME, text, (key,))


SIGNED, BROKEN = "signed.test.", "broken.test."


def hosted(internet: SmallInternet, name: str) -> Zone:
    """A zone that Route 53 signs by a key in KMS."""
    route53 = internet.client("route53")
    kms = internet.client("kms", region="us-east-1")
    made = route53.create_hosted_zone(Name=name, CallerReference=name)
    identifier = made["HostedZone"]["Id"].rpartition("/")[2]
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Policy=KEY_POLICY)
    route53.create_key_signing_key(
        HostedZoneId=identifier,
        CallerReference="1",
        Name="first",
        Status="ACTIVE",
        KeyManagementServiceArn=key["KeyMetadata"]["Arn"],
    )
    route53.enable_hosted_zone_dnssec(HostedZoneId=identifier)
    change(route53, identifier, "UPSERT", f"mx.{name}", "198.51.100.7")
    change(route53, identifier, "UPSERT", f"*.wild.{name}", "198.51.100.8")
    return read_zone(route53, identifier)


def change(route53: Any, identifier: str, action: str, name: str, address: str) -> None:
    record_set = {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": address}]}
    changes = [{"Action": action, "ResourceRecordSet": record_set}]
    route53.change_resource_record_sets(HostedZoneId=identifier, ChangeBatch={"Changes": changes})


def with_another_key(signed: Zone) -> Zone:
    """The registrar holds a DS record of a key that the zone has not."""
    (key,) = signed.keys
    *rest, digest = key.ds.split()
    return replace(signed, keys=(replace(key, ds=" ".join([*rest, digest[::-1]])),))


KEY_POLICY = """{"Version": "2012-10-17", "Statement": [
{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"},
{"Effect": "Allow", "Principal": {"Service": "dnssec-route53.amazonaws.com"}, "Resource": "*",
 "Action": ["kms:DescribeKey", "kms:GetPublicKey", "kms:Sign", "kms:CreateGrant"]}]}"""

ASK = """
/usr/libexec/unbound-helper root_trust_anchor_update >/dev/null
unbound -d -p >/dev/null 2>/run/unbound.log & resolver=$!
for try in $(seq 100); do
    unbound-control status >/dev/null 2>&1 && break
    kill -0 $resolver || { cat /run/unbound.log >&2; exit 1; }
    sleep 0.1
done
for query in "$@"; do
    echo "= $query"
    dig @127.0.0.1 $query | grep -e "status:" -e "flags: qr"
done
kill $resolver
"""


@pytest.fixture(scope="module")
def answers(
    internet: SmallInternet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What Debian's unbound, configured as Debian has it, says to each query: status and flags."""
    root = DebianRoot(internet, tmp_path_factory.mktemp("unbound"), "unbound", "bind9-dnsutils")
    world = example_world()
    broken = with_another_key(hosted(internet, BROKEN))
    internet.apply(replace(world, zones=(*world.zones, hosted(internet, SIGNED), broken)))
    queries = [query for query, _, _ in JUDGED]
    try:
        asked = root.run(MIRROR.namespace, "sh", "-c", ASK, "sh", *queries)
        assert asked.returncode == 0, asked.stderr
        parts = asked.stdout.split("= ")[1:]
        yield {query: said for query, _, said in (part.partition("\n") for part in parts)}
    finally:
        internet.apply(world)


JUDGED = [
    (f"mx.{SIGNED} A", "NOERROR", True),
    (f"any.wild.{SIGNED} A", "NOERROR", True),
    (f"none.{SIGNED} A", "NXDOMAIN", True),
    (f"mx.{SIGNED} TXT", "NOERROR", True),
    (f"mx.{BROKEN} A", "SERVFAIL", False),
    ("example.com. MX", "NOERROR", True),
    ("example.net. MX", "NOERROR", False),
    (f"{NAME} MX", "NOERROR", False),
    (f"none.{NAME} A", "NXDOMAIN", False),
    ("10.2.0.192.in-addr.arpa. PTR", "NOERROR", True),
    (". NS", "NOERROR", True),
]
"""Queries, their status, and whether the answer is proved (AD, RFC 4035 section 3.2.3)."""


@pytest.mark.parametrize(("query", "status", "proved"), JUDGED)
def test_debians_unbound_judges(
    answers: dict[str, str], query: str, status: str, proved: bool
) -> None:
    assert f"status: {status}," in answers[query]
    flags = answers[query].partition("flags: ")[2].partition(";")[0].split()
    assert ("ad" in flags) == proved


def test_a_change_of_a_signed_zone_is_served_signed(internet: SmallInternet) -> None:
    world, route53 = example_world(), internet.client("route53")
    signed = hosted(internet, "moving.test.")
    name = "new.moving.test."
    try:
        internet.apply(replace(world, zones=(*world.zones, signed)))
        before = internet.at("internet", "dig", name, "A").stdout
        assert "NXDOMAIN" in before
        change(route53, signed.id, "CREATE", name, "198.51.100.9")
        newer = read_zone(route53, signed.id)
        internet.apply(replace(world, zones=(*world.zones, newer)))
        after = internet.at("internet", "dig", name, "A").stdout
        assert "198.51.100.9" in after
        assert re.search(r"flags: qr rd ra ad;", after)
    finally:
        internet.apply(world)
