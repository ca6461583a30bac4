"""Which names each certificate of a relay holds, and the records that prove them."""

from __future__ import annotations

from model import certificates

HOST = "mx1.example.jp"


def test_two_relays_never_ask_for_the_same_set_of_names() -> None:
    domains = ("example.jp", "example.co.jp")
    one = certificates.lineages(HOST, domains)
    other = certificates.lineages("mx2.example.jp", domains)
    assert one == {
        "host": (HOST,),
        "policy": (HOST, "mta-sts.example.jp", "mta-sts.example.co.jp"),
    }
    assert not {frozenset(names) for names in one.values()} & {
        frozenset(names) for names in other.values()
    }


def test_no_certificate_has_more_names_than_the_authority_takes() -> None:
    domains = [f"d{number}.example" for number in range(200)]
    found = certificates.lineages(HOST, domains)
    assert list(found) == ["host", "policy", "policy-2", "policy-3"]
    assert all(len(names) <= 100 and names[0] == HOST for names in found.values())
    served = [name for names in found.values() for name in names[1:]]
    assert served == [f"mta-sts.{domain}" for domain in domains]


def test_every_name_has_its_record_and_the_lock_is_nobody_s_name() -> None:
    domains = ("example.jp", "example.co.jp")
    records = certificates.challenges(HOST, domains)
    named = {name for names in certificates.lineages(HOST, domains).values() for name in names}
    assert set(records) == {f"_acme-challenge.{name}" for name in named} | {
        "_acme-challenge.lock.example.jp"
    }
    assert "lock.example.jp" not in named
