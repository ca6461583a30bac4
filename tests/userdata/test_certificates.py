"""The relay's certificate program: its lock in Route 53, what it runs, and what it puts in use."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gatepost_alarms
import pytest
from botocore.exceptions import ClientError

from lab.internet.authority import open_authority
from userdata.machine import gatepost_certificates as program
from userdata.machine.gatepost_certificates import Lock, Settings, Trouble

NAME = "_acme-challenge.lock.example.jp"
LINEAGES = {"host": ["mx1.example.jp"], "policy": ["mx1.example.jp", "mta-sts.example.jp"]}
ONE = Settings(host="mx1.example.jp", zone="Z1", lock=NAME, lineages=LINEAGES)
OTHER = Settings(host="mx2.example.jp", zone="Z1", lock=NAME, lineages=LINEAGES)


class Route53:
    """One name's record sets, changed as Route 53 does: the whole batch or nothing."""

    def __init__(self, *standing: dict[str, Any]) -> None:
        self.records = list(standing)
        self.denied = False
        self.changes: list[str] = []

    @property
    def value(self) -> str:
        """What stands in the lock; empty if nobody holds it."""
        return "".join(value["Value"] for r in self.records for value in r["ResourceRecords"])

    @value.setter
    def value(self, value: str) -> None:
        self.records = [record_set(value)]

    def change_resource_record_sets(self, HostedZoneId: str, ChangeBatch: Any) -> None:
        assert HostedZoneId == "Z1"
        if self.denied:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "ChangeResourceRecordSets")
        records, actions = list(self.records), []
        for item in ChangeBatch["Changes"]:
            record = item["ResourceRecordSet"] | {"Name": f"{NAME}."}
            assert (item["ResourceRecordSet"]["Name"].rstrip("."), record["Type"]) == (NAME, "TXT")
            if records if item["Action"] == "CREATE" else record not in records:
                error = {"Error": {"Code": "InvalidChangeBatch", "Message": item["Action"]}}
                raise ClientError(error, "ChangeResourceRecordSets")
            (records.append if item["Action"] == "CREATE" else records.remove)(record)
            actions.append(item["Action"])
        self.records = records
        self.changes += actions

    def list_resource_record_sets(self, **asked: str) -> dict[str, Any]:
        assert (asked["StartRecordName"], asked["StartRecordType"]) == (NAME, "TXT")
        # What follows in the zone is listed, too.
        later = record_set('"x 1"') | {"Name": "b.example.jp."}
        return {"ResourceRecordSets": [*self.records, later]}


