"""The DMZ's ACL, asked about packets as EC2 asks it: by the first rule that matches."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from model.acl import LIMIT, AclRule, dmz_acl
from model.flows import RELAY, environment_firewall
from model.outbound import MODES

NETWORK, BRANCHES = IPv4Network("10.1.0.0/16"), IPv4Network("192.168.0.0/16")
INTERNET, HUB, SHELL = "192.0.2.10", "10.1.11.5", "10.1.11.77"
PLACES = {"internet": INTERNET, "hub": HUB, "shell": SHELL}
OURS = {
    "another relay": "10.1.2.4",
    "NAT": "10.1.21.9",
    "a host beside the hub": SHELL,
    "a second zone inside": "10.1.12.5",
    "a branch": "192.168.10.5",
}
ENDS = {"tcp": (32768, 60999), "udp": (1024, 65535)}
"""The lowest and the highest port from which a relay asks."""

Packet = tuple[str, str, int]
"""The other end, the protocol and the port that the packet goes to."""


def passes(rules: tuple[AclRule, ...], *, egress: bool, packet: Packet) -> bool:
    """Whether the first rule that matches allows it; at the end is a deny of all."""
    peer, protocol, port = packet
    for rule in sorted(rules, key=lambda rule: rule.number):
        low, high = rule.ports or (0, 65535)
        if (
            rule.egress is egress
            and rule.protocol in (protocol, "-1")
            and IPv4Address(peer) in rule.cidr
            and low <= port <= high
        ):
            return rule.allow
    return False


def low(rules: tuple[AclRule, ...], *, egress: bool, peer: str) -> set[tuple[str, int]]:
    """All below 1024 that passes."""
    return {
        (protocol, port)
        for protocol in ("tcp", "udp")
        for port in range(1, 1024)
        if passes(rules, egress=egress, packet=(peer, protocol, port))
    }


@pytest.mark.parametrize("mode", MODES)
def test_every_flow_of_the_dmz_passes_and_so_does_its_return(mode: str) -> None:
    rules = dmz_acl(mode, NETWORK, BRANCHES)
    flows = [
        flow
        for flow in environment_firewall(mode, BRANCHES).flows
        if RELAY in (flow.source, flow.destination)
    ]
    assert len(flows) >= 7
    for flow in flows:
        out = flow.source == RELAY
        peer = PLACES[flow.destination if out else flow.source]
        assert passes(rules, egress=out, packet=(peer, flow.protocol, flow.port)), flow
        for port in ENDS[flow.protocol] if out else (1024, 65535):
            assert passes(rules, egress=not out, packet=(peer, flow.protocol, port)), (flow, port)


BY_MODE = {"relay": {("tcp", 25)}, "direct": {("tcp", 25)}, "smarthost": set()}
"""The mail that a relay sends to the Internet itself."""


@pytest.mark.parametrize("mode", MODES)
def test_nothing_else_below_1024_does(mode: str) -> None:
    rules = dmz_acl(mode, NETWORK, BRANCHES)
    served = {("tcp", 25), ("tcp", 443)}
    asked = {("tcp", 53), ("udp", 53), ("tcp", 443)}
    assert low(rules, egress=False, peer=INTERNET) == served
    assert low(rules, egress=False, peer=SHELL) == served | {("tcp", 22)}
    assert low(rules, egress=True, peer=INTERNET) == asked | BY_MODE[mode]
    assert low(rules, egress=True, peer=HUB) == {("tcp", 25)}
    for name, address in OURS.items():
        assert low(rules, egress=True, peer=address) == set(), name


@pytest.mark.parametrize("mode", MODES)
def test_the_relay_s_port_for_the_hub_is_the_hub_s_and_of_one_mode(mode: str) -> None:
    rules = dmz_acl(mode, NETWORK, BRANCHES)
    heard = {
        peer
        for peer in (INTERNET, HUB, *OURS.values())
        if passes(rules, egress=False, packet=(peer, "tcp", 10025))
    }
    assert heard == ({HUB} if mode == "relay" else set())


@pytest.mark.parametrize("mode", MODES)
def test_no_high_port_of_a_relay_or_a_branch_is_reached(mode: str) -> None:
    rules = dmz_acl(mode, NETWORK, BRANCHES)
    for name in ("another relay", "NAT", "a second zone inside", "a branch"):
        for port in (1024, 10025, 40000, 65535):
            for protocol in ("tcp", "udp"):
                packet = (OURS[name], protocol, port)
                assert not passes(rules, egress=True, packet=packet), packet


def test_another_mode_changes_no_rule_that_stays() -> None:
    """A rule that changed would be gone for a moment: two cannot have one number."""
    found: dict[tuple[bool, int], set[AclRule]] = {}
    for mode in MODES:
        for rule in dmz_acl(mode, NETWORK, BRANCHES):
            found.setdefault((rule.egress, rule.number), set()).add(rule)
    assert [rules for rules in found.values() if len(rules) > 1] == []
    # While the mode changes there are the new rules and the old.
    for egress in (False, True):
        assert sum(way is egress for way, _ in found) <= LIMIT
