"""The program that fetches the smarthost's login: what it takes, and what Postfix then finds."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from userdata.machine import gatepost_secrets as program
from userdata.machine.gatepost_secrets import Settings, Tables, look

NEXTHOP = "[smtp.example.net]:587"
SETTINGS = Settings(region="us-east-1", parameter="/gatepost/dev/hub/smarthost", nexthop=NEXTHOP)
LOGIN = "AKIAEXAMPLE:p a:ss#wörd".replace("ö", "o")


class Ssm:
    """Systems Manager with one parameter, or with an error to raise."""

    def __init__(self, value: str = LOGIN, kind: str = "SecureString") -> None:
        self.value, self.kind = value, kind
        self.error: Exception | None = None

    def get_parameter(self, Name: str, WithDecryption: bool) -> dict[str, Any]:
        assert (Name, WithDecryption) == (SETTINGS.parameter, True)
        if self.error:
            raise self.error
        return {"Parameter": {"Value": self.value, "Type": self.kind}}


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "GetParameter")


@pytest.fixture
def running() -> bool:
    """Whether Postfix runs."""
    return True


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, running: bool) -> list[list[str]]:
    """The commands that were run; `postmap` leaves a copy of its source as the table."""
    ran: list[list[str]] = []

    def fake(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append(list(command))
        if command[0] == "postmap":
            source = Path(command[1].removeprefix("cdb:"))
            Path(f"{source}.cdb").write_text(source.read_text())
        inactive = "is-active" in command and not running
        return subprocess.CompletedProcess(command, 3 if inactive else 0)

    monkeypatch.setattr(program.subprocess, "run", fake)
    return ran


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path, NEXTHOP)


def in_force(tables: Tables) -> dict[str, str]:
    return {name: (tables.root / f"{name}.cdb").read_text() for name in ("login", "route")}


def test_without_a_login_mail_waits_and_the_alarm_tells_what_to_do(
    run: list[list[str]], tables: Tables
) -> None:
    ssm = Ssm()
    ssm.error = refusal("ParameterNotFound")
    assert look(SETTINGS, tables, ssm) == (
        "/gatepost/dev/hub/smarthost is missing: gatepost secret put dev smarthost; "
        "mail waits in the queue"
    )
    assert in_force(tables) == {"login": "", "route": f"* {program.WAITS}\n"}
    assert ["postqueue", "-f"] not in run


def test_the_login_is_for_root_alone_and_what_has_waited_goes(
    run: list[list[str]], tables: Tables
) -> None:
    missing = Ssm()
    missing.error = refusal("ParameterNotFound")
    look(SETTINGS, tables, missing)
    assert look(SETTINGS, tables, Ssm()) == ""
    assert in_force(tables) == {"login": f"{NEXTHOP} {LOGIN}\n", "route": ""}
    assert {f.stat().st_mode & 0o777 for f in tables.root.glob("login")} == {0o600}
    assert run[-2:] == [["postfix", "reload"], ["postqueue", "-f"]]
    assert not any(LOGIN in word for command in run for word in command)


def test_a_changed_login_is_taken_and_an_equal_one_is_no_work(
    run: list[list[str]], tables: Tables
) -> None:
    look(SETTINGS, tables, Ssm())
    count = len(run)
    assert look(SETTINGS, tables, Ssm()) == ""
    assert len(run) == count
    assert look(SETTINGS, tables, Ssm("other:login")) == ""
    assert in_force(tables)["login"] == f"{NEXTHOP} other:login\n"
    assert ["postqueue", "-f"] not in run[count:]
    assert run[-1] == ["postfix", "reload"]


@pytest.mark.parametrize("running", [False])
def test_before_postfix_has_started_nothing_is_told_to_it(
    run: list[list[str]], tables: Tables
) -> None:
    assert look(SETTINGS, tables, Ssm()) == ""
    assert {command[0] for command in run} == {"postmap", "systemctl"}
    assert run[-1][:2] == ["systemctl", "is-active"]


@pytest.mark.parametrize(
    ("ssm", "error", "sentence"),
    [
        (Ssm(), refusal("ParameterNotFound"), "is missing: gatepost secret put dev smarthost"),
        (Ssm(), refusal("AccessDeniedException"), "cannot be read: An error occurred (AccessD"),
        (Ssm(), EndpointConnectionError(endpoint_url="https://ssm"), "cannot be read: Could not"),
        (Ssm(kind="String"), None, "must be a SecureString"),
        (Ssm("nocolon"), None, "must be user:password"),
        (Ssm("user:"), None, "must be user:password"),
        (Ssm("user:two\nlines"), None, "must be user:password"),
        (Ssm("user:ends with a space "), None, "must be user:password"),
        (Ssm(" user:x"), None, "must be user:password"),
    ],
)
@pytest.mark.usefixtures("run")
def test_in_trouble_the_last_one_stays_in_force(
    tables: Tables, ssm: Ssm, error: Exception | None, sentence: str
) -> None:
    look(SETTINGS, tables, Ssm())
    before = in_force(tables)
    ssm.error = error
    found = look(SETTINGS, tables, ssm)
    assert sentence in found
    assert found.endswith("; the last one stays in force")
    assert "two" not in found
    assert in_force(tables) == before


@pytest.mark.usefixtures("run")
def test_the_login_of_another_smarthost_is_not_used(tables: Tables) -> None:
    look(SETTINGS, tables, Ssm())
    moved = Tables(tables.root, "[other.example.net]:587")
    moved.prepare()
    assert in_force(moved) == {"login": "", "route": f"* {program.WAITS}\n"}
