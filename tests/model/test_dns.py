"""Public records as they follow from the settings."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.internet.zonefile import txt_strings
from model import dns
from model.dns_settings import Caa, Dmarc, Dns
from model.settings import Environment, read_environment

RELAYS = {"dmz-ms.example.jp": "192.0.2.1"}
NAT = "192.0.2.2"


@pytest.fixture
def settings(dev: dict[str, Any]) -> Any:
    def made(**changes: Any) -> Environment:
        values, problems = read_environment(dev | changes)
        assert problems == []
        return Environment(**values)

    return made


def table(settings: Environment, relays: Any = None) -> dict[tuple[str, str], tuple[str, ...]]:
    found = dns.records(settings, relays or RELAYS, NAT)
    named = {(record.name, record.type): record.values for record in found}
    assert len(named) == len(found)
    return named


def zone_of(settings: Environment, name: str, kind: str) -> str:
    found = dns.records(settings, RELAYS, NAT)
    return next(r.domain for r in found if (r.name, r.type) == (name, kind))


def test_spf_names_exactly_the_addresses_that_mail_leaves_from(settings: Any) -> None:
    relay = table(settings())
    assert relay["example.jp", "TXT"] == relay["example.co.jp", "TXT"]
    assert relay["example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.1 -all",)
    direct = table(settings(outbound="direct"))
    assert direct["example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all",)
    assert direct["dmz-ms.example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.1 -all",)
    assert direct["out.example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.2 -all",)
    assert dns.exits(settings(outbound="direct"), RELAYS, NAT) == {
        "dmz-ms.example.jp": "192.0.2.1",
        "out.example.jp": "192.0.2.2",
    }


def test_with_a_smarthost_no_address_of_ours_passes(settings: Any) -> None:
    smarthost = settings(
        outbound="smarthost",
        smarthost={"host": "email-smtp.us-east-1.amazonaws.com"},
        dns={"spf_includes": ["amazonses.com"]},
    )
    found = table(smarthost)
    assert found["example.jp", "TXT"] == ("v=spf1 include:amazonses.com -all",)
    assert found["dmz-ms.example.jp", "TXT"] == ("v=spf1 -all",)
    assert ("out.example.jp", "A") not in found
    assert dns.exits(smarthost, RELAYS, NAT) == {}


@pytest.mark.parametrize(
    ("outbound", "also", "policy"),
    [
        ("relay", ["direct"], "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all"),
        ("relay", ["relay", "direct"], "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all"),
        ("direct", ["relay"], "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 -all"),
        ("smarthost", ["relay"], "v=spf1 ip4:192.0.2.1 include:amazonses.com -all"),
        ("smarthost", ["direct"], "v=spf1 ip4:192.0.2.1 ip4:192.0.2.2 include:amazonses.com -all"),
    ],
)
def test_around_a_change_of_mode_the_exits_of_both_are_named(
    settings: Any, outbound: str, also: list[str], policy: str
) -> None:
    includes = ["amazonses.com"] if outbound == "smarthost" else []
    changing = settings(
        outbound=outbound,
        smarthost={"host": "email-smtp.us-east-1.amazonaws.com"},
        dns={"spf_includes": includes, "also_leaves_by": also},
    )
    found = table(changing)
    assert found["example.jp", "TXT"] == found["example.co.jp", "TXT"] == (policy,)
    assert found["dmz-ms.example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.1 -all",)
    by_nat = NAT in dns.exits(changing, RELAYS, NAT).values()
    assert by_nat is (NAT in policy)
    assert found.get(("out.example.jp", "A")) == ((NAT,) if by_nat else None)
    assert dns.reverse_names(changing, RELAYS, NAT) == dns.exits(changing, RELAYS, NAT)


def test_includes_come_after_the_addresses(settings: Any) -> None:
    found = table(settings(dns={"spf_includes": ["amazonses.com"]}))
    assert found["example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.1 include:amazonses.com -all",)
    assert found["dmz-ms.example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.1 -all",)


def test_those_who_send_under_our_domains_pass(settings: Any) -> None:
    found = table(settings(senders_outside=["203.0.113.0/28"]))
    assert found["example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.1 ip4:203.0.113.0/28 -all",)
    assert found["dmz-ms.example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.1 -all",)


def test_texts_share_the_record_set_with_spf(settings: Any) -> None:
    found = table(settings(dns={"texts": {"example.jp": ["a=1", 'b="2"']}}))
    assert found["example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.1 -all", "a=1", 'b="2"')
    assert len(found["example.co.jp", "TXT"]) == 1


def test_every_relay_is_an_equal_mx_with_names_of_its_own(settings: Any) -> None:
    hosts = ["a.example.jp", "b.example.jp"]
    relays = dict(zip(hosts, ["192.0.2.1", "192.0.2.3"], strict=True))
    found = table(settings(relays=[{"host": host} for host in hosts]), relays)
    for domain in ("example.jp", "example.co.jp"):
        assert found[domain, "MX"] == ("10 a.example.jp.", "10 b.example.jp.")
        assert found[domain, "TXT"] == ("v=spf1 ip4:192.0.2.1 ip4:192.0.2.3 -all",)
        assert found[f"mta-sts.{domain}", "A"] == ("192.0.2.1", "192.0.2.3")
    assert found["b.example.jp", "A"] == ("192.0.2.3",)
    assert found["b.example.jp", "TXT"] == ("v=spf1 ip4:192.0.2.3 -all",)


@pytest.mark.parametrize(
    ("outbound", "names"), [("relay", {"dmz-ms"}), ("direct", {"dmz-ms", "out"})]
)
def test_no_inside_name_is_public(settings: Any, outbound: str, names: set[str]) -> None:
    found = table(settings(outbound=outbound))
    addressed = {name for name, kind in found if kind == "A"}
    policies = {"mta-sts.example.jp", "mta-sts.example.co.jp"}
    assert addressed - policies == {f"{name}.example.jp" for name in names}
    assert not any(
        "ms.example.jp" in value and "dmz" not in value for v in found.values() for value in v
    )


def test_an_alias_domain_has_all_that_a_mail_domain_has(settings: Any) -> None:
    keys = {"2026a": "v=DKIM1; k=ed25519; p=AAAA"}
    found = table(
        settings(
            alias_domains={"example.com": "example.jp"},
            dns={"dkim": keys, "tls_reports": "t@example.jp"},
        )
    )

    def of(domain: str) -> set[tuple[str, str]]:
        end = f".{domain}"
        return {
            (f".{name}".removesuffix(end), kind) for name, kind in found if f".{name}".endswith(end)
        }

    assert (
        of("example.com")
        == of("example.co.jp")
        == {
            ("", "MX"),
            ("", "TXT"),
            ("", "CAA"),
            ("._dmarc", "TXT"),
            ("._smtp._tls", "TXT"),
            ("._mta-sts", "TXT"),
            ("mta-sts".join([".", ""]), "A"),
            (".2026a._domainkey", "TXT"),
        }
    )
    assert found["2026a._domainkey.example.com", "TXT"] == (keys["2026a"],)


def test_policies_say_what_is_set(settings: Any) -> None:
    plain = table(settings())
    assert plain["_dmarc.example.jp", "TXT"] == ("v=DMARC1; p=quarantine; sp=reject",)
    assert plain["example.jp", "CAA"] == (
        '0 issue "letsencrypt.org"',
        '0 iodef "mailto:postmaster@example.jp"',
    )
    assert ("_smtp._tls.example.jp", "TXT") not in plain
    told = table(
        settings(
            dns={
                "dmarc": {"policy": "reject", "subdomains": "none", "reports": "d@example.jp"},
                "tls_reports": "t@example.jp",
                "caa": {"issuers": ["a.example"], "reports": "c@example.jp"},
            }
        )
    )
    assert told["_dmarc.example.co.jp", "TXT"] == (
        "v=DMARC1; p=reject; sp=none; rua=mailto:d@example.jp",
    )
    assert told["_smtp._tls.example.jp", "TXT"] == ("v=TLSRPTv1; rua=mailto:t@example.jp",)
    assert told["example.jp", "CAA"] == ('0 issue "a.example"', '0 iodef "mailto:c@example.jp"')
    # RFC 7489 section 7.1: the domain of the reports agrees to get those about the other one.
    assert told["example.co.jp._report._dmarc.example.jp", "TXT"] == ("v=DMARC1",)
    assert ("example.jp._report._dmarc.example.jp", "TXT") not in told


def test_mta_sts_has_an_id_that_follows_its_content(settings: Any) -> None:
    testing, enforced = settings(), settings(dns={"mta_sts": "enforce"})
    assert dns.mta_sts_policy(testing) == (
        "version: STSv1\r\nmode: testing\r\nmx: dmz-ms.example.jp\r\nmax_age: 86400\r\n"
    )
    assert "mode: enforce\r\nmx: dmz-ms.example.jp\r\nmax_age: 604800" in dns.mta_sts_policy(
        enforced
    )
    assert re.fullmatch("[a-zA-Z0-9]{1,32}", dns.mta_sts_id(testing))
    assert dns.mta_sts_id(testing) != dns.mta_sts_id(enforced)
    found = table(enforced)["_mta-sts.example.co.jp", "TXT"]
    assert found == (f"v=STSv1; id={dns.mta_sts_id(enforced)};",)


def test_mta_sts_waits_for_delegation(settings: Any) -> None:
    found = table(settings(delegated=False))
    assert not [name for name, kind in found if "mta-sts" in name]
    assert ("dmz-ms.example.jp", "A") in found


def test_tlsa_names_the_host_s_own_key(settings: Any) -> None:
    digest = "ab" * 32
    relays = [{"host": "dmz-ms.example.jp", "tlsa": [digest]}]
    found = table(settings(relays=relays, dns={"dnssec": True}))
    assert found["_25._tcp.dmz-ms.example.jp", "TLSA"] == (f"3 1 1 {digest}",)


def test_a_domain_beneath_another_stands_in_its_zone(settings: Any) -> None:
    domains = ["example.jp", "osaka.example.jp"]
    nested = settings(domains=domains)
    assert dns.zone_domains(nested) == ("example.jp",)
    assert zone_of(nested, "osaka.example.jp", "MX") == "example.jp"
    apart = settings(domains=domains, dns={"hosted_zones": {"osaka.example.jp": "Z1"}})
    assert dns.zone_domains(apart) == ("example.jp", "osaka.example.jp")
    assert zone_of(apart, "_dmarc.osaka.example.jp", "TXT") == "osaka.example.jp"
    assert zone_of(apart, "_dmarc.example.jp", "TXT") == "example.jp"


def test_in_a_zone_with_others_caa_holds_for_our_own_names_only(settings: Any) -> None:
    shared = table(settings(dns={"hosted_zones": {"example.jp": "Z1"}}))
    assert {name for name, kind in shared if kind == "CAA"} == {
        "mta-sts.example.jp",
        "dmz-ms.example.jp",
        "example.co.jp",
    }


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=2000))
def test_a_text_comes_back_whole_from_strings_of_255_octets(text: str) -> None:
    strings = txt_strings(f'"{dns.text_value(text)}"')
    assert b"".join(strings).decode() == text
    assert all(len(string) <= dns.STRING for string in strings)
    assert len(strings) == max(1, -(-len(text) // dns.STRING))


LABELS = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join)


@given(
    includes=st.lists(NAMES, unique=True, max_size=12),
    relays=st.integers(1, 4),
    outbound=st.sampled_from(["relay", "direct", "smarthost"]),
)
def test_whatever_passes_as_settings_gives_an_spf_policy_within_its_limits(
    includes: list[str], relays: int, outbound: str
) -> None:
    raw = {
        "region": "us-east-1",
        "zones": ["us-east-1a"],
        "network": "10.1.0.0/16",
        "branches": "192.168.0.0/16",
        "domains": ["example.jp"],
        "relays": [{"host": f"mx{i}.example.jp"} for i in range(relays)],
        "hub": {"host": "ms.example.jp"},
        "outbound": outbound,
        "smarthost": {"host": "email-smtp.us-east-1.amazonaws.com"},
        "people": "p",
        "image": "ami-01b1eba85c1cd6a3d",
        "administrator_key": "ssh-ed25519 AAAA",
        "dns": {"spf_includes": includes},
    }
    values, problems = read_environment(raw)
    if problems:
        assert all("spf_includes" in problem for problem in problems)
        return
    addresses = {f"mx{i}.example.jp": "198.151.100.200" for i in range(relays)}
    found = table(Environment(**values), addresses)
    policy = found["example.jp", "TXT"][0]
    # RFC 7208, sections 4.6.4 and 3.4.
    assert len(re.findall(r"\b(include|a|mx|ptr|exists|redirect)[:=]", policy)) <= 10
    assert len(policy) <= 450
    assert policy.count("ip4:") == len(dns.exits(Environment(**values), addresses, NAT))


def test_the_defaults_are_those_of_an_empty_mapping(settings: Any) -> None:
    assert settings().dns == settings(dns={}).dns == Dns(dmarc=Dmarc(), caa=Caa())
