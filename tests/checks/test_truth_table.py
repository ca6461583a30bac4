"""What the matrix expects, against a truth table that is written by hand from the seed's page."""

from __future__ import annotations

import pytest

from checks.firewall import PROBED, branch_and_relay, matrix, must_never
from checks.suite import Failed, Scene
from checks.table import Table, parties
from tests.checks.fakes import NAT, FakeDeployment, outputs

RELAY, HUB, BRANCH = "dmz-ms.example.jp", "ms.example.jp", "ms2.example.jp"
RELAY_IN, RELAY_OUT, HUB_IN = "10.1.1.4", "198.51.100.25", "10.1.11.5"
BRANCH_IN, BRANCH_OUT = "192.168.10.5", "198.51.100.30"
NET1, NET2 = "192.0.2.10", "203.0.113.10"

ALWAYS = {
    *((net, RELAY_OUT, port) for net in ("internet", "internet2") for port in (25, 443)),
    (RELAY, HUB_IN, 25),
    (HUB, BRANCH_IN, 25),
    (BRANCH, HUB_IN, 25),
    *((RELAY, net, port) for net in (NET1, NET2) for port in (53, 443)),
    *((host, net, 443) for host in (HUB, BRANCH) for net in (NET1, NET2)),
    # Whoever may fetch packages may fetch a relay's policies.
    *((host, RELAY_OUT, 443) for host in (HUB, BRANCH)),
    (HUB, RELAY_IN, 443),
    ("eice-dev", RELAY_IN, 22),
    ("eice-dev", HUB_IN, 22),
    ("eice-osaka", BRANCH_IN, 22),
}
"""All that passes by TCP, whatever the mode."""

OUT_BY_RELAY = {(RELAY, net, 25) for net in (NET1, NET2)}
BY_RELAY = ALWAYS | OUT_BY_RELAY | {(HUB, RELAY_IN, 10025)}
DIRECT = (
    ALWAYS
    | OUT_BY_RELAY
    | {(HUB, address, 25) for address in (NET1, NET2, RELAY_OUT, RELAY_IN)}
    | {(HUB, net, 53) for net in (NET1, NET2)}
)
"""The hub may reach port 25 of anywhere, and the relay takes it from anywhere: a rule for
0.0.0.0/0 means private addresses too."""
SMARTHOST = ALWAYS | {(HUB, net, 587) for net in (NET1, NET2)}

NAMES = {(RELAY, net, 53) for net in (NET1, NET2)}
"""All that passes by UDP, but in direct mode, where the hub does the same."""


def passing(scene: Scene, wanted: str = "tcp") -> set[tuple[str, str, int]]:
    """All (source, address, port) that the table of flows lets pass."""
    found, table = parties(scene), Table.of(scene)
    return {
        (source.name, address, port)
        for source in found
        for target in found
        if source != target
        if not source.role == target.role == "internet"
        for address in {target.private, target.public} - {""}
        for protocol, port in PROBED
        if protocol == wanted
        if table.allows(source, target, address, (protocol, port))
    }


@pytest.mark.parametrize(
    ("outbound", "wanted"), [("relay", BY_RELAY), ("direct", DIRECT), ("smarthost", SMARTHOST)]
)
def test_what_passes_is_the_truth_table(outbound: str, wanted: set[tuple[str, str, int]]) -> None:
    scene = Scene(FakeDeployment(told=outputs(outbound)))
    assert passing(scene) == wanted
    by_hub = {(HUB, net, 53) for net in (NET1, NET2)} if outbound == "direct" else set()
    assert passing(scene, "udp") == NAMES | by_hub


def test_without_a_branch_the_rest_is_the_same() -> None:
    scene = Scene(FakeDeployment(told=outputs(branch=False)))
    gone = {BRANCH, BRANCH_IN, BRANCH_OUT, "eice-osaka"}
    assert passing(scene) == {row for row in BY_RELAY if not gone & {*row}}


