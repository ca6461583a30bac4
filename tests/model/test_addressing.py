"""The addressing plan is arithmetic: it holds for every network that the settings allow."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.addressing import branch_plan, environment_plan, free_network


@st.composite
def networks(draw: st.DrawFn, shortest: int, longest: int) -> IPv4Network:
    length = draw(st.integers(shortest, longest))
    return IPv4Network((draw(st.integers(0, 2**24 - 1)) + (10 << 24), length), strict=False)


def test_the_seed_s_addresses_come_out() -> None:
    plan = environment_plan(IPv4Network("10.1.0.0/16"), 1, [0])
    assert (str(plan.zones[0].dmz), str(plan.relays[0])) == ("10.1.1.0/24", "10.1.1.4")
    assert (str(plan.zones[0].private), str(plan.hub)) == ("10.1.11.0/24", "10.1.11.5")
    assert str(branch_plan(IPv4Network("192.168.10.0/24")).server) == "192.168.10.5"


PLANS = st.integers(1, 3).flatmap(
    lambda zones: st.tuples(
        st.just(zones), st.lists(st.integers(0, zones - 1), min_size=1, max_size=4)
    )
)


@given(networks(16, 20), PLANS)
def test_an_environment_s_subnets_lie_within_and_apart(
    network: IPv4Network, shape: tuple[int, list[int]]
) -> None:
    zones, relay_zones = shape
    plan = environment_plan(network, zones, relay_zones)
    subnets = [net for zone in plan.zones for net in (zone.dmz, zone.private, zone.edge)]
    assert all(subnet.subnet_of(network) for subnet in subnets)
    assert not any(a.overlaps(b) for a in subnets for b in subnets if a is not b)
    # EC2 takes subnets from /16 to /28 and keeps the first four addresses and the last.
    homes = [(plan.zones[zone].dmz, a) for zone, a in zip(relay_zones, plan.relays, strict=True)]
    for subnet, host in [*homes, (plan.zones[0].private, plan.hub)]:
        assert 16 <= subnet.prefixlen <= 28
        assert subnet[3] < host < subnet[-1]
    assert len({*plan.relays, plan.hub}) == len(plan.relays) + 1


@given(networks(16, 20), PLANS, st.integers(0, 2))
def test_growth_renumbers_nothing(
    network: IPv4Network, shape: tuple[int, list[int]], new_zone: int
) -> None:
    zones, relay_zones = shape
    small = environment_plan(network, zones, relay_zones)
    more = min(zones + 1, 3)
    large = environment_plan(network, more, [*relay_zones, min(new_zone, more - 1)])
    assert large.zones[:zones] == small.zones
    assert large.relays[: len(small.relays)] == small.relays
    assert large.hub == small.hub


@given(networks(16, 26))
def test_a_branch_s_server_lies_in_its_subnet(network: IPv4Network) -> None:
    plan = branch_plan(network)
    assert plan.servers.subnet_of(network)
    assert plan.servers.prefixlen <= 28
    for subnet in (plan.edge, plan.transit):
        assert subnet.prefixlen <= 28
        assert subnet.subnet_of(network)
        assert not subnet.overlaps(plan.servers)
    assert not plan.edge.overlaps(plan.transit)
    assert plan.servers[3] < plan.server < plan.servers[-1]


SUPERNET = IPv4Network("192.168.0.0/20")


@st.composite
def within(draw: st.DrawFn) -> IPv4Network:
    length = draw(st.integers(20, 28))
    address = int(SUPERNET.network_address) + draw(st.integers(0, SUPERNET.num_addresses - 1))
    return IPv4Network((address, length), strict=False)


@given(st.lists(within(), max_size=40), st.integers(20, 26))
def test_a_free_network_is_the_lowest_that_overlaps_none(
    taken: list[IPv4Network], length: int
) -> None:
    free = [
        candidate
        for candidate in SUPERNET.subnets(new_prefix=length)
        if not any(candidate.overlaps(other) for other in taken)
    ]
    if free:
        assert free_network(SUPERNET, taken, length) == free[0]
    else:
        with pytest.raises(ValueError, match=f"no /{length} is free in {SUPERNET}"):
            free_network(SUPERNET, taken, length)


@given(within(), st.integers(1, 19))
def test_a_network_larger_than_the_supernet_is_never_free(taken: IPv4Network, length: int) -> None:
    with pytest.raises(ValueError, match=f"no /{length} is free"):
        free_network(SUPERNET, [taken], length)
