"""What a relay may change in Route 53, by the strict evaluator of IAM policies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from components.certificates import POLICY_LIMIT, certificates_policy, zone_arn
from lab.internet.policy import Request, decide
from model import certificates
from model.fields import SettingsError

HOST, OTHER = "mx1.example.jp", "mx2.example.jp"
DOMAINS = ("example.jp", "example.co.jp")
PRIMARY, SECOND, FOREIGN = "Z01PRIMARY", "Z02SECOND", "Z03FOREIGN"
FILE = "arn:aws:s3:::bucket/policy/mta-sts.txt"
POLICY = certificates_policy(
    certificates.challenges(HOST, DOMAINS), [PRIMARY, SECOND], PRIMARY, FILE
)
KEYS = {
    "names": "route53:changeresourcerecordsetsnormalizedrecordnames",
    "types": "route53:changeresourcerecordsetsrecordtypes",
    "actions": "route53:changeresourcerecordsetsactions",
}


def verdict(action: str, resource: str, context: Mapping[str, Sequence[str]]) -> str:
    request = Request(
        role_arn="arn:aws:iam::123456789012:role/relay",
        session_arn="arn:aws:sts::123456789012:assumed-role/relay/i-1",
        account="123456789012",
        action=action,
        resource=resource,
        context={key: context.get(name, []) for name, key in KEYS.items()},
    )
    return decide(request, identity=[json.loads(POLICY)], resource=None)


def change(*names: str, types: Sequence[str] = ("TXT",), zone: str = PRIMARY, **more: str) -> str:
    context = {"names": names, "types": types, "actions": [more.get("action", "UPSERT")]}
    return verdict("route53:ChangeResourceRecordSets", zone_arn(zone), context)


@pytest.mark.parametrize("name", certificates.challenges(HOST, DOMAINS))
@pytest.mark.parametrize("action", ["CREATE", "UPSERT", "DELETE"])
def test_the_records_of_its_own_names_are_its_to_write(name: str, action: str) -> None:
    assert change(name, action=action) == "allow"


@pytest.mark.parametrize(
    ("names", "types"),
    [
        (["example.jp"], ["MX"]),
        ([HOST], ["A"]),
        ([HOST], ["TXT"]),
        ([f"_acme-challenge.{HOST}"], ["MX"]),
        ([f"_acme-challenge.{HOST}"], ["TXT", "A"]),
        ([f"_acme-challenge.{OTHER}"], ["TXT"]),
        ([f"_acme-challenge.{HOST}", f"_acme-challenge.{OTHER}"], ["TXT"]),
        (["_acme-challenge.example.jp"], ["TXT"]),
        (["_acme-challenge.www.example.jp"], ["TXT"]),
        (["_mta-sts.example.jp"], ["TXT"]),
    ],
)
def test_nothing_else_is(names: list[str], types: list[str]) -> None:
    assert change(*names, types=types) == "implicit deny"


def test_other_zones_are_out_of_reach_and_a_request_without_the_keys_is_refused() -> None:
    assert change(f"_acme-challenge.{HOST}", zone=FOREIGN) == "implicit deny"
    assert verdict("route53:ChangeResourceRecordSets", zone_arn(PRIMARY), {}) == "implicit deny"
    for missing in KEYS:
        context = {"names": [f"_acme-challenge.{HOST}"], "types": ["TXT"], "actions": ["UPSERT"]}
        del context[missing]
        found = verdict("route53:ChangeResourceRecordSets", zone_arn(PRIMARY), context)
        assert found == "implicit deny", missing


def test_it_finds_its_zones_waits_for_changes_and_reads_the_lock() -> None:
    assert verdict("route53:ListHostedZones", "*", {}) == "allow"
    assert verdict("route53:GetChange", "arn:aws:route53:::change/C1", {}) == "allow"
    assert verdict("route53:ListResourceRecordSets", zone_arn(PRIMARY), {}) == "allow"
    assert verdict("route53:ListResourceRecordSets", zone_arn(SECOND), {}) == "implicit deny"
    assert verdict("s3:GetObject", FILE, {}) == "allow"
    assert verdict("route53:DeleteHostedZone", zone_arn(PRIMARY), {}) == "implicit deny"


def test_a_policy_that_iam_would_not_take_is_refused_with_its_length() -> None:
    domains = [f"a-rather-long-domain-{number}.example.com" for number in range(100)]
    zones = [f"Z0123456789ABCDEFG{number:03}" for number in range(100)]
    with pytest.raises(SettingsError, match=rf"at most {POLICY_LIMIT} characters, got \d{{5}}"):
        certificates_policy(certificates.challenges(HOST, domains), zones, zones[0], FILE)
