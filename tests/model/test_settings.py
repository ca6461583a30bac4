"""A stack's settings: read whole, every problem at once."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from model.fields import SettingsError
from model.settings import check_kind, read_branch, read_environment


def test_the_stack_files_of_the_repository_are_right(dev: Any, osaka: Any) -> None:
    values, problems = read_environment(dev)
    assert problems == []
    assert values["network"] == IPv4Network("10.1.0.0/16")
    assert values["domains"] == ("example.jp", "example.co.jp")
    assert read_branch(osaka)[1] == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"region": "Tokyo"},
            "environment.region: must be an AWS Region such as us-east-1, of the partition `aws`",
        ),
        ({"region": "us-gov-west-1"}, "of the partition `aws`, got 'us-gov-west-1'"),
        ({"zones": ["eu-west-1a"]}, "environment.zones: must be in us-east-1, got 'eu-west-1a'"),
        ({"zones": []}, "environment.zones: must be between 1 and 3, got 0"),
        ({"zones": ["us-east-1a"] * 2}, "environment.zones: must name each once, got us-east-1a"),
        (
            {"relays": [{"host": f"r{i}.example.jp"} for i in range(9)]},
            "must be between 1 and 4, got 9",
        ),
        (
            {"relays": [{"hots": "a.example.jp"}]},
            "environment.relays[0].hots: unknown key; did you",
        ),
        ({"relays": [{"hots": "a.example.jp"}]}, "environment.relays[0].host: missing; its host"),
        ({"relays": [{"host": "A"}]}, "environment.relays[0].host: must be a domain name"),
        ({"relays": ["a.example.jp"]}, "environment.relays[0]: must be a mapping of keys"),
        (
            {"relays": [{"host": "a.example.jp", "zone": "us-east-1f"}]},
            "environment.relays[0].zone: must be one of us-east-1a, got 'us-east-1f'",
        ),
        ({"disks": {"mail": 0}}, "environment.disks.mail: must be between 1 and 16384 GiB, got 0"),
        ({"nat": "none"}, "environment.nat: must be one or per-zone, got 'none'"),
        (
            {"legacy": [{"name": "old", "address": "10.1.9.9"}]},
            "environment.legacy[0].address: must not be in network 10.1.0.0/16, got 10.1.9.9",
        ),
        (
            {"legacy": [{"name": "old", "address": "192.168.9.9"}]},
            "environment.legacy[0].address: must not be in branches 192.168.0.0/16",
        ),
        (
            {"legacy": [{"name": "old", "address": "127.0.0.1"}]},
            "environment.legacy[0].address: must be a public address, got 127.0.0.1",
        ),
        (
            {"legacy": [{"name": "old", "address": f"172.16.0.{n}"} for n in (1, 2)]},
            "environment.legacy[1]: must be a server of its own, got old 172.16.0.2 again",
        ),
        ({"network": "10.1.0.0/24"}, "environment.network: must be between /16 and /20, got /24"),
        ({"network": "11.1.0.0/16"}, "environment.network: must be private address space"),
        ({"network": "10.1.0.1/16"}, "has host bits set"),
        (
            {"senders_outside": ["192.168.7.0/24"]},
            "environment.senders_outside[0]: must be no private address space",
        ),
        (
            {"senders_outside": ["8.0.0.0/8"]},
            "environment.senders_outside[0]: must be between /24 and /32, got /8",
        ),
        (
            {"blocklists": ["zen.spamhaus.org"]},
            "environment.blocklists[0]: must be a DNS list and the answers that count",
        ),
        ({"network": 5.5}, "environment.network: must be an IPv4 network"),
        (
            {"branches": "10.0.0.0/8"},
            "environment.branches: must not overlap the network 10.1.0.0/16, got 10.0.0.0/8",
        ),
        ({"domains": []}, "environment.domains: must be between 1 and 100, got 0"),
        ({"domains": ["jp"]}, "environment.domains[0]: must be a domain name in lower case"),
        ({"domains": ["example.jp", "example.jp"]}, "must name each once, got example.jp twice"),
        ({"relays": [{"host": "mx.example.net"}]}, "environment.relays[0].host: must be a host of"),
        ({"hub": {"host": "dmz-ms.example.jp"}}, "environment.hub.host: must be a name of its own"),
        ({"hub": {"host": "example.co.jp"}}, "environment.hub.host: must not be a mail domain"),
        (
            {"hub": {"host": "dmz-ms.example.co.jp"}},
            "environment.hub.host: must have a first label of its own, got 'dmz-ms' again in "
            "'dmz-ms.example.co.jp'",
        ),
        (
            {"relays": [{"host": "a.x.example.jp"}, {"host": "a.y.example.jp"}]},
            "environment.relays[1].host: must have a first label of its own, got 'a' again",
        ),
        (
            {"hub": {"host": f"{'a' * 35}.example.jp"}},
            "environment.hub.host: must have a first label of at most 34 characters, got 35 in",
        ),
        (
            {"relays": [{"host": "nat-a.example.jp"}]},
            "environment.relays[0].host: must not begin with nat-a, a NAT gateway's name",
        ),
        (
            {"relays": [{"host": "a.example.jp", "place": 12}]},
            "environment.relays[0].place: must be between 1 and 11 of its subnet's places, got 12",
        ),
        (
            {"relays": [{"host": "a.example.jp", "place": 2}, {"host": "b.example.jp"}]},
            "environment.relays[1].place: must be a place of its own, got 2 again",
        ),
        (
            {"outbound": "both"},
            "environment.outbound: must be relay or direct or smarthost, got 'both'",
        ),
        ({"forwarding": "off"}, "environment.forwarding: must be none or srs, got 'off'"),
        ({"outbound": "smarthost"}, "environment.smarthost: missing; outbound: smarthost needs"),
        ({"smarthost": {}}, "environment.smarthost.host: missing"),
        ({"smarthost": {"host": "smtp"}}, "environment.smarthost.host: must be a domain name"),
        (
            {"smarthost": {"host": "smtp.example.net", "port": 465}},
            "environment.smarthost.port: must be a port with STARTTLS such as 587, got 465",
        ),
        (
            {"smarthost": {"host": "smtp.example.net", "port": 0}},
            "environment.smarthost.port: must be a port number between 1 and 65535, got 0",
        ),
        (
            {"smarthost": {"host": "smtp.example.net", "secret": "../x"}},
            "environment.smarthost.secret: must be 1 to 40 of a-z, 0-9 and -",
        ),
        ({"port25_probes": ["a.example.net"]}, "environment.port25_probes: must be between 2 and"),
        ({"delegated": "yes"}, "environment.delegated: must be true or false, got 'yes'"),
        ({"image": "debian"}, "environment.image: must be an image id"),
        ({"administrator_key": "ssh-dss AAAA"}, "environment.administrator_key: must be one Open"),
        ({"outbnd": "relay"}, "environment.outbnd: unknown key; did you mean outbound?"),
        ({"zzz": 1}, "environment.zzz: unknown key; known here: administrator_key, alias_"),
    ],
)
def test_a_wrong_value_is_named_with_its_path_and_bound(
    dev: dict[str, Any], change: dict[str, Any], sentence: str
) -> None:
    _, problems = read_environment(dev | change)
    assert any(sentence in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dns": {"dkmi": {}}}, "environment.dns.dkmi: unknown key; did you mean dkim?"),
        (
            {"dns": {"hosted_zones": {"example.jp": "?"}}},
            "dns.hosted_zones.example.jp: must be a h",
        ),
        ({"dns": {"hosted_zones": {"a.test": "Z1"}}}, "hosted_zones: must name domains of example"),
        (
            {"dns": {"texts": {"example.jp": ["\u00e9"]}}},
            "texts.example.jp[0]: must be 1 to 4000 print",
        ),
        ({"dns": {"texts": {"example.jp": ["v=spf1 ~all"]}}}, "must hold no SPF policy"),
        ({"dns": {"dkim": {"A": "v=DKIM1; p=AA=="}}}, "dns.dkim.A: must be a DKIM selector"),
        ({"dns": {"dkim": {"a": "MIIB"}}}, "dns.dkim.a: must be a DKIM key record"),
        ({"dns": {"dmarc": {"policy": "no"}}}, "dns.dmarc.policy: must be none or quarantine or"),
        ({"dns": {"dmarc": {"reports": "x"}}}, "dns.dmarc.reports: must be an address"),
        ({"dns": {"mta_sts": False}}, "dns.mta_sts: must be testing or enforce or none, got False"),
        (
            {"dns": {"caa": {"issuers": ["?"]}}},
            "dns.caa.issuers[0]: must be a certificate authority",
        ),
        (
            {"dns": {"spf_includes": ["a b"]}},
            "dns.spf_includes[0]: must be a domain name that holds",
        ),
        (
            {"dns": {"spf_includes": [f"{'a' * 60}{i}.example.net" for i in range(8)]}},
            "dns.spf_includes: must be at most 330 characters in all, got 656",
        ),
        (
            {"outbound": "smarthost", "smarthost": {"host": "smtp.example.net"}},
            "dns.spf_includes: missing; with outbound: smarthost name what",
        ),
        (
            {"region": "eu-west-1", "zones": ["eu-west-1a"], "dns": {"dnssec": True}},
            "dns.dnssec: must be false in eu-west-1: Route 53 signs with a KMS key in us-east-1",
        ),
        (
            {"relays": [{"host": "mx.example.jp", "tlsa": ["ab" * 32]}]},
            "environment.relays[0].tlsa: must be empty without environment.dns.dnssec",
        ),
        ({"relays": [{"host": "mx.example.jp", "tlsa": ["x"]}]}, "tlsa[0]: must be the SHA-256"),
        ({"alias_domains": {"a.test": "b.test"}}, "alias_domains.a.test: must be one of example"),
        (
            {"alias_domains": {"example.jp": "example.co.jp"}},
            "alias_domains: must not be mail domains themselves, got 'example.jp'",
        ),
        ({"alias_domains": ["a.test"]}, "environment.alias_domains: must be a mapping"),
        ({"hub": {"host": "out.example.jp"}}, "hub.host: must not begin with out, a name in use"),
        (
            {"relays": [{"host": "kobe-server.example.jp"}]},
            "relays[0].host: must not end in -server, as branches' do, got 'kobe-server.example.jp",
        ),
        ({"hub": {"host": "server.example.jp"}}, "hub.host: must not end in -server, as branches"),
        (
            {"domains": ["example.jp", "mta-sts.example.jp"]},
            "domains: must not begin with mta-sts, a name in use, got 'mta-sts.example.jp'",
        ),
    ],
)
def test_wrong_names_are_told(dev: dict[str, Any], change: dict[str, Any], sentence: str) -> None:
    _, problems = read_environment(dev | change)
    assert any(sentence in problem for problem in problems), problems


def test_all_problems_come_at_once(dev: dict[str, Any]) -> None:
    wrong = dev | {"branches": "10.1.0.0/24", "domains": ["EXAMPLE"], "relayy": 1, "image": 7}
    del wrong["hub"]
    _, problems = read_environment(wrong)
    assert [problem.partition(":")[0] for problem in problems] == [
        "environment.relayy",
        "environment.domains[0]",
        "environment.hub",
        "environment.image",
        "environment.branches",
    ]


def test_what_is_no_mapping_is_refused() -> None:
    assert read_environment(None)[1] == ["environment: must be a mapping of keys, got None"]


def test_a_branch_names_its_problems(osaka: dict[str, Any]) -> None:
    _, problems = read_branch(osaka | {"name": "Osaka", "network": "192.168.10.0/30"})
    assert [problem.partition(":")[0] for problem in problems] == ["branch.name", "branch.network"]


def test_a_stack_is_an_environment_a_branch_or_an_office() -> None:
    assert check_kind("branch", ["branch", "kind"]) == "branch"
    with pytest.raises(
        SettingsError, match="kind: must be environment, branch or office, got 'hub'"
    ):
        check_kind("hub", [])


@pytest.mark.parametrize(
    ("kind", "keys", "sentences"),
    [
        ("branch", ["kind", "brunch"], ["gatepost:brunch: unknown key; did you mean branch?"]),
        (
            "branch",
            ["kind", "branch", "environment"],
            ["gatepost:environment: unknown key; known here: branch, kind"],
        ),
        (
            None,
            ["kid", "office"],
            [
                "kind: must be environment, branch or office, got None",
                "gatepost:kid: unknown key; did you mean kind?",
            ],
        ),
    ],
)
def test_a_stray_section_of_a_stack_file_is_refused(
    kind: str | None, keys: list[str], sentences: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        check_kind(kind, keys)
    assert caught.value.problems == sentences


def test_every_wrong_item_of_a_list_is_told_with_its_place(dev: dict[str, Any]) -> None:
    changes = {
        "domains": ["BAD1", "example.jp", "BAD2"],
        "senders_outside": ["192.168.7.0/24", "x", "198.51.100.0/24", "198.51.100.0/24"],
        "alias_domains": {"A": "B"},
    }
    _, problems = read_environment(dev | changes)
    assert [problem.partition(": must")[0] for problem in problems] == [
        "environment.domains[0]",
        "environment.domains[2]",
        "environment.alias_domains.A",
        "environment.alias_domains.A",
        "environment.senders_outside[0]",
        "environment.senders_outside[1]",
        "environment.senders_outside",
    ]
    assert problems[-1].endswith("must name each once, got 198.51.100.0/24 twice")
