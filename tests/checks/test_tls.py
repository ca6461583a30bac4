"""The checks of TLS, with relays and an Internet whose answers a test chooses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from checks import suite, tls
from checks.deployment import Result
from checks.suite import Failed, Scene
from model.dns import policy_id
from tests.checks.fakes import RELAY, FakeDeployment, outputs

NAME = RELAY["host"]
POLICY = f"version: STSv1\r\nmode: enforce\r\nmx: {NAME}\r\nmax_age: 604800\r\n"
SENT = "status=sent (250 2.0.0 Ok)"


class Internet(FakeDeployment):
    """All is well, but for what a test sets."""

    def __init__(self, outbound: str = "relay") -> None:
        told = outputs(outbound)
        records = told["dev"]["records"]
        records.append({"name": "example.jp", "type": "MX", "values": [f"10 {NAME}."]})
        for domain in told["dev"]["domains"]:
            value = f"v=STSv1; id={policy_id(POLICY)};"
            records.append({"name": f"_mta-sts.{domain}", "type": "TXT", "values": [value]})
        super().__init__(told=told)
        self.verifies = True
        self.refuses = "error:0A00042E:SSL routines::tlsv1 alert protocol version"
        self.policy = POLICY
        self.statuses: dict[str, str] = {}
        self.head = (0, "HTTP/1.1 404 Not Found\nServer: nginx\n", "")
        self.denied = 4
        self.resolv_conf = "nameserver 127.0.0.1\n"
        self.root = "secure"
        self.records_of_others = {"_25._tcp.mx.example.com": "3 1 1 ab"}
        self.level = "Verified"
        self.recipient = ""

    def run(self, host: str, argv: Sequence[str], *, stdin: str = "", limit: float = 60) -> Result:
        code, out, err = self._answer(host, list(argv), stdin)
        return Result(code=code, out=out, err=err)

    def _answer(self, host: str, argv: list[str], stdin: str) -> tuple[int, str, str]:
        match argv[0]:
            case "openssl":
                return self._handshake(argv)
            case "curl":
                return self._page(argv)
            case "sts-check":
                return (0, "accepted", "") if self.verifies else (1, "refused", "")
            case "python3":
                return 0, self._script(argv, stdin), ""
            case "cat":
                return 0, self.resolv_conf if "resolv" in argv[1] else '{"zone": "Z1"}', ""
            case "systemctl":
                return 3, "inactive\n", ""
            case "dig":
                return 0, self.records_of_others.get(argv[-1], ""), ""
            case "sendmail":
                self.recipient = argv[-1]
                return 0, "", ""
            case "journalctl":
                return 0, self._log() if host == NAME else "", ""
        raise AssertionError(f"{argv} on {host}")

    def _handshake(self, argv: list[str]) -> tuple[int, str, str]:
        if "-verify_hostname" in argv:
            return (0, "", "") if self.verifies else (1, "", "verify error:num=18:self-signed")
        return 1, "", self.refuses

    def _page(self, argv: list[str]) -> tuple[int, str, str]:
        path = "/" + argv[-1].split("/", 3)[3]
        if "--insecure" in argv:
            return 35, "", "handshake failure"
        if "--head" in argv:
            return self.head
        if "-w" in argv:
            return 0, self.statuses.get(path, "404"), ""
        return 0, self.policy.replace("\r\n", "\n"), ""

    def _script(self, argv: list[str], stdin: str) -> str:
        if "boto3" not in argv[-1]:
            return f"{self.root}\n"
        tries = json.loads(stdin)
        return "\n".join(
            "AccessDenied" if number < self.denied else "InvalidChangeBatch"
            for number in range(len(tries))
        )

    def _log(self) -> str:
        other = "Nov 24 10:00:00 h postfix/smtp[8]: Untrusted TLS connection established to mx\n"
        mine = f"Nov 24 10:00:00 h postfix/smtp[7]: {self.level} TLS connection established to mx\n"
        done = f"Nov 24 10:00:01 h postfix/smtp[7]: 4F: to=<{self.recipient}>, {SENT}\n"
        return mine + other + done


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "ISSUE_LIMIT", 0)
    monkeypatch.setattr(tls, "POLICY_LIMIT", 0)


def scene(internet: Internet) -> Scene:
    return Scene(internet, limit=0.3)


@pytest.mark.parametrize("mode", ["relay", "smarthost"])
def test_every_check_passes_where_all_is_well(mode: str) -> None:
    internet = Internet(mode)
    checks = tls.checks(scene(internet))
    assert (tls.verified_sending in checks) is (mode == "relay")
    for check in checks:
        assert check(scene(internet)), check.__doc__


def test_before_delegation_there_are_no_certificates_to_check() -> None:
    internet = Internet()
    internet.told["dev"]["delegated"] = False
    found = tls.checks(scene(internet))
    assert found == [tls.old_versions, tls.own_resolver, tls.verified_sending]
    assert tls.old_versions(scene(internet)) == "2 attempts"


FAULTS: list[tuple[suite.Check, dict[str, Any], str]] = [
    (tls.certificate, {"verifies": False}, "port 25, dmz-ms.example.jp: verify error:num=18"),
    (tls.policy_clients, {"verifies": False}, "sts-check example.jp: refused"),
    (tls.old_versions, {"refuses": "no protocols available"}, "should refuse TLS 1.0: no prot"),
    (tls.old_versions, {"refuses": ""}, "should refuse TLS 1.0: exit status 1"),
    (tls.policies, {"policy": POLICY.replace("enforce", "testing")}, "is not of 'version"),
    (tls.nothing_else, {"statuses": {"/": "200"}}, "should answer 404 for /, said 200"),
    (tls.nothing_else, {"head": (0, "Server: nginx/1.22\n", "")}, "tells 'Server: nginx/1.22"),
    (tls.nothing_else, {"head": (28, "", "curl: (28) timed out")}, "dmz-ms.*: curl: .28. timed"),
    (tls.rights, {"denied": 3}, r"got \['AccessDenied', 'AccessDenied', 'AccessDenied', 'Inv"),
    (tls.rights, {"denied": 5}, "'AccessDenied', 'AccessDenied'"),
    (tls.own_resolver, {"resolv_conf": "nameserver 10.1.0.2\n"}, r"\['10.1.0.2'\]"),
    (tls.own_resolver, {"root": "flags 0x8180"}, "does not validate the root: flags 0x8180"),
    (tls.verified_sending, {"level": "Trusted"}, "has DANE, its host was Trusted"),
    (tls.verified_sending, {"records_of_others": {}}, "nothing was tried"),
]


@pytest.mark.parametrize(("check", "fault", "finding"), FAULTS)
def test_what_is_wrong_is_found(check: suite.Check, fault: dict[str, Any], finding: str) -> None:
    internet = Internet()
    for name, value in fault.items():
        setattr(internet, name, value)
    with pytest.raises(Failed, match=finding):
        check(scene(internet))


def test_a_policy_that_names_other_hosts_is_found() -> None:
    internet = Internet()
    internet.policy = POLICY.replace(NAME, "mx.example.net")
    for record in internet.told["dev"]["records"]:
        if record["name"].startswith("_mta-sts."):
            record["values"] = [f"v=STSv1; id={policy_id(internet.policy)};"]
    with pytest.raises(Failed, match=r"names {'mx.example.net'}, the relays are {'dmz-ms"):
        tls.policies(scene(internet))


def test_mail_that_is_not_sent_is_told() -> None:
    internet = Internet()
    internet.level = "Verified"
    setattr(internet, "_log", lambda: "")  # noqa: B010
    with pytest.raises(Failed, match=r"@example.com was not sent by dmz-ms.example.jp within 0.3"):
        tls.verified_sending(scene(internet))
