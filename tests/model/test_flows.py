"""The firewall's table: what must never be in it, beside what is."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from model import flows
from model.flows import Flow, branch_firewall, environment_firewall

SUPERNET = IPv4Network("192.168.0.0/16")
LEGACY = {"near": IPv4Address("172.16.0.25"), "far": IPv4Address("198.51.100.25")}


def opened(firewall: flows.Firewall) -> set[tuple[str, str, int]]:
    return {(flow.source, flow.destination, flow.port) for flow in firewall.flows}


def test_only_the_mode_decides_how_the_hub_sends_out() -> None:
    by_relay = opened(environment_firewall("relay", SUPERNET))
    direct = opened(environment_firewall("direct", SUPERNET))
    assert by_relay - direct == {("hub", "relay", 25)}
    assert direct - by_relay == {("hub", "internet", 25)}


@pytest.mark.parametrize("outbound", ["relay", "direct"])
def test_what_must_never_pass(outbound: str) -> None:
    table = opened(environment_firewall(outbound, SUPERNET))
    assert {port for source, to, port in table if source == "internet"} == {25}
    assert {to for source, to, _ in table if source == "internet"} == {"relay"}
    assert {(to, port) for source, to, port in table if source == "relay"} == {
        ("hub", 25),
        ("internet", 25),
        ("internet", 80),
        ("internet", 443),
    }
    assert {source for source, _, port in table if port == 22} == {"shell"}
    assert not any({source, to} == {"relay", "branches"} for source, to, _ in table)


def test_a_legacy_server_reaches_the_hub_only_from_a_private_address() -> None:
    firewall = environment_firewall("relay", SUPERNET, LEGACY)
    assert opened(firewall) - opened(environment_firewall("relay", SUPERNET)) == {
        ("hub", "legacy-near", 25),
        ("hub", "legacy-far", 25),
        ("legacy-near", "hub", 25),
    }
    assert firewall.places["legacy-far"] == IPv4Network("198.51.100.25/32")


def test_a_branch_talks_mail_with_the_hub_alone() -> None:
    firewall = branch_firewall(IPv4Address("10.1.11.5"))
    assert {f for f in opened(firewall) if f[2] == 25} == {
        ("branch", "hub", 25),
        ("hub", "branch", 25),
    }
    assert firewall.places["hub"] == IPv4Network("10.1.11.5/32")


@pytest.mark.parametrize(
    "firewall",
    [
        environment_firewall("relay", SUPERNET),
        environment_firewall("direct", SUPERNET),
        environment_firewall("relay", SUPERNET, LEGACY),
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
