"""Which zones the Internet serves, and what stands in the root."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lab.internet.dns import internal_domain, knot_config, public_domain, served, zone_file
from lab.internet.plan import NAMES
from lab.internet.resolver import resolver_address, unbound_config, vpc_zones
from lab.internet.zonefile import ZoneError
from lab.world.model import World, Zone
from tests.lab.internet.small_internet import (
    OTHER_VPC,
    REGION,
    VPC,
    example_world,
    record,
    zone,
)


def world_of(*zones: Zone) -> World:
    return World(region=REGION, account="1", vpcs=(VPC, OTHER_VPC), zones=zones)


def root_of(world: World) -> list[str]:
    return served(world, ()).zones["."].splitlines()


def test_only_public_zones_are_served() -> None:
    zones = served(example_world(), ()).zones
    assert set(zones) == {".", "example.jp.", "example.net.", "example.com."}


def test_the_root_delegates_to_the_zones_own_servers_and_knows_them() -> None:
    root = root_of(example_world())
    assert "example.jp. 60 IN NS ns-2048.awsdns-64.com." in root
    assert f"ns-2048.awsdns-64.com. 60 IN A {NAMES.address}" in root
    assert f"example.net. 60 IN NS {NAMES.host}." in root


def test_a_child_zone_needs_its_parents_delegation() -> None:
    child = zone("mail.example.jp.")
    world = world_of(zone("example.jp."), child)
    assert served(world, ()).undelegated == ("mail.example.jp.",)
    assert "mail.example.jp." not in served(world, ()).zones
    parent = zone("example.jp.", record("mail.example.jp.", "NS", "ns-2048.awsdns-64.com."))
    assert served(world_of(parent, child), ()).undelegated == ()
    assert "mail.example.jp." in served(world_of(parent, child), ()).zones


def test_before_the_registrar_delegates_nobody_finds_a_zone() -> None:
    parent = zone("example.jp.", record("mail.example.jp.", "NS", "ns-2048.awsdns-64.com."))
    found = served(world_of(parent, zone("mail.example.jp.")), (), registered=False)
    assert found.undelegated == ("example.jp.", "mail.example.jp.")
    assert not [name for name in found.zones if name.endswith("example.jp.")]
    assert "example.jp." not in found.zones["."]


def test_a_hosted_reverse_zone_takes_its_pointers_over() -> None:
    reverse = zone("100.51.198.in-addr.arpa.")
    world = replace(example_world(), zones=(reverse,))
    assert not [line for line in root_of(world) if line.startswith("25.100.51.198")]


def test_two_zones_of_one_name_are_refused() -> None:
    pair = (zone("example.jp.", identifier="Z1"), zone("Example.jp.", identifier="Z2"))
    with pytest.raises(ZoneError, match=r"example\.jp\. exists twice \(Z1, Z2\)"):
        served(world_of(*pair), ())


@pytest.mark.parametrize("name", ["example.net.", "mail.example.com.", "mirror.test."])
def test_the_outside_hosts_names_are_not_to_be_had(name: str) -> None:
    with pytest.raises(ZoneError, match="belongs to the lab's outside host"):
        served(world_of(zone(name)), ())


def test_each_zone_has_a_file_of_its_own() -> None:
    assert zone_file(".") == "root.zone"
    assert zone_file("0/25.100.51.198.in-addr.arpa.") == "0_25.100.51.198.in-addr.arpa.zone"
    config = knot_config([".", "example.jp."])
    assert '  - domain: "example.jp."\n    file: "example.jp.zone"' in config


@pytest.mark.parametrize(
    ("region", "internal", "public"),
    [
        ("us-east-1", "ec2.internal.", "compute-1.amazonaws.com."),
        (REGION, f"{REGION}.compute.internal.", f"{REGION}.compute.amazonaws.com."),
    ],
)
def test_ec2s_domains(region: str, internal: str, public: str) -> None:
    assert (internal_domain(region), public_domain(region)) == (internal, public)


def test_a_vpc_sees_its_own_private_zones_and_machines() -> None:
    world = example_world()
    assert set(vpc_zones(world, VPC)) == {
        "corp.internal.",
        f"{REGION}.compute.internal.",
        "10.in-addr.arpa.",
    }
    other = vpc_zones(world, OTHER_VPC)
    assert "corp.internal." not in other
    assert "4.1.2.10.in-addr.arpa. 60 IN PTR ip-10-2-1-4" in other["10.in-addr.arpa."]
    assert "10-1-1-4" not in "".join(other.values())


def test_a_private_zone_takes_the_place_of_an_internal_one() -> None:
    own = zone("10.in-addr.arpa.", private_in=(VPC.id,))
    world = replace(example_world(), zones=(own,))
    assert "PTR" not in vpc_zones(world, VPC)["10.in-addr.arpa."]


def test_one_private_zone_twice_is_refused() -> None:
    pair = [zone("corp.internal.", private_in=(VPC.id,), identifier=i) for i in ("Z1", "Z2")]
    with pytest.raises(ZoneError, match=r"vpc-0a sees private zone corp\.internal\. twice"):
        vpc_zones(world_of(*pair), VPC)


def test_the_resolver_is_at_base_plus_two() -> None:
    assert resolver_address(VPC) == "10.1.0.2"


def test_unbound_gives_up_its_own_answer_only_where_a_zone_is() -> None:
    config = unbound_config(
        addresses=["10.1.0.2"], folder="/f", control="/c", zones={"1.10.in-addr.arpa.": "z"}
    )
    assert 'local-zone: "10.in-addr.arpa." nodefault' in config
    assert "168.192.in-addr.arpa" not in config
