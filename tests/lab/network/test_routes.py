"""Route tables as next hops, without a kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from lab.network.names import AWS_LINK, FAR_END, IGW_LINK, peering_link
from lab.network.ports import find_ports
from lab.network.routes import Hop, Table, compile_table, longest_match
from lab.world.model import Route, World
from lab.world.names import link_name
from tests.lab.network.worlds import (
    ADDRESS,
    IGW,
    NAT,
    NAT_ADDRESS,
    RELAY,
    S3_ENDPOINT,
    S3_LIST,
    TO_BRANCH,
    TO_THIRD,
    company,
    route,
    with_routes,
)

addresses = st.ip_addresses(v=4)
networks = st.builds(
    lambda address, length: IPv4Network((address, length), strict=False),
    addresses,
    st.integers(0, 32),
)


def table_of(world: World, table_id: str = "rtb-inside") -> Table:
    table = next(table for table in world.route_tables if table.id == table_id)
    return compile_table(world, table, find_ports(world))


def hop(world: World, address: str, table_id: str = "rtb-inside") -> Hop | None:
    return longest_match(table_of(world, table_id), IPv4Address(address))


@given(st.dictionaries(networks, st.integers()), addresses)
def test_the_longest_prefix_wins(routes: dict[IPv4Network, int], address: IPv4Address) -> None:
    # The definition itself, bit by bit: try the whole address, then one bit less, and so on.
    expected = None
    for length in range(32, -1, -1):
        network = IPv4Network((address, length), strict=False)
        if network in routes:
            expected = routes[network]
            break
    assert longest_match(routes, address) == expected


@given(addresses)
def test_every_address_has_an_answer_and_the_local_route_keeps_the_vpc(
    address: IPv4Address,
) -> None:
    found = hop(company(), str(address))
    if address in IPv4Network("10.0.0.0/16"):
        own = {port.private_ip: port.link for port in find_ports(company())}
        link = own.get(str(address))
        assert found == (Hop(link=link) if link else None)
    elif address in IPv4Network("10.1.0.0/16"):
        assert found == Hop(link=peering_link(TO_BRANCH), via=FAR_END)
    elif address in IPv4Network("10.2.0.0/16"):
        assert found == Hop(link=peering_link(TO_THIRD), via=FAR_END)
    else:
        assert found == Hop(link=link_name(NAT), via=NAT_ADDRESS)


@given(st.lists(st.tuples(networks, st.booleans()), max_size=4))
def test_other_routes_never_take_an_address_from_the_local_route_unless_longer(
    extra: list[tuple[IPv4Network, bool]],
) -> None:
    routes = {
        str(network): route(str(network), "internet_gateway", IGW, active=active)
        for network, active in extra
        if network != IPv4Network("10.0.0.0/16")
    }
    world = with_routes(company(), "rtb-inside", *routes.values())
    relay = IPv4Address(ADDRESS[RELAY])
    longer = [network for network, _ in extra if relay in network and network.prefixlen > 16]
    found = hop(world, ADDRESS[RELAY])
    assert (found is not None and found.via is None) == (not longer)


def test_each_kind_of_target() -> None:
    world = with_routes(
        company(),
        "rtb-inside",
        route(S3_LIST, "gateway_endpoint", S3_ENDPOINT),
        route("192.0.2.0/24", "internet_gateway", IGW),
        route("172.16.0.0/12", "interface", "eni-000000relay"),
    )
    assert hop(world, "203.0.113.129") == Hop(link=AWS_LINK, via=FAR_END)
    assert hop(world, "192.0.2.1") == Hop(link=IGW_LINK, via=FAR_END)
    assert hop(world, "172.16.0.1") == Hop(link=link_name("eni-000000relay"), via=ADDRESS[RELAY])


def test_what_leads_nowhere_is_dropped() -> None:
    def dropped(*routes: Route) -> bool:
        return hop(with_routes(company(), "rtb-inside", *routes), "192.0.2.1") is None

    assert dropped(route("192.0.2.0/24", "nat_gateway", NAT, active=False))
    assert dropped(route("192.0.2.0/24", "nat_gateway", "nat-gone"))
    assert dropped(route("192.0.2.0/24", "internet_gateway", "igw-of-another-vpc"))
    assert dropped(route("192.0.2.0/24", "peering", "pcx-gone"))
    assert dropped(route("192.0.2.0/24", "interface", "eni-gone"))
    assert hop(company(), "192.0.2.1", "rtb-third") == Hop(link=peering_link(TO_THIRD), via=FAR_END)


def test_a_cidr_wins_over_a_prefix_list_with_the_same_entry() -> None:
    world = with_routes(
        company(),
        "rtb-inside",
        route(S3_LIST, "gateway_endpoint", S3_ENDPOINT),
        route("203.0.113.128/25", "internet_gateway", IGW),
    )
    assert hop(world, "203.0.113.129") == Hop(link=IGW_LINK, via=FAR_END)


def test_ipv6_routes_are_left_out() -> None:
    world = with_routes(company(), "rtb-inside", route("::/0", "internet_gateway", IGW))
    assert table_of(world) == table_of(company())


def test_a_peering_with_an_unknown_vpc_leads_nowhere() -> None:
    world = company()
    peerings = tuple(replace(item, accepter="vpc-elsewhere") for item in world.peerings)
    assert hop(replace(world, peerings=peerings), "10.1.1.1") is None