def test_a_branch_gets_no_more_of_the_relay_than_its_policies_and_the_relay_nothing() -> None:
    for outbound in ("relay", "direct", "smarthost"):
        for source, address, port in passing(Scene(FakeDeployment(told=outputs(outbound)))):
            assert (source, address) not in {(BRANCH, RELAY_IN), (BRANCH, NAT)}
            assert (source, address) not in {(RELAY, BRANCH_IN), (RELAY, BRANCH_OUT)}
            assert (source, address) != (BRANCH, RELAY_OUT) or port == 443


def test_the_matrix_passes_exactly_on_the_truth_table() -> None:
    deployment = FakeDeployment(open=set(BY_RELAY), names=NAMES)
    assert matrix(Scene(deployment)).endswith(" probes from 7 places")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({("internet", RELAY_OUT, 22)}, f"internet → {RELAY_OUT} tcp 22 should not pass"),
        ({(RELAY, HUB_IN, 25)}, f"{RELAY} → {HUB_IN} tcp 25 should pass"),
        ({("eice-dev", HUB_IN, 25)}, f"eice-dev → {HUB_IN} tcp 25 should not pass"),
    ],
)
def test_one_difference_is_one_finding(change: set[tuple[str, str, int]], said: str) -> None:
    deployment = FakeDeployment(open=BY_RELAY ^ change, names=NAMES)
    with pytest.raises(Failed) as failure:
        matrix(Scene(deployment))
    assert str(failure.value) == f"1 differ: {said}"


def test_a_branch_that_reaches_the_relay_is_told() -> None:
    assert branch_and_relay(Scene(FakeDeployment())) == (
        "neither its private nor its public address answers"
    )
    deployment = FakeDeployment(open={(BRANCH, RELAY_OUT, 25)})
    with pytest.raises(Failed, match=rf"{BRANCH} reaches the relay's port 25 at \['{RELAY_OUT}'\]"):
        branch_and_relay(Scene(deployment))
    assert branch_and_relay(Scene(FakeDeployment(told=outputs(branch=False)))) == "no branch is up"


@pytest.mark.parametrize(
    ("outbound", "wanted"), [("relay", BY_RELAY), ("direct", DIRECT), ("smarthost", SMARTHOST)]
)
def test_what_should_pass_is_never_forbidden(
    outbound: str, wanted: set[tuple[str, str, int]]
) -> None:
    names = NAMES | {(HUB, net, 53) for net in (NET1, NET2) if outbound == "direct"}
    deployment = FakeDeployment(told=outputs(outbound), open=set(wanted), names=names)
    assert must_never(Scene(deployment)).endswith(" attempts")


@pytest.mark.parametrize(
    ("outbound", "source", "address", "port"),
    [
        ("relay", HUB, NET1, 25),
        ("relay", HUB, NET2, 53),
        ("relay", HUB, NET1, 587),
        ("relay", HUB, RELAY_IN, 25),
        ("direct", HUB, RELAY_IN, 10025),
        ("direct", HUB, NET1, 587),
        ("smarthost", HUB, NET1, 25),
        ("smarthost", HUB, RELAY_IN, 10025),
        ("smarthost", RELAY, NET1, 25),
        ("relay", "eice-dev", NET1, 443),
    ],
)
def test_each_mode_forbids_the_others_ways_out(
    outbound: str, source: str, address: str, port: int
) -> None:
    deployment = FakeDeployment(told=outputs(outbound), open={(source, address, port)})
    with pytest.raises(Failed) as failure:
        must_never(Scene(deployment))
    assert str(failure.value) == f"1 must never pass and do: {source} → {address} tcp {port}"


def test_a_smarthost_is_reached_at_its_own_port_alone() -> None:
    told = outputs("smarthost")
    told["dev"]["smarthost_port"] = 465
    assert must_never(Scene(FakeDeployment(told=told, open={(HUB, NET1, 465)})))
    with pytest.raises(Failed, match=f"{HUB} → {NET1} tcp 587"):
        must_never(Scene(FakeDeployment(told=told, open={(HUB, NET1, 587)})))
