"""What the matrix expects, against a truth table that is written by hand from the seed's page."""

from __future__ import annotations

import pytest

from checks.firewall import PROBED, branch_and_relay, matrix
from checks.suite import Failed, Scene
from checks.table import Table, parties
from tests.checks.fakes import NAT, FakeDeployment, outputs

RELAY, HUB, BRANCH = "dmz-ms.example.jp", "ms.example.jp", "ms2.example.jp"
RELAY_IN, RELAY_OUT, HUB_IN = "10.1.1.4", "198.51.100.25", "10.1.11.5"
BRANCH_IN, BRANCH_OUT = "192.168.10.5", "198.51.100.30"
NET1, NET2 = "192.0.2.10", "203.0.113.10"

BOTH = {
    *((net, RELAY_OUT, 25) for net in ("internet", "internet2")),
    (RELAY, HUB_IN, 25),
    (HUB, BRANCH_IN, 25),
    (BRANCH, HUB_IN, 25),
    *((RELAY, net, port) for net in (NET1, NET2) for port in (25, 80, 443)),
    *((host, net, port) for host in (HUB, BRANCH) for net in (NET1, NET2) for port in (80, 443)),
    ("eice-dev", RELAY_IN, 22),
    ("eice-dev", HUB_IN, 22),
    ("eice-osaka", BRANCH_IN, 22),
}
"""All that passes, whatever the mode."""

BY_RELAY = BOTH | {(HUB, RELAY_IN, 25)}
DIRECT = BOTH | {(HUB, address, 25) for address in (NET1, NET2, RELAY_OUT, RELAY_IN)}
"""The hub may reach port 25 of anywhere, and the relay takes it from anywhere: a rule for
0.0.0.0/0 means private addresses too."""


def passing(scene: Scene) -> set[tuple[str, str, int]]:
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
        if table.allows(source, target, address, (protocol, port))
    }


@pytest.mark.parametrize(("outbound", "wanted"), [("relay", BY_RELAY), ("direct", DIRECT)])
def test_what_passes_is_the_truth_table(outbound: str, wanted: set[tuple[str, str, int]]) -> None:
    scene = Scene(FakeDeployment(told=outputs(outbound)))
    assert passing(scene) == wanted


def test_without_a_branch_the_rest_is_the_same() -> None:
    scene = Scene(FakeDeployment(told=outputs(branch=False)))
    gone = {BRANCH, BRANCH_IN, BRANCH_OUT, "eice-osaka"}
    assert passing(scene) == {row for row in BY_RELAY if not gone & {*row}}


def test_a_branch_never_reaches_the_relay_nor_the_relay_a_branch() -> None:
    for outbound in ("relay", "direct"):
        for source, address, _ in passing(Scene(FakeDeployment(told=outputs(outbound)))):
            assert (source, address) not in {
                *((BRANCH, RELAY_IN), (BRANCH, RELAY_OUT), (BRANCH, NAT)),
                *((RELAY, BRANCH_IN), (RELAY, BRANCH_OUT)),
            }


def test_the_matrix_passes_exactly_on_the_truth_table() -> None:
    deployment = FakeDeployment(open=set(BY_RELAY))
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
    deployment = FakeDeployment(open=BY_RELAY ^ change)
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
