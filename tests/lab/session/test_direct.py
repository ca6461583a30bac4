"""The other mode, from the other image, beside the shared lab.

`outbound: direct`, on machines whose image lacks the packages: each installs them from the lab's
mirror, through the network as it is in AWS's state. The shared lab has the same addresses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from checks import routes
from checks.ready import wait_ready
from checks.suite import Scene, run_suite
from cli.twin import Twin
from lab.machines.boot import MachineError
from tests.lab.session.bench import Bench, Traces, copy_project, edit
from tests.lab.session.port25 import drill


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("direct")
    project = copy_project(folder / "project")
    edit(project / "stacks" / "Pulumi.dev.yaml", "outbound: relay", "outbound: direct")
    bench = Bench.of(project, folder / "state")
    try:
        bench.lab.up(["dev", "dev-osaka"], baked=False)
        wait_ready(Twin(bench.lab))
        yield bench
    finally:
        bench.lab.down()


@pytest.fixture
def other(direct: Bench) -> Scene:
    return Scene(Twin(direct.lab))


def test_machines_install_their_packages_through_the_nat(other: Scene, direct: Bench) -> None:
    for host in other.hosts:
        history = other.run(host.name, ["cat", "/var/log/apt/history.log"]).out
        assert re.search(r"^Install: .*\bpostfix:", history, re.MULTILINE), host.name
    log = (direct.lab.state / "logs" / "internet.log").read_text()
    clients = set(re.findall(r"mirror INFO (\S+) \"GET \S+/postfix_", log))
    seen = {host.public_ip or other.environment["nat"] for host in other.hosts}
    assert clients == seen


def test_two_labs_with_the_same_addresses_both_deliver(bench: Bench, other: Scene) -> None:
    shared = Scene(Twin(bench.lab))
    assert [host.private_ip for host in shared.hosts] == [host.private_ip for host in other.hosts]
    for scene in (shared, other, shared):
        assert routes.inbound(scene)


def test_the_hub_delivers_itself(other: Scene) -> None:
    assert other.outbound == "direct"
    receiver = other.outside[0].host
    assert routes.outbound(other).split(" → ") == ["out.example.jp", other.outside[1].host]
    assert routes.branch_outbound(other).split(" → ") == ["out.example.jp", receiver]
    nat = other.environment["nat"]
    assert nat != other.relay.public_ip
    wanted = f"from out.example.jp (out.example.jp [{nat}])"
    assert routes.seen_outside(other) == wanted


def test_every_acceptance_check_passes_here_too(direct: Bench) -> None:
    verdicts = list(run_suite(Twin(direct.lab)))
    assert [each for each in verdicts if not each.passed] == []
    assert len(verdicts) >= 24


def test_a_blocked_port_25_is_named_by_the_hub_too(direct: Bench, other: Scene) -> None:
    """A relay still sends its own bounces."""
    drill(direct.lab, other, {*other.relay_names, other.hub.name})


def test_without_a_way_to_packages_the_boot_fails_and_says_so(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("offline")
    project = copy_project(folder / "project")
    flows = project / "model" / "flows.py"
    kept = [line for line in flows.read_text().splitlines(True) if 'why="packages' not in line]
    flows.write_text("".join(kept))
    bench = Bench.of(project, folder / "state")
    with pytest.raises(MachineError) as error:
        bench.lab.up(["dev"], baked=False)
    assert "Failed to install the following packages" in str(error.value)
    assert "'postfix'" in str(error.value)
    assert Traces(state=bench.lab.state, processes=frozenset()).left() == []