def record_set(*values: str, **more: Any) -> dict[str, Any]:
    """The lock as Route 53 lists it."""
    found = {"Name": f"{NAME}.", "Type": "TXT", "TTL": program.LOCK_TTL}
    return found | {"ResourceRecords": [{"Value": value} for value in values]} | more


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Time that passes by sleeping only."""
    now = {"now": 1_800_000_000.0}

    def sleep(seconds: float) -> None:
        now["now"] += seconds

    monkeypatch.setattr(program.time, "time", lambda: now["now"])
    monkeypatch.setattr(program.time, "monotonic", lambda: now["now"])
    monkeypatch.setattr(program.time, "sleep", sleep)
    return now


def test_one_relay_at_a_time_holds_the_lock(clock: dict[str, float]) -> None:
    route53 = Route53()
    with Lock(route53, ONE).held():
        begun = clock["now"]
        with (
            pytest.raises(Trouble, match=r'held by "mx1.example.jp \d+" for 900 s'),
            Lock(route53, OTHER).held(),
        ):
            raise AssertionError("two hold it")
        assert clock["now"] - begun == pytest.approx(program.LOCK_PATIENCE, abs=5)
    assert route53.value == ""
    with Lock(route53, OTHER).held():
        assert route53.value.startswith('"mx2.example.jp ')


def test_a_lock_that_was_left_behind_is_broken_in_one_batch(clock: dict[str, float]) -> None:
    route53 = Route53()
    left = f'"mx1.example.jp {int(clock["now"]) + 60}"'
    route53.value = left
    begun = clock["now"]
    with Lock(route53, OTHER).held():
        assert 60 <= clock["now"] - begun < 70
        assert route53.changes == ["DELETE", "CREATE"]
    assert route53.value == ""


def test_of_two_that_break_a_lock_one_has_it(clock: dict[str, float]) -> None:
    route53 = Route53()
    route53.value = f'"mx3.example.jp {int(clock["now"]) - 1}"'
    held = Lock(route53, ONE)
    stale = record_set(route53.value)
    assert held._take()
    other = record_set('"mx2.example.jp 1"')
    assert not Lock(route53, OTHER)._change(("DELETE", stale), ("CREATE", other))


@pytest.mark.parametrize(
    "standing",
    [
        [record_set('""')],
        [record_set('"nonsense"')],
        [record_set('"mx1.example.jp nan"')],
        [record_set('"mx1.example.jp 4000000000"')],
        [record_set('"mx1.example.jp 1" "800000100"')],
        [record_set('"mx1.example.jp 1800000100"', '"mx1.example.jp 1800000200"')],
        [record_set('"nonsense"', TTL=86400)],
        [record_set(f'"{word}"', SetIdentifier=word, Weight=1) for word in ("one", "two")],
    ],
)
def test_what_no_relay_would_have_written_holds_nobody_up(
    clock: dict[str, float], standing: list[dict[str, Any]]
) -> None:
    route53 = Route53(*standing)
    with Lock(route53, OTHER).held():
        assert route53.value.startswith('"mx2.example.jp ')
    assert clock["now"] == 1_800_000_000.0
    assert route53.records == []


def test_a_clock_may_be_a_little_ahead(clock: dict[str, float]) -> None:
    route53 = Route53()
    route53.value = f'"mx1.example.jp {int(clock["now"]) + program.LOCK_LIFETIME + 30}"'
    with pytest.raises(Trouble), Lock(route53, OTHER).held():
        raise AssertionError("it is held by a relay")


def test_a_lock_that_was_taken_over_is_told(
    clock: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    route53 = Route53()
    with Lock(route53, ONE).held():
        route53.value = '"mx2.example.jp 1"'
    assert "took it over" in capsys.readouterr().err
    assert route53.value == '"mx2.example.jp 1"'


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A relay's files, its services and a certbot that issues from an authority of its own."""
    for name, place in (("LIVE", "live"), ("IN_USE", "use")):
        (tmp_path / place).mkdir()
        monkeypatch.setattr(program, name, tmp_path / place)
    authority = open_authority(tmp_path / "authority")
    pair = authority.issue(["localhost"]).partition(b"-----BEGIN CERT")
    (tmp_path / "self.key").write_bytes(pair[0])
    (tmp_path / "self.pem").write_bytes(pair[1] + pair[2])
    monkeypatch.setattr(
        program, "SELF_SIGNED", (str(tmp_path / "self.key"), str(tmp_path / "self.pem"))
    )

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        with (tmp_path / "commands").open("a") as log:
            log.write(" ".join(command) + "\n")
        if command[0] == "certbot":
            if (tmp_path / "refuses").exists():
                return subprocess.CompletedProcess(command, 1, "", "no\n  way")
            lineage = command[command.index("--cert-name") + 1]
            names = command[command.index("--domains") + 1].split(",")
            key, mark, chain = authority.issue(names).partition(b"-----BEGIN CERT")
            folder = tmp_path / "live" / lineage
            folder.mkdir(exist_ok=True)
            (folder / "privkey.pem").write_bytes(key)
            (folder / "fullchain.pem").write_bytes(mark + chain)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(program.subprocess, "run", run)
    return tmp_path


def commands(machine: Path) -> list[str]:
    """What was run since the last look."""
    file = machine / "commands"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def test_until_one_is_issued_the_self_signed_pair_is_in_use(machine: Path) -> None:
    assert program.deploy() == []
    file = machine / "use" / "host.pem"
    assert file.read_bytes() == b"".join(
        (machine / name).read_bytes() for name in ("self.key", "self.pem")
    )
    assert file.stat().st_mode & 0o777 == 0o600
    commands(machine)
    assert program.deploy() == []
    assert commands(machine) == [], "nothing is reloaded when nothing changed"


