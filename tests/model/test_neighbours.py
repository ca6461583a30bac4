"""What two branches of one environment cannot both have."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

from model.neighbours import Neighbour, conflicts

OSAKA = Neighbour(
    where="stack dev-osaka", network=IPv4Network("192.168.10.0/24"), name="osaka", host="ms2.e.jp"
)
KOBE = Neighbour(
    where="stack dev-kobe", network=IPv4Network("192.168.11.0/24"), name="kobe", host="ms3.e.jp"
)


def test_branches_apart_are_no_conflict() -> None:
    assert list(conflicts("branch", KOBE, [OSAKA])) == []


def test_everything_shared_is_named_with_whose_it_is() -> None:
    same = replace(OSAKA, where="stack dev-sakai", network=IPv4Network("192.168.0.0/20"))
    assert list(conflicts("branch", same, [KOBE, OSAKA])) == [
        "branch.network: must not overlap 192.168.11.0/24 of stack dev-kobe, got 192.168.0.0/20",
        "branch.network: must not overlap 192.168.10.0/24 of stack dev-osaka, got 192.168.0.0/20",
        "branch.name: must be its own, got osaka, which is stack dev-osaka's",
        "branch.host: must be its own, got ms2.e.jp, which is stack dev-osaka's",
    ]


def test_what_is_not_known_of_a_branch_collides_with_nothing() -> None:
    assert list(conflicts("office", OSAKA, [Neighbour(where="a route")])) == []
    route = Neighbour(where="a route", network=IPv4Network("192.168.10.128/25"))
    [found] = conflicts("office", OSAKA, [route])
    assert found.startswith("office.network: must not overlap 192.168.10.128/25 of a route")
