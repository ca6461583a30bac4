"""What the running name server and the VPCs' resolvers answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from checks.dns import NO_TRANSFER
from lab.faults import SOUND, Faults
from lab.internet.control import InternetError
from lab.internet.hosts import exec_argv
from lab.internet.plan import CLOUD, INTERNET, MIRROR, NAMES
from lab.internet.resolver import LINK_LOCAL_RESOLVER, resolver_address
from lab.world.model import World
from tests.lab.internet.small_internet import (
    MIRROR_NAME,
    OTHER_VPC,
    REGION,
    RELAY_ADDRESS,
    VPC,
    SmallInternet,
    example_world,
    record,
)

AUTHORITATIVE = [
    ("example.jp", "MX", ["10 mx1.example.jp."]),
    (
        "example.jp",
        "TXT",
        ['"one " "string; \\195\\169 \\"quoted\\""', '"v=spf1 mx -all"'],
    ),
    ("example.jp", "NS", ["ns-2048.awsdns-64.com."]),
    ("example.jp", "CAA", ['0 issue "letsencrypt.org"']),
    ("mx1.example.jp", "A", [RELAY_ADDRESS]),
    ("anyone.users.example.jp", "A", ["mx1.example.jp.", RELAY_ADDRESS]),
    ("25.100.51.198.in-addr.arpa", "PTR", ["mx1.example.jp."]),
    (
        "26.100.51.198.in-addr.arpa",
        "PTR",
        [f"ec2-198-51-100-26.{REGION}.compute.amazonaws.com."],
    ),
    ("10.2.0.192.in-addr.arpa", "PTR", ["mx.example.net."]),
    ("example.net", "MX", ["10 mx.example.net."]),
    ("example.com", "TXT", ['"v=spf1 mx -all"']),
    (f"bucket.s3.{REGION}.amazonaws.com", "A", [CLOUD.address]),
    (MIRROR_NAME, "A", [MIRROR.address]),
]


@pytest.mark.parametrize(("name", "kind", "values"), AUTHORITATIVE)
def test_the_internet_answers(
    internet: SmallInternet, name: str, kind: str, values: list[str]
) -> None:
    answer = internet.at("names", "dig", "+short", f"@{NAMES.address}", name, kind)
    assert sorted(answer.stdout.splitlines()) == sorted(values)


def test_nobody_gets_a_copy_of_a_zone(internet: SmallInternet) -> None:
    said = internet.at("internet2", "dig", "+short", "AXFR", "example.jp", f"@{NAMES.address}")
    assert (said.returncode, said.stdout.strip()) == (0, NO_TRANSFER)


@pytest.mark.parametrize(
    "name", ["nowhere.example.jp", "debian.pool.ntp.org", "4.1.1.10.in-addr.arpa"]
)
def test_what_nobody_has_is_nxdomain(internet: SmallInternet, name: str) -> None:
    answer = internet.at("names", "dig", f"@{NAMES.address}", name)
    assert "status: NXDOMAIN" in answer.stdout
    assert " aa " in answer.stdout.partition("flags:")[2].partition(";")[0]


def test_private_names_do_not_leak(internet: SmallInternet) -> None:
    answer = internet.at("names", "dig", f"@{NAMES.address}", "hub.corp.internal")
    assert "status: NXDOMAIN" in answer.stdout


def test_glibc_takes_answers_of_a_server_without_recursion(internet: SmallInternet) -> None:
    script = f"import socket; print(socket.gethostbyaddr('{RELAY_ADDRESS}')[0])"
    assert internet.at(NAMES.namespace, "python3", "-c", script).stdout == "mx1.example.jp\n"


@pytest.mark.parametrize("server", [resolver_address(VPC), LINK_LOCAL_RESOLVER])
@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("hub.corp.internal", "A", "10.1.1.4"),
        (f"ip-10-1-1-4.{REGION}.compute.internal", "A", "10.1.1.4"),
        ("4.1.1.10.in-addr.arpa", "PTR", f"ip-10-1-1-4.{REGION}.compute.internal."),
        ("mx1.example.jp", "A", RELAY_ADDRESS),
        ("elsewhere.example.jp", "A", INTERNET.address),
    ],
)
def test_a_vpc_resolves(
    internet: SmallInternet, server: str, name: str, kind: str, value: str
) -> None:
    answer = internet.dig(VPC.id, server, name, kind).stdout
    assert value in answer.split()
    assert " ra;" in answer
    assert " ad" not in answer.partition("flags:")[2].partition(";")[0]


@pytest.mark.parametrize(
    "query",
    [
        ("hub.corp.internal", "A"),
        (f"ip-10-1-1-4.{REGION}.compute.internal", "A"),
        ("4.1.1.10.in-addr.arpa", "PTR"),
    ],
)
def test_another_vpc_does_not_see_it(internet: SmallInternet, query: tuple[str, str]) -> None:
    answer = internet.dig(OTHER_VPC.id, resolver_address(OTHER_VPC), *query)
    assert "status: NXDOMAIN" in answer.stdout


def with_record(world: World, name: str, kind: str, value: str) -> World:
    public, *others = world.zones
    grown = replace(public, records=(*public.records, record(name, kind, value)))
    return replace(world, zones=(grown, *others))


def test_a_new_record_is_seen_at_once_and_then_gone(internet: SmallInternet) -> None:
    world = example_world()
    name = "new.example.jp."

    def seen() -> list[str]:
        inside = internet.dig(VPC.id, resolver_address(VPC), name, "A").stdout
        outside = internet.at("internet", "dig", name).stdout
        return [word for word in (inside + outside).split() if word == "198.51.100.99"]

    assert seen() == []
    try:
        internet.apply(with_record(world, name, "A", "198.51.100.99"))
        assert len(seen()) == 2
    finally:
        internet.apply(world)
    assert seen() == []


def test_outside_a_record_is_remembered_for_its_time_if_it_is_to_be(
    internet: SmallInternet,
) -> None:
    world = example_world()

    def policy() -> str:
        return internet.at("internet2", "dig", "+short", "policy.example.jp", "TXT").stdout

    old = with_record(world, "policy.example.jp.", "TXT", '"old"')
    new = with_record(world, "policy.example.jp.", "TXT", '"new"')
    try:
        internet.apply(old)
        internet.fault(Faults(dns_remembered=True))
        assert policy() == '"old"\n'
        internet.apply(new)
        assert policy() == '"old"\n'
        internet.fault(SOUND)
        assert policy() == '"new"\n'
    finally:
        internet.fault(SOUND)
        internet.apply(world)


ASK_ALL_THE_TIME = """
import socket, struct, sys, time
name = b"\\3mx1\\7example\\2jp\\0"
query = struct.pack(">6H", 7, 0, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1)
asked = unanswered = 0
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    asked += 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.sendto(query, (sys.argv[1], 53))
        try:
            flags, answers = struct.unpack(">2xH2xH", client.recv(512)[:8])
            unanswered += flags & 15 != 0 or answers != 1
        except TimeoutError:
            unanswered += 1
