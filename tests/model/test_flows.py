"""The firewall's table: what must never be in it, beside what is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from model import flows
from model.flows import Flow, branch_firewall, environment_firewall

SUPERNET = IPv4Network("192.168.0.0/16")
LEGACY = {"near": IPv4Address("172.16.0.25"), "far": IPv4Address("198.51.100.25")}


MODES = ("relay", "direct", "smarthost")


def opened(firewall: flows.Firewall) -> set[tuple[str, str, str, int]]:
    return {(flow.source, flow.destination, flow.protocol, flow.port) for flow in firewall.flows}


def test_only_the_mode_decides_how_mail_leaves() -> None:
    tables = {mode: opened(environment_firewall(mode, SUPERNET)) for mode in MODES}
    common = set.intersection(*tables.values())
    by_relay = ("relay", "internet", "tcp", 25)
    assert tables["relay"] - common == {("hub", "relay", "tcp", 10025), by_relay}
    assert tables["direct"] - common == {
        ("hub", "internet", "tcp", 25),
        ("hub", "internet", "tcp", 53),
        ("hub", "internet", "udp", 53),
        by_relay,
    }
    assert tables["smarthost"] - common == {("hub", "internet", "tcp", 587)}


def test_a_smarthost_may_have_another_port() -> None:
    table = opened(environment_firewall("smarthost", SUPERNET, 2587))
    assert {row for row in table if row[3] in (587, 2587)} == {("hub", "internet", "tcp", 2587)}


@pytest.mark.parametrize("outbound", MODES)
def test_what_must_never_pass(outbound: str) -> None:
    table = opened(environment_firewall(outbound, SUPERNET))
    assert {row for row in table if row[0] == "internet"} == {
        ("internet", "relay", "tcp", 25),
        ("internet", "relay", "tcp", 443),
    }
    assert {row[1:] for row in table if row[0] == "relay"} - {("internet", "tcp", 25)} == {
        ("hub", "tcp", 25),
        ("internet", "udp", 53),
        ("internet", "tcp", 53),
        ("internet", "tcp", 443),
    }
    assert {source for source, *_, port in table if port == 22} == {"shell"}
    assert not any({source, to} == {"relay", "branches"} for source, to, *_ in table)


def test_packages_need_no_plain_http() -> None:
    tables = [*(environment_firewall(mode, SUPERNET) for mode in MODES)]
    for firewall in (*tables, branch_firewall(IPv4Address("10.1.11.5"))):
        out = {row[3] for row in opened(firewall) if row[1] == "internet"}
        assert 443 in out
        assert 80 not in out


def test_a_legacy_server_reaches_the_hub_only_from_a_private_address() -> None:
    firewall = environment_firewall("relay", SUPERNET, legacy=LEGACY)
    assert opened(firewall) - opened(environment_firewall("relay", SUPERNET)) == {
        ("hub", "legacy-near", "tcp", 25),
        ("hub", "legacy-far", "tcp", 25),
        ("legacy-near", "hub", "tcp", 25),
    }
    assert firewall.places["legacy-far"] == IPv4Network("198.51.100.25/32")


def test_a_branch_talks_mail_with_the_hub_alone() -> None:
    firewall = branch_firewall(IPv4Address("10.1.11.5"))
    assert {f for f in opened(firewall) if f[3] == 25} == {
        ("branch", "hub", "tcp", 25),
        ("hub", "branch", "tcp", 25),
    }
    assert firewall.places["hub"] == IPv4Network("10.1.11.5/32")


@pytest.mark.parametrize(
    "firewall",
    [
        *(environment_firewall(mode, SUPERNET) for mode in MODES),
        environment_firewall("relay", SUPERNET, legacy=LEGACY),
        branch_firewall(IPv4Address("10.1.11.5")),
    ],
)
def test_every_flow_is_once_there_described_and_between_known_parties(
    firewall: flows.Firewall,
) -> None:
    assert len(opened(firewall)) == len(firewall.flows)
    for flow in firewall.flows:
        assert isinstance(flow, Flow)
        # EC2's characters for a rule's description, at most 255 of them.
        assert flow.why
        assert set(flow.why) <= set(
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-:/()#,@[]+=&;{}!$*"
        ), flow.why
        for place in (flow.source, flow.destination):
            assert place in firewall.hosts or place in firewall.places
