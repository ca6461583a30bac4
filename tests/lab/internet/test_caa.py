"""Whom a domain lets issue certificates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dns.rdata
import pytest
from dns.rdtypes.ANY.CAA import CAA

from lab.internet.caa import refusal


def records(*values: str) -> tuple[CAA, ...]:
    found = (dns.rdata.from_text("IN", "CAA", value) for value in values)
    return tuple(one for one in found if isinstance(one, CAA))


OURS, OTHERS = '0 issue "letsencrypt.org"', '0 issue "ca.example.net"'
IODEF = '0 iodef "mailto:postmaster@example.jp"'


@pytest.mark.parametrize(
    ("name", "zones", "said"),
    [
        ("mx.example.jp", {}, None),
        ("mx.example.jp", {"example.jp.": [OURS]}, None),
        ("mx.example.jp", {"mx.example.jp.": [OTHERS], "example.jp.": [OURS]}, "mx.example.jp"),
        ("mx.example.jp", {"jp.": [OTHERS]}, "CAA of jp allows 'ca.example.net'"),
        ("mx.example.jp", {"example.jp.": [OTHERS, OURS]}, None),
        ("mx.example.jp", {"example.jp.": [IODEF]}, None),
        ("mx.example.jp", {"example.jp.": ['0 issue ";"']}, "allows"),
        ("*.example.jp", {"example.jp.": [OURS, '0 issuewild ";"']}, "allows"),
        ("mx.example.jp", {"example.jp.": [OURS, '0 issuewild ";"']}, None),
        ("*.example.jp", {"example.jp.": [OURS]}, None),
        ("mx.example.jp", {"example.jp.": [OURS, '128 strange "x"']}, "critical"),
        ("mx.example.jp", {"example.jp.": [OURS, '0 strange "x"']}, None),
        (
            "mx.example.jp",
            {"example.jp.": ['0 issue "letsencrypt.org; validationmethods=http-01"']},
            "by dns-01",
        ),
        (
            "mx.example.jp",
            {"example.jp.": ['0 issue "letsencrypt.org; validationmethods=http-01,dns-01"']},
            None,
        ),
    ],
)
def test_who_may_issue(name: str, zones: Mapping[str, Sequence[str]], said: str | None) -> None:
    why = refusal(name, lambda place: records(*zones.get(place, ())))
    if said is None:
        assert why is None
    else:
        assert why is not None
        assert said in why
