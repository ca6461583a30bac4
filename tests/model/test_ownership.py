"""Whose a record set of an existing zone is."""

from __future__ import annotations

from model.dns import Record
from model.ownership import Found, collisions, owner_record, plain_name

DOMAIN = "example.jp"


def record(name: str, kind: str, domain: str = DOMAIN) -> Record:
    return Record(domain=domain, name=name, type=kind, values=("x",))


WANTED = (
    record("example.jp", "MX"),
    record("example.jp", "TXT"),
    record("mx.example.jp", "A"),
    record("example.co.jp", "MX", "example.co.jp"),
)
LIST = owner_record("dev", DOMAIN, WANTED)


def found(name: str, kind: str, *values: str) -> Found:
    return Found(name=name, type=kind, values=values)


def told(*there: Found, stack: str = "dev") -> list[str]:
    return collisions(stack, DOMAIN, [LIST, *WANTED], list(there))


def quoted(record: Record) -> Found:
    return found(record.name, record.type, *(f'"{value}"' for value in record.values))


def test_the_list_names_the_stack_and_its_record_sets_in_that_zone() -> None:
    assert (LIST.name, LIST.type, LIST.domain) == ("_gatepost.example.jp", "TXT", DOMAIN)
    assert LIST.values == ("stack dev", "MX example.jp", "TXT example.jp", "A mx.example.jp")


def test_what_is_in_the_way_is_told_with_its_values_and_what_to_do() -> None:
    other, mx, txt, cname = told(
        found("example.jp", "MX", "10 old.example.jp."),
        found("example.jp", "TXT", '"v=spf1 mx -all"', '"proof=1"'),
        found("mx.example.jp", "CNAME", "old.example.jp."),
        found("example.co.jp", "MX", "10 elsewhere."),
        found("www.example.jp", "A", "192.0.2.1"),
        found("example.jp", "NS", "ns-1.test."),
        found("_gatepost.example.jp", "CNAME", "strange."),
    )
    assert mx == (
        "environment.dns.hosted_zones.example.jp: example.jp MX is there and not ours: "
        "10 old.example.jp.; delete it first, or choose another zone"
    )
    assert 'example.jp TXT is there and not ours: "v=spf1 mx -all", "proof=1"; take what' in txt
    assert "environment.dns.texts.example.jp" in txt
    assert "mx.example.jp CNAME is there and not ours: old.example.jp." in cname
    assert "_gatepost.example.jp CNAME" in other


def test_what_the_list_names_is_ours_and_nothing_else() -> None:
    mx = found("example.jp", "MX", "10 mx.example.jp.")
    assert told(quoted(LIST), mx) == []
    shorter = owner_record("dev", DOMAIN, WANTED[:1])
    later = found("mx.example.jp", "A", "192.0.2.1")
    [problem] = told(quoted(shorter), mx, later)
    assert "mx.example.jp A is there and not ours: 192.0.2.1" in problem


def test_a_zone_that_another_stack_uses_is_refused() -> None:
    problems = told(quoted(LIST), found("mx.example.jp", "A", "192.0.2.1"), stack="prod")
    assert "is in use by another stack" in problems[0]
    assert "stack dev" in problems[0]
    assert "mx.example.jp A is there and not ours" in problems[1]
    assert len(problems) == 2


def test_names_are_read_as_route_53_writes_them() -> None:
    assert plain_name(r"\052.Example.JP.") == "*.example.jp"
    assert plain_name("_dmarc.example.jp.") == "_dmarc.example.jp"