print(asked > 100, unanswered)
"""


def test_no_query_is_lost_while_zones_change(internet: SmallInternet) -> None:
    world = example_world()
    argv = exec_argv(NAMES.namespace, ["python3", "-c", ASK_ALL_THE_TIME, NAMES.address, "2"])
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(internet.run, argv)
        try:
            for number in range(3):
                internet.apply(with_record(world, "new.example.jp.", "A", f"192.0.2.{number}"))
        finally:
            internet.apply(world)
        assert asking.result().stdout == "True 0\n"


def test_a_bad_record_is_told_and_the_old_zone_stays(internet: SmallInternet) -> None:
    try:
        with pytest.raises(InternetError, match=r"zone example\.jp\..*(?s:.)*address"):
            internet.apply(with_record(example_world(), "bad.example.jp.", "A", "198.51.100.999"))
        answer = internet.at("names", "dig", "+short", f"@{NAMES.address}", "example.jp", "MX")
        assert answer.stdout == "10 mx1.example.jp.\n"
    finally:
        internet.apply(example_world())


def test_a_vpc_that_goes_takes_its_resolver_along(internet: SmallInternet) -> None:
    world = example_world()
    try:
        internet.apply(replace(world, vpcs=(VPC,)))
        answer = internet.dig(OTHER_VPC.id, resolver_address(OTHER_VPC), "+time=1", "example.jp")
        assert answer.returncode == 9  # dig(1): no reply from server
    finally:
        internet.apply(world)
    answer = internet.dig(OTHER_VPC.id, resolver_address(OTHER_VPC), "mx1.example.jp")
    assert RELAY_ADDRESS in answer.stdout


def test_an_undelegated_zone_is_found_by_nobody_until_the_registrar_acts(
    internet: SmallInternet,
) -> None:
    def asked() -> list[str]:
        inside = internet.dig(VPC.id, resolver_address(VPC), "mx1.example.jp", "A").stdout
        return [inside, internet.at("internet", "dig", "mx1.example.jp", "A").stdout]

    assert all(RELAY_ADDRESS in answer for answer in asked())
    try:
        internet.fault(Faults(undelegated=True))
        assert all("status: NXDOMAIN" in answer for answer in asked())
    finally:
        internet.fault(SOUND)
    assert all(RELAY_ADDRESS in answer for answer in asked())
