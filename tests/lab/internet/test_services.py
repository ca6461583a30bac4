"""How the services end, wanted or not."""

from __future__ import annotations

import signal

import pytest

from lab.internet.control import InternetError, Status, wait_applied
from lab.internet.plan import NAMES
from lab.waiting import wait_for
from tests.lab.internet.small_internet import LIMIT, SmallInternet

OURS = ("knotd", "unbound", "master", "qmgr", "smtpd")


def processes(internet: SmallInternet) -> list[str]:
    names = internet.run(["ps", "-e", "-o", "comm="]).stdout.split()
    return [name for name in names if name in OURS]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_all_ends_with_them_and_they_start_again(
    own_internet: SmallInternet, number: signal.Signals
) -> None:
    assert set(OURS) <= set(processes(own_internet))
    services = own_internet.holder.process("services")
    assert services is not None
    services.signal(number)
    assert services.wait(LIMIT)
    assert wait_for(lambda: processes(own_internet) == [], LIMIT)
    again = own_internet.start_services()
    world = own_internet.state / "world.json"
    wait_applied(own_internet.state, world, limit=LIMIT, alive=again.alive)
    answer = own_internet.at("internet", "dig", "+short", "example.jp", "MX")
    assert answer.stdout == "10 mx1.example.jp.\n"


def test_the_end_of_a_service_is_told(own_internet: SmallInternet) -> None:
    services = own_internet.holder.process("services")
    assert services is not None
    own_internet.at(NAMES.namespace, "sh", "-c", "kill $(pgrep knotd)")
    assert services.wait(LIMIT)
    status = Status.read(own_internet.state)
    assert status is not None
    assert status.error is not None
    assert status.error.startswith("knotd ended with")
    assert "names-knot.log" in status.error


def test_a_world_that_cannot_be_started_with_is_told(own_internet: SmallInternet) -> None:
    services = own_internet.holder.process("services")
    assert services is not None
    own_internet.holder.run(["ip", "netns", "delete", "names"])
    services.signal(signal.SIGTERM)
    assert services.wait(LIMIT)
    again = own_internet.start_services()
    with pytest.raises(
        InternetError,
        match=r"its boot failed\nthe end of .*names-boot\.log:\n  nsenter: cannot open",
    ):
        wait_applied(
            own_internet.state, own_internet.state / "world.json", limit=LIMIT, alive=again.alive
        )
