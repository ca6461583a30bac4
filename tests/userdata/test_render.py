"""Postfix's files of each role, before any machine is booted with them."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from typing import Any

import pytest
from rendered import hosts, master, parameters, services, smarthost

from model import mail
from model.settings import Environment, read_environment
from userdata import render, software

HUB = IPv4Address("10.1.11.5")


@pytest.fixture
def settings(dev: dict[str, Any]) -> Environment:
    return Environment(**read_environment(dev)[0])


@pytest.mark.parametrize("role", ["relay", "hub", "branch"])
def test_no_domain_is_local_and_no_map_is_berkeley_db(settings: Environment, role: str) -> None:
    text = render.main_cf(hosts(settings)[role])
    found = parameters(text)
    assert found["mydestination"] == ""
    assert found["relay_domains"] == "example.jp, example.co.jp"
    proved = "permit_tls_clientcerts, " if role == "hub" else ""
    rules = f"permit_mynetworks, {proved}reject_unauth_destination"
    assert found["smtpd_relay_restrictions"] == rules
    assert not re.search(r"\b(hash|btree):[^ ]", re.sub("(?m)^#.*", "", text))


def test_where_tls_is_a_must_it_is_no_older_one(settings: Environment) -> None:
    for host in hosts(settings).values():
        found = parameters(render.main_cf(host))
        for side in ("smtp", "smtpd"):
            assert found[f"{side}_tls_protocols"] == ">=TLSv1.2"
            # Postfix's own value is >=TLSv1 (postconf(5)).
            assert found[f"{side}_tls_mandatory_protocols"] == f"${side}_tls_protocols"


def test_only_the_edge_says_550(settings: Environment) -> None:
    code = "unknown_relay_recipient_reject_code"
    texts = {role: parameters(render.main_cf(host)) for role, host in hosts(settings).items()}
    assert {role: text[code] for role, text in texts.items()} == {
        "relay": "550",
        "hub": "450",
        "branch": "450",
    }
    # 554 for a domain, by default; behind the edge a new one may not have reached every host yet.
    domains = {role: text.get("relay_domains_reject_code") for role, text in texts.items()}
    assert domains == {"relay": None, "hub": "450", "branch": "450"}


@pytest.mark.parametrize("outbound", ["relay", "direct"])
def test_the_hub_refuses_to_insiders_only(dev: dict[str, Any], outbound: str) -> None:
    settings = Environment(**read_environment(dev | {"outbound": outbound})[0])
    host = mail.hub(settings, HUB)
    assert parameters(render.main_cf(host))["smtpd_recipient_restrictions"] == (
        "check_recipient_access cdb:$tables/held, reject_unlisted_recipient, "
        "check_client_access cdb:$tables/edge, check_recipient_access cdb:$tables/refused"
    )


def test_each_hop_takes_more_than_any_hop_before_it(settings: Environment) -> None:
    entry = {
        parameters(render.main_cf(host))["message_size_limit"] for host in hosts(settings).values()
    }
    assert entry == {str(mail.EDGE_SIZE)}, "people and strangers meet one limit everywhere"
    relay, hub, branch = (master(settings, role) for role in ("relay", "hub", "branch"))

    def limit(options: dict[str, str]) -> int:
        return int(options["message_size_limit"])

    at_hub, at_branch = limit(hub[f"{HUB}:smtp smtpd"]), limit(branch["192.168.10.5:smtp smtpd"])
    inwards = [mail.EDGE_SIZE, at_hub, at_branch]
    outwards = [mail.EDGE_SIZE, at_hub, limit(relay["10025 smtpd"])]
    for way in (inwards, outwards):
        assert all(after - before >= mail.HOP_MARGIN for before, after in pairwise(way))
    for role in (hub, branch):
        assert role["127.0.0.1:smtp smtpd"] == {}, "a host's own programs meet the same one"
        assert "smtp smtpd" not in role, "one service for every address would let them send more"
    for role in (relay, hub, branch):
        for name, options in role.items():
            # What smtpd lets in its cleanup must not refuse (both have the limit).
            if name.endswith(" smtpd") and "message_size_limit" in options:
                cleanup = role[f"{options['cleanup_service_name']} cleanup"]
                assert limit(cleanup) == limit(options)


@pytest.mark.parametrize("role", ["relay", "hub", "branch"])
def test_no_host_waits_long_for_one_that_is_silent(settings: Environment, role: str) -> None:
    assert parameters(render.main_cf(hosts(settings)[role]))["smtp_connect_timeout"] == "10s"


def test_the_relay_trusts_one_address_at_its_inside_service_only(settings: Environment) -> None:
    host = hosts(settings)["relay"]
    assert parameters(render.main_cf(host))["mynetworks"] == "127.0.0.0/8"
    inside = master(settings, "relay")["10025 smtpd"]
    assert inside["mynetworks"] == "10.1.11.5/32"
    assert inside["smtpd_client_restrictions"] == "permit_mynetworks,reject"
    assert inside["smtpd_relay_restrictions"] == "permit_tls_clientcerts,unproven,reject"
    assert inside["relay_clientcerts"] == "cdb:$tables/peers"
    direct = replace(settings, outbound="direct")
    assert "10025 smtpd" not in master(direct, "relay")


@pytest.mark.parametrize("outbound", ["relay", "direct", "smarthost"])
def test_hosts_of_our_own_are_never_trusted_below_a_known_key(
    settings: Environment, outbound: str
) -> None:
    chosen = replace(smarthost(settings), outbound=outbound)
    for role, host in hosts(chosen).items():
        options = services(render.postfix_files(host)["master.cf"])
        way = options["relay smtp"]
        assert way["smtp_tls_security_level"] == "fingerprint"
        assert way["smtp_tls_policy_maps"] == "cdb:$tables/tls_policy"
        assert re.fullmatch("(00:){31}00", way["smtp_tls_fingerprint_cert_match"])
        assert way["smtp_tls_chain_files"] == "/var/lib/gatepost/identity/host.pem"
        # What this host is called by its own, the Internet must not learn.
        assert "smtp_tls_chain_files" not in options["smtp smtp"]
        found = parameters(render.main_cf(host))
        assert "smtp_tls_chain_files" not in found
        inward = {nexthop for nexthops in host.peers.values() for nexthop in nexthops}
        by_own = found.get("default_transport") == "relay"
        by_peer = bool(host.outside) and set(host.outside) <= inward
        assert by_own is (by_peer or host.by_relays), role
        if role != "relay":
            assert found["smtpd_client_restrictions"] == (
                "permit_mynetworks, check_ccert_access cdb:$tables/peers, unproven"
            )
            assert found["smtpd_tls_ask_ccert"] == "yes"
            assert found["mynetworks"] == "127.0.0.0/8"


def test_only_branches_may_send_to_anywhere_by_the_hub(settings: Environment) -> None:
    found = {role: parameters(render.main_cf(host)) for role, host in hosts(settings).items()}
    assert found["hub"]["relay_clientcerts"] == "cdb:$tables/branch_certs"
    assert {role for role in found if "relay_clientcerts" in found[role]} == {"hub"}


def test_servers_to_migrate_from_are_known_by_address(dev: dict[str, Any]) -> None:
    addresses = {"old": "10.9.0.5", "hosted": "203.0.113.9"}
    old = {"legacy": [{"name": name, "address": each} for name, each in addresses.items()]}
    settings = Environment(**read_environment(dev | old)[0])
    hub = mail.hub(settings, HUB)
    # Who comes from the Internet does not come to the hub.
    assert parameters(render.main_cf(hub))["mynetworks"] == "127.0.0.0/8, 10.9.0.5/32"
    way = services(render.postfix_files(hub)["master.cf"])["legacy smtp"]
    assert way["smtp_tls_security_level"] == "may"
    assert "smtp_tls_chain_files" not in way
    hosted = Environment(**read_environment(dev | {"legacy": old["legacy"][1:]})[0])
    hub = mail.hub(hosted, HUB)
    assert parameters(render.main_cf(hub))["mynetworks"] == "127.0.0.0/8"
    assert "legacy smtp" in services(render.postfix_files(hub)["master.cf"])


def test_the_smarthost_s_certificate_and_a_login_are_required(settings: Environment) -> None:
    hub = parameters(render.main_cf(hosts(smarthost(settings))["hub"]))
    nexthop = "[smtp.example.net]:587"
    assert hub["relayhost"] == nexthop
    assert hub["smtp_tls_policy_maps"] == f"inline:{{ {{{nexthop} = secure match=nexthop}} }}"
    assert hub["smtp_tls_CAfile"] == "/etc/ssl/certs/ca-certificates.crt"
    assert hub["smtp_sasl_auth_enable"] == "yes"
    assert hub["smtp_sasl_mechanism_filter"] == "plain, login"
    assert hub["smtp_sasl_security_options"] == "noanonymous"
    assert hub["smtp_sasl_password_maps"] == "cdb:/var/lib/gatepost-smarthost/login"
    assert hub["transport_maps"].endswith(", cdb:/var/lib/gatepost-smarthost/route")
    assert hub["smtp_helo_name"] == "example.jp"
    other = parameters(render.main_cf(hosts(settings)["hub"]))
    assert not {name for name in other if "sasl" in name}


def test_the_hub_takes_the_relays_bounces_for_the_smarthost_and_defers_the_rest(
    settings: Environment,
) -> None:
    relay = parameters(render.main_cf(hosts(smarthost(settings))["relay"]))
    assert relay["relayhost"] == "[10.1.11.5]"
    hub = parameters(render.main_cf(hosts(smarthost(settings))["hub"]))
    assert hub["smtpd_relay_restrictions"] == (
        "permit_mynetworks, permit_tls_clientcerts, check_client_access "
        "pipemap:{ cdb:$tables/edge, static:own_bounces }, reject_unauth_destination"
    )
    assert hub["own_bounces"] == "check_sender_access inline:{ {<> = permit} }"
    drains = parameters(render.main_cf(hosts(smarthost(settings, drain=True))["hub"]))
    assert drains["own_bounces"] == "permit"


def test_strangers_meet_postscreen_and_a_cleanup_of_their_own(settings: Environment) -> None:
    relay = master(settings, "relay")
    assert "smtp smtpd" not in relay
    assert "smtp postscreen" in relay
    assert relay["smtpd smtpd"] == {"cleanup_service_name": "cleanup-strangers"}
    checks = relay["cleanup-strangers cleanup"]["header_checks"]
    assert checks == "regexp:/etc/postfix/strangers.regexp"
    assert "/etc/postfix/strangers.regexp" in software.ROLES["relay"]


@pytest.mark.parametrize("kind", ["helo", "sender"])
def test_named_networks_may_send_under_our_names(settings: Environment, kind: str) -> None:
    ours = f"check_{kind}_access regexp:/etc/postfix/{kind}s.regexp"
    rules = strangers_rules(settings, kind)
    assert rules.endswith(f", {ours}")
    assert "check_client_access" not in rules
    shop = replace(settings, senders_outside=(IPv4Network("203.0.113.0/28"),))
    named = f", check_client_access cidr:{{ {{203.0.113.0/28 permit}} }}, {ours}"
    assert strangers_rules(shop, kind) == rules.replace(f", {ours}", named)


def strangers_rules(settings: Environment, kind: str) -> str:
    return parameters(render.main_cf(hosts(settings)["relay"]))[f"smtpd_{kind}_restrictions"]


@pytest.mark.parametrize(
    ("name", "table", "refused"),
    [
        ("example.jp", "helos", True),
        ("EXAMPLE.JP.", "helos", True),
        ("dmz-ms.example.jp", "helos", True),
        ("[198.51.100.1]", "helos", True),
        ("198.51.100.1", "helos", True),
        ("198.51.100.11", "helos", False),
        ("www.example.jp", "helos", True),
        ("other-relay.example.jp", "helos", True),
        ("ms2.osaka.example.co.jp", "helos", True),
        ("example.jp.example.net", "helos", False),
        ("fooexample.jp", "helos", False),
        ("examplexjp", "helos", False),
        ("taro@example.jp", "senders", True),
        ("taro@ms.example.jp.", "senders", True),
        ("a@[192.0.2.1]", "senders", True),
        ("a@news.example.jp", "senders", True),
        ("a@b.c.example.co.jp.", "senders", True),
        ('"a@b"@c.example.jp', "senders", True),
        ("a@fooexample.jp", "senders", False),
        ('"a@example.jp"@example.net', "senders", False),
        ("example.jp@example.net", "senders", False),
        ("<>", "senders", False),
    ],
)
def test_own_names_are_told_from_others(
    settings: Environment, name: str, table: str, refused: bool
) -> None:
    text = render.postfix_files(hosts(settings)["relay"])[f"{table}.regexp"]
    patterns = re.findall(r"(?m)^/(.*)/(?:$| )", text)
    assert patterns
    assert any(re.search(pattern, name, re.IGNORECASE) for pattern in patterns) is refused


@pytest.mark.parametrize(
    ("outbound", "cleaning"), [("relay", {"relay"}), ("direct", {"relay", "hub"})]
)
def test_the_inside_is_removed_where_mail_leaves(
    settings: Environment, outbound: str, cleaning: set[str]
) -> None:
    chosen = replace(settings, outbound=outbound)
    assert {
        role
        for role in hosts(chosen)
        if master(chosen, role)["smtp smtp"].get("smtp_header_checks")
    } == cleaning
    for role, host in hosts(chosen).items():
        files = render.postfix_files(host)
        named = re.findall(r"regexp:/etc/postfix/(\S+)", "".join(files.values()))
        assert set(named) - {"strangers.regexp"} == set(files) - {"main.cf", "master.cf"}, role


def test_every_cleanup_that_is_named_is_there(settings: Environment) -> None:
    for role in hosts(settings):
        found = master(settings, role)
        named = {o["cleanup_service_name"] for o in found.values() if "cleanup_service_name" in o}
        assert {f"{name} cleanup" for name in named} <= set(found)


def test_the_hub_sends_by_the_directory_s_relays_its_own_zone_s_first(dev: dict[str, Any]) -> None:
    zones = {"zones": ["us-east-1a", "us-east-1b"]}
    relays = {
        "relays": [
            {"host": "b.example.jp", "zone": "us-east-1b"},
            {"host": "a.example.jp", "zone": "us-east-1a"},
        ]
    }
    settings = Environment(**read_environment(dev | zones | relays)[0])
    addresses = [IPv4Address("10.1.2.4"), IPv4Address("10.1.1.5")]
    assert list(mail.own_zone_first(settings, addresses).items()) == [
        ("a.example.jp", IPv4Address("10.1.1.5")),
        ("b.example.jp", IPv4Address("10.1.2.4")),
    ]
    hub = parameters(render.main_cf(mail.hub(settings, HUB)))
    way = "pipemap:{ static:relays, cdb:$tables/outward }"
    assert hub["sender_dependent_relayhost_maps"] == way
    assert hub["relayhost"] == "[127.0.0.1]:10025", "without the table nothing leaves"