def test_a_renewal_is_put_in_use_by_a_reload(machine: Path) -> None:
    program.deploy()
    commands(machine)
    assert program.renew(ONE, Route53()) == []
    ran = commands(machine)
    assert ran[0].startswith("certbot certonly --quiet --non-interactive --agree-tos ")
    assert "--cert-name host --keep-until-expiring" in ran[0]
    assert "--domains mx1.example.jp --reuse-key" in ran[0]
    assert "--domains mx1.example.jp,mta-sts.example.jp" in ran[3]
    assert "--reuse-key" not in ran[3]
    assert ran[1:3] == [
        "systemctl is-active --quiet postfix.service",
        "systemctl reload postfix.service",
    ]
    assert ran[4:] == ["systemctl --no-block reload-or-restart nginx.service"]
    first = (machine / "use" / "host.pem").read_bytes()
    assert program.renew(ONE, Route53(), force=True) == []
    assert "--force-renewal" in commands(machine)[0]
    assert (machine / "use" / "host.pem").read_bytes() != first


def test_what_is_in_use_outlives_a_volume_that_has_not_come(machine: Path) -> None:
    program.renew(ONE, Route53())
    before = (machine / "use" / "host.pem").read_bytes()
    (machine / "live").rename(machine / "away")
    commands(machine)
    assert program.deploy() == []
    assert (machine / "use" / "host.pem").read_bytes() == before
    assert commands(machine) == []


def test_a_failure_leaves_what_is_in_use_and_raises_an_alarm(machine: Path) -> None:
    program.renew(ONE, Route53())
    before = (machine / "use" / "host.pem").read_bytes()
    (machine / "refuses").touch()
    problems = program.renew(ONE, Route53())
    assert problems == [
        "host (mx1.example.jp): certbot: no way",
        "policy (mx1.example.jp, mta-sts.example.jp): certbot: no way",
    ]
    assert (machine / "use" / "host.pem").read_bytes() == before


def test_an_alarm_stands_until_a_renewal_goes_well(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatepost_alarms, "FOLDER", machine / "alarms")
    monkeypatch.setattr(program, "SETTINGS", machine / "certificates.json")
    monkeypatch.setattr(program.boto3, "client", lambda *_, **__: Route53())
    program.SETTINGS.write_text(json.dumps(asdict(ONE)))
    alarm = machine / "alarms" / "certificates"
    (machine / "refuses").touch()
    assert program.main(["renew"]) == 1
    assert alarm.read_text().startswith("host (mx1.example.jp): certbot: no way; policy (")
    assert program.main(["deploy"]) == 0
    assert alarm.exists()
    (machine / "refuses").unlink()
    assert program.main(["renew"]) == 0
    assert not alarm.exists()


def test_trouble_that_nobody_thought_of_is_an_alarm_too(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gatepost_alarms, "FOLDER", machine / "alarms")
    monkeypatch.setattr(program, "SETTINGS", machine / "certificates.json")
    program.SETTINGS.write_text('{"host": "mx1.example.jp"}')
    with pytest.raises(TypeError):
        program.main(["renew"])
    alarm = (machine / "alarms" / "certificates").read_text()
    assert alarm.startswith("TypeError: ")
    assert "missing" in alarm


def test_without_the_lock_the_own_name_is_renewed_all_the_same(machine: Path) -> None:
    route53 = Route53()
    route53.denied = True
    [problem] = program.renew(ONE, route53)
    assert problem.startswith("policy (mx1.example.jp, mta-sts.example.jp): An error occurred")
    assert (machine / "live" / "host" / "fullchain.pem").exists()
    assert not (machine / "live" / "policy").exists()


def test_a_key_and_a_chain_that_do_not_belong_together_are_not_used(machine: Path) -> None:
    program.renew(ONE, Route53())
    before = (machine / "use" / "host.pem").read_bytes()
    live = machine / "live"
    (live / "host" / "privkey.pem").write_bytes((live / "policy" / "privkey.pem").read_bytes())
    [problem] = program.deploy()
    assert "do not belong together" in problem
    assert (machine / "use" / "host.pem").read_bytes() == before


def test_certbot_never_outlives_its_lock() -> None:
    assert program.CERTBOT_LIMIT < program.LOCK_LIFETIME
