"""The addressing plan is arithmetic: it holds for every network that the settings allow."""

from __future__ import annotations

from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from model.addressing import branch_plan, environment_plan


@st.composite
def networks(draw: st.DrawFn, shortest: int, longest: int) -> IPv4Network:
    length = draw(st.integers(shortest, longest))
    return IPv4Network((draw(st.integers(0, 2**24 - 1)) + (10 << 24), length), strict=False)


def test_the_seed_s_addresses_come_out() -> None:
    plan = environment_plan(IPv4Network("10.1.0.0/16"))
    assert (str(plan.dmz), str(plan.relay)) == ("10.1.1.0/24", "10.1.1.4")
    assert (str(plan.private), str(plan.hub)) == ("10.1.11.0/24", "10.1.11.5")
    assert str(branch_plan(IPv4Network("192.168.10.0/24")).server) == "192.168.10.5"


@given(networks(16, 20))
def test_an_environment_s_subnets_lie_within_and_apart(network: IPv4Network) -> None:
    plan = environment_plan(network)
    subnets = (plan.dmz, plan.private, plan.edge)
    assert all(subnet.subnet_of(network) for subnet in subnets)
    assert not any(a.overlaps(b) for a in subnets for b in subnets if a is not b)
    # EC2 takes subnets from /16 to /28 and keeps the first four addresses and the last.
    for subnet, host in ((plan.dmz, plan.relay), (plan.private, plan.hub)):
        assert 16 <= subnet.prefixlen <= 28
        assert subnet[3] < host < subnet[-1]


@given(networks(16, 26))
def test_a_branch_s_server_lies_in_its_subnet(network: IPv4Network) -> None:
    plan = branch_plan(network)
    assert plan.subnet.subnet_of(network)
    assert plan.subnet.prefixlen <= 28
    assert plan.subnet[3] < plan.server < plan.subnet[-1]
