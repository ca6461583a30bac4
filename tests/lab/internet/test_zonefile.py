"""Route 53's record sets as master files; the checker that counts is in test_names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.internet.zonefile import ZoneError, absolute, record_lines, txt_strings, within, zone_text
from tests.lab.internet.small_internet import record, zone

ZONE = "example.jp."


def route53_txt(strings: list[bytes]) -> str:
    """As the Route 53 Developer Guide tells to write a TXT value."""

    def escaped(octet: int) -> str:
        character = chr(octet)
        if character in '"\\':
            return f"\\{character}"
        return character if 0x20 <= octet < 0x7F else f"\\{octet:03o}"

    return " ".join('"' + "".join(map(escaped, string)) + '"' for string in strings)


def master_file_strings(text: str) -> list[bytes]:
    """An independent reader of RFC 1035 section 5.1: character strings with decimal escapes."""
    strings = []
    for quoted in re.findall(r'"((?:[^"\\]|\\.)*)"', text):
        octets, rest = bytearray(), quoted
        while rest:
            if rest[0] != "\\":
                octets.append(ord(rest[0]))
                rest = rest[1:]
            elif rest[1].isdigit():
                octets.append(int(rest[1:4]))
                rest = rest[4:]
            else:
                octets.append(ord(rest[1]))
                rest = rest[2:]
        strings.append(bytes(octets))
    return strings


@given(st.lists(st.binary(max_size=255), min_size=1, max_size=5))
def test_txt_strings_survive_the_change_of_escapes(strings: list[bytes]) -> None:
    value = route53_txt(strings)
    assert list(txt_strings(value)) == strings
    (line,) = record_lines(record(ZONE, "TXT", value), ZONE)
    assert master_file_strings(line) == strings


@given(st.binary(min_size=256, max_size=300))
def test_a_long_string_is_refused(string: bytes) -> None:
    with pytest.raises(ZoneError, match=rf"a string of {len(string)} octets"):
        txt_strings(route53_txt([string]))


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("TXT", "v=spf1", "double quotes"),
        ("TXT", '"a" b', "double quotes"),
        ("TXT", '"a', "double quotes"),
        ("TXT", '"\\400"', "over"),
        ("TXT", '"\\9"', "no escape"),
        ("TXT", '"\\089"', "no escape"),
        ("TXT", '"é"', "octal escape"),
        ("TXT", '"a\nb"', "octal escape"),
        ("A", "192.0.2.1 ; x", "outside double quotes"),
        ("MX", "10 (mx", "outside double quotes"),
    ],
)
def test_malformed_values_are_refused(kind: str, value: str, said: str) -> None:
    with pytest.raises(ZoneError, match=said) as caught:
        record_lines(record("x.example.jp.", kind, value), ZONE)
    assert f"record {kind} x.example.jp. of zone example.jp." in str(caught.value)


def test_an_alias_is_refused() -> None:
    with pytest.raises(ZoneError, match="alias"):
        record_lines(record("www.example.jp.", "A"), ZONE)


def test_a_record_outside_its_zone_is_refused() -> None:
    with pytest.raises(ZoneError, match="outside the zone"):
        record_lines(record("example.com.", "A", "192.0.2.1"), ZONE)
    with pytest.raises(ZoneError, match="outside the zone"):
        record_lines(record("notexample.jp.", "A", "192.0.2.1"), ZONE)


@pytest.mark.parametrize("ttl", [-1, 2**31])
def test_a_ttl_out_of_range_is_refused(ttl: int) -> None:
    with pytest.raises(ZoneError, match=f"TTL {ttl}"):
        record_lines(record(ZONE, "A", "192.0.2.1", ttl=ttl), ZONE)


def test_names_without_a_final_dot_are_complete() -> None:
    text = zone_text(zone(ZONE, record(ZONE, "MX", "10 mx1.example.jp")))
    assert text.startswith("$ORIGIN .\n")
    assert "example.jp. 300 IN MX 10 mx1.example.jp\n" in text


def test_a_wildcard_may_be_written_in_octal() -> None:
    (line,) = record_lines(record("\\052.Example.jp", "A", "192.0.2.1"), ZONE)
    assert line == "\\042.example.jp. 300 IN A 192.0.2.1"


def test_the_soa_is_the_one_held_or_route53s_own() -> None:
    held = "ns-1.example. host.example. 7 7200 900 1209600 86400"
    assert f"900 IN SOA {held}\n" in zone_text(zone(ZONE, record(ZONE, "SOA", held, ttl=900)))
    text = zone_text(zone(ZONE))
    assert "example.jp. 900 IN SOA ns-2048.awsdns-64.com. awsdns-hostmaster.amazon.com. 1" in text


@pytest.mark.parametrize(
    ("name", "parent", "inside"),
    [
        ("example.jp.", "example.jp.", True),
        ("a.example.jp.", "example.jp.", True),
        ("aexample.jp.", "example.jp.", False),
        ("jp.", "example.jp.", False),
        ("anything.", ".", True),
    ],
)
def test_within(name: str, parent: str, inside: bool) -> None:
    assert within(name, parent) is inside


def test_absolute() -> None:
    assert [absolute(name) for name in ("Example.JP", "example.jp.", "")] == [
        "example.jp.",
        "example.jp.",
        ".",
    ]
