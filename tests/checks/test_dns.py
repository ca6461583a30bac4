"""The check of public names, with an Internet whose answers a test chooses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from checks import dns
from checks.deployment import Result
from checks.suite import Failed, Scene
from tests.checks.fakes import HUB, RELAY, FakeDeployment, outputs

NAME, ADDRESS = RELAY["host"], RELAY["public_ip"]
ZONE = {
    (NAME, "A"): [ADDRESS],
    ("example.jp", "TXT"): [r'"say \"x\""', '"v=spf1 " "-all"'],
    ("example.jp", "NS"): ["ns-1.test."],
    ("example.co.jp", "NS"): ["ns-1.test."],
}


class Internet(FakeDeployment):
    """Answers dig from `zone` and `reverse`, and pyspf by `passing` addresses."""

    def __init__(self, told: dict[str, Any] | None = None, **zone: list[str]) -> None:
        super().__init__(told=told or outputs())
        self.zone = {**ZONE, **{tuple(key.split(" ")): value for key, value in zone.items()}}
        self.reverse = {ADDRESS: f"{NAME}."}
        self.passing = {ADDRESS}
        self.copied = "; Transfer failed.\n"
        self.code = 0
        self.flags = "qr rd ra ad"

    def run(self, host: str, argv: Sequence[str], *, stdin: str = "", limit: float = 60) -> Result:
        assert host == "internet"
        code = self.code if "AXFR" in argv else 0
        return Result(code=code, out=self._answer(list(argv), stdin), err="")

    def _answer(self, argv: list[str], stdin: str) -> str:
        if argv[0] == "python3":
            cases = json.loads(stdin)
            return json.dumps(
                [["pass" if i in self.passing else "fail", "why"] for i, _, _ in cases]
            )
        if "AXFR" in argv:
            return self.copied
        if "-x" in argv:
            return f"{self.reverse.get(argv[-1], '')}\n"
        if "+adflag" in argv:
            return f";; flags: {self.flags}; QUERY: 1\n"
        questions = zip(argv[3::2], argv[4::2], strict=True)
        return "".join(
            f"{name}.\t300\tIN\t{kind}\t{value}\n"
            for name, kind in questions
            for value in self.zone.get((name, kind), [])
        )


def scene(told: dict[str, Any] | None = None, **zone: Any) -> tuple[Scene, Internet]:
    internet = Internet(told, **zone)
    return Scene(internet), internet


@pytest.mark.parametrize(
    "check", [dns.records, dns.delegation, dns.nothing_inside, dns.reverse_names, dns.spf_verdicts]
)
def test_an_internet_that_agrees_passes(check: Any) -> None:
    assert check(scene()[0])


@pytest.mark.parametrize(
    ("zone", "finding"),
    [
        ({f"{NAME} A": []}, rf"{NAME} A should be .*, is \[\]"),
        ({f"{NAME} A": ["192.0.2.7"]}, "is .*192.0.2.7"),
        ({"example.jp TXT": ['"v=spf1 -all"']}, "example.jp TXT should be"),
    ],
)
def test_a_record_that_is_missing_or_another_is_told(zone: Any, finding: str) -> None:
    with pytest.raises(Failed, match=finding):
        dns.records(scene(**zone)[0])


def test_an_inside_address_in_the_zone_is_told() -> None:
    told = outputs()
    told["dev"]["records"][0]["values"] = [HUB["private_ip"]]
    with pytest.raises(Failed, match=r"no relay's and not NAT's: \{'10.1.11.5'\}"):
        dns.records(scene(told, **{f"{NAME} A": [HUB["private_ip"]]})[0])


def test_an_inside_name_and_a_zone_transfer_are_told() -> None:
    with pytest.raises(Failed, match=r"ms.example.jp is inside and should have no A, has .*10.1"):
        dns.nothing_inside(scene(**{"ms.example.jp A": ["10.1.11.5"]})[0])
    with pytest.raises(Failed, match=r"out.example.jp is inside and should have no TXT"):
        dns.nothing_inside(scene(**{"out.example.jp TXT": ['"x"']})[0])
    found, internet = scene()
    internet.copied = "; <<>> DiG\nexample.jp. 300 IN A 192.0.2.1\n"
    with pytest.raises(Failed, match=r"ns-1.test gave away the zone example.jp: 1 records"):
        dns.nothing_inside(found)
    internet.copied = "; Transfer failed.\n"
    assert dns.nothing_inside(found)


@pytest.mark.parametrize(
    ("code", "said"),
    [(0, ""), (0, ";; communications error to 192.0.2.1#53: timed out"), (9, "; Transfer failed.")],
)
def test_a_zone_transfer_that_nobody_refused_is_told(code: int, said: str) -> None:
    found, internet = scene()
    internet.copied, internet.code = said, code
    with pytest.raises(Failed, match=rf"ns-1.test should refuse a copy of .* ended with {code}"):
        dns.nothing_inside(found)


def test_name_servers_that_are_not_ours_are_told() -> None:
    with pytest.raises(Failed, match=r"name servers of example.jp should be .*ns-1.*other"):
        dns.delegation(scene(**{"example.jp NS": ["other.test."]})[0])


def test_a_reverse_name_that_does_not_agree_is_told() -> None:
    found, internet = scene()
    internet.reverse = {ADDRESS: "ec2-198.amazonaws.com."}
    with pytest.raises(Failed, match=rf"PTR of {ADDRESS} should be {NAME}., is .*ec2-198"):
        dns.reverse_names(found)
    told = outputs()
    told["dev"]["delegated"] = False
    assert dns.reverse_names(scene(told)[0]) == "they wait for delegation"


def test_spf_that_fails_an_exit_or_passes_a_stranger_is_told() -> None:
    found, internet = scene()
    internet.passing = set()
    with pytest.raises(Failed, match=rf"SPF of <> by {NAME} \[{ADDRESS}\] should pass: fail"):
        dns.spf_verdicts(found)
    internet.passing = {ADDRESS, "192.0.2.10"}
    with pytest.raises(Failed, match=r"SPF of <a@example.jp> by mx.example.net .* should fail"):
        dns.spf_verdicts(found)
    told = outputs("smarthost")
    told["dev"]["exits"] = {}
    with pytest.raises(Failed, match=rf"by {NAME} \[{ADDRESS}\] should fail: pass"):
        dns.spf_verdicts(scene(told)[0])


def test_a_signed_zone_needs_its_ds_and_must_validate() -> None:
    told = outputs()
    told["dev"]["ds"] = {"example.jp": f"7 13 2 {'AB' * 32}"}
    assert dns.signatures in dns.checks(scene(told)[0])
    assert dns.signatures not in dns.checks(scene()[0])
    shown = {"example.jp DS": [f"7 13 2 {'AB' * 28} {'AB' * 4}"]}
    assert dns.signatures(scene(told, **shown)[0]) == "example.jp"
    with pytest.raises(Failed, match=r"DS of example.jp"):
        dns.signatures(scene(told)[0])
    found, internet = scene(told, **shown)
    internet.flags = "qr rd ra"
    with pytest.raises(Failed, match=r"example.jp does not validate"):
        dns.signatures(found)


def test_values_are_compared_in_one_form() -> None:
    assert dns.canonical("TXT", r'"a\\b" "c\034d"') == 'a\\bc"d'
    assert dns.canonical("TXT", 'a "b"', ours=True) == 'a "b"'
    assert dns.canonical("TLSA", "3 1 1 ABCD EF") == "3 1 1 abcdef"
    assert dns.canonical("CAA", '0 issue "letsencrypt.org"') == '0 issue "letsencrypt.org"'
