"""The machines' checks: a refusal counts if it is one, and so does a source of time."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from checks import machines
from checks.deployment import Result
from checks.suite import Failed, Scene
from tests.checks.fakes import RELAY, FakeDeployment

HOST = RELAY["host"]
AMAZON = "# Amazon's\nserver 169.254.169.123 prefer iburst minpoll 4 maxpoll 4\n"


class Machines(FakeDeployment):
    """Every host says the same: to root and to Postfix's user about a token, of units and time."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Result(code=0, out="token\n", err="")
        self.postfix = Result(code=0, out="ConnectionRefusedError\n", err="")
        self.units: dict[str, str] = {"apt-daily-upgrade.timer": "masked"}
        self.sources = AMAZON
        self.cloud_init = status()
        self.failed = ok("")

    def run(self, host: str, argv: Sequence[str], *, stdin: str = "", limit: float = 60) -> Result:
        match argv[0]:
            case "python3":
                return self.root
            case "setpriv":
                return self.postfix
            case "cloud-init":
                return self.cloud_init
            case "systemctl" if "--failed" in argv:
                return self.failed
            case "systemctl":
                return ok(self.units.get(argv[2], "enabled"))
            case "sh":
                return ok(self.sources)
            case "apt-config":
                return ok('APT::Periodic::Unattended-Upgrade "1";\n')
        return ok("[Journal]\nSystemMaxUse=1G\n")


def ok(out: str) -> Result:
    return Result(code=0, out=out, err="")


def status(
    extended: str = "done", errors: Sequence[str] = (), recoverable: Sequence[str] = ()
) -> Result:
    """As `cloud-init status --format json` tells it; exit status 1 of errors, 2 of the others."""
    told = {
        "extended_status": extended,
        "errors": list(errors),
        "recoverable_errors": {"WARNING": list(recoverable)} if recoverable else {},
    }
    return Result(code=1 if errors else 2 if recoverable else 0, out=json.dumps(told), err="")


def test_all_is_well() -> None:
    scene = Scene(Machines())
    checks = (machines.told, machines.units, machines.metadata_fence, machines.upkeep)
    assert {check(scene) for check in checks} == {"3 hosts"}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (status("running"), "should be done, is running: "),
        (status("error - done", ["no runcmd"]), "should be done, is error - done: no runcmd"),
        (status("degraded done", (), ["bad key"]), "should be done, is degraded done: bad key"),
        (status("done", (), ["bad key"]), "should be done, is done: bad key"),
        (Result(code=127, out="", err="not found\n"), "tells no status: not found"),
    ],
)
def test_what_cloud_init_did_not_do_is_told(told: Result, said: str) -> None:
    found = Machines()
    found.cloud_init = told
    with pytest.raises(Failed, match=f"^cloud-init on {HOST} {said}"):
        machines.told(Scene(found))


def test_units_that_have_failed_are_named() -> None:
    found = Machines()
    found.failed = ok("a.service loaded failed failed A\nb.mount loaded failed failed B\n")
    with pytest.raises(Failed, match=f"^on {HOST} have failed: a.service, b.mount$"):
        machines.units(Scene(found))


def test_a_systemd_that_does_not_answer_is_told() -> None:
    found = Machines()
    found.failed = Result(code=1, out="", err="Failed to connect to bus\n")
    with pytest.raises(Failed, match=f"^systemctl on {HOST}: Failed to connect to bus$"):
        machines.units(Scene(found))


def test_silence_is_a_refusal_too() -> None:
    found = Machines()
    found.postfix = ok("TimeoutError\n")
    assert machines.metadata_fence(Scene(found)) == "3 hosts"


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (ok("token\n"), "token"),
        (ok("str\n"), "str"),
        (ok(""), ""),
        (Result(code=1, out="", err="setpriv: user postfix does not exist\n"), "setpriv: user"),
        (Result(code=1, out="ConnectionRefusedError", err="no python3"), "no python3"),
    ],
)
def test_only_a_refusal_is_a_fence(result: Result, said: str) -> None:
    found = Machines()
    found.postfix = result
    with pytest.raises(Failed, match=f"^postfix on {HOST} should be shut out: {said}"):
        machines.metadata_fence(Scene(found))


def test_a_fence_that_shuts_out_root_is_told() -> None:
    found = Machines()
    found.root = ok("ConnectionRefusedError\n")
    with pytest.raises(Failed, match=f"^root on {HOST} should get a token: ConnectionRefused"):
        machines.metadata_fence(Scene(found))


@pytest.mark.parametrize("unit", ["chrony.service", "unattended-upgrades.service"])
def test_no_service_may_be_masked(unit: str) -> None:
    found = Machines()
    found.units[unit] = "masked"
    with pytest.raises(Failed, match=f"^{unit} on {HOST} is masked"):
        machines.upkeep(Scene(found))


@pytest.mark.parametrize(
    "sources",
    ["", "pool 2.debian.pool.ntp.org iburst\n", f"{AMAZON}server 192.0.2.1 prefer\n"],
)
def test_another_source_of_time_is_told(sources: str) -> None:
    found = Machines()
    found.sources = sources
    with pytest.raises(Failed, match=f"^chrony on {HOST} should prefer 169.254.169.123, prefers"):
        machines.upkeep(Scene(found))
