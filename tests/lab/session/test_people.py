"""People who join, move and leave while mail flows: nothing is lost, doubled, or sent back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from checks.ready import wait_ready
from checks.suite import Scene
from cli.twin import Twin
from lab.waiting import wait_for
from tests.lab.session.bench import Bench, copy_project
from tests.lab.session.company import Company
from tests.lab.session.drill import (
    Sent,
    Steady,
    directory_bucket,
    drain,
    in_force,
    places,
    returned,
)

PAUSE = 0.1
"""Seconds between two messages."""
FENCE = "table inet drill {chain o {type filter hook output priority 0; tcp dport 443 drop\n}}\n"
"""What keeps a host from S3."""
ALARM_LIMIT = 30.0
"""Seconds for an alarm to come or go: the next look, and a slow machine."""
CACHED = 31
"""Seconds for which Postfix's queue manager may know an address's old way (resolve_clnt.c keeps
its last answer for 30)."""


@dataclass
class Drill:
    """A lab, its people, and what happened to whom and when."""

    bench: Bench
    scene: Scene
    company: Company

    def apply(self) -> None:
        """The real program, with the files as they are now."""
        self.company.write()
        self.bench.lab.apply([])


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drill]:
    folder = tmp_path_factory.mktemp("people")
    project = copy_project(folder / "project")
    bench = Bench.of(project, folder / "state")
    company = Company.start(project, seed=6, size=5)
    company.write()
    try:
        bench.lab.up(["dev", "dev-osaka"])
        twin = Twin(bench.lab)
        wait_ready(twin)
        yield Drill(bench=bench, scene=Scene(twin), company=company)
    finally:
        bench.lab.down()


@pytest.fixture
def steady(drill: Drill) -> Iterator[Steady]:
    sender = Steady.start(drill.bench.lab, drill.scene.relay.public_ip, pause=PAUSE)
    yield sender
    if sender.process.poll() is None:
        sender.process.kill()
        sender.process.wait()


def judge(drill: Drill, sent: list[Sent], stable: set[str]) -> None:
    """All that was taken has arrived once, nothing came back, and who exists was not refused."""
    scene = drill.scene
    assert [each for each in sent if each.to in stable and each.code >= 500] == []
    taken = [each for each in sent if each.code == 250]
    assert len(taken) > 20
    assert drain(scene) == ""
    found = places(scene)
    doubled = {where: count for where, count in found.items() if count > 1}
    assert doubled == {}
    mailboxes: Counter[tuple[str, str]] = Counter()
    by_word: Counter[str] = Counter()
    for (word, address, _), count in found.items():
        mailboxes[word, address] += count
        by_word[word] += count
    assert [key for key, count in mailboxes.items() if count > 1] == [], "in one place"
    lost = [
        each
        for each in taken
        if not (
            by_word[each.word] if each.to.startswith("group") else mailboxes[each.word, each.to]
        )
    ]
    assert lost == []
    assert returned(scene) == []


def test_random_changes_lose_and_double_nothing(drill: Drill, steady: Steady) -> None:
    company, scene = drill.company, drill.scene
    stable = company.takes_mail()
    steady.to(stable)
    slowest = 0.0
    for _ in range(4):
        done = [company.change() for _ in range(6)]
        before = company.takes_mail()
        drill.apply()
        figures = in_force(drill.bench, scene)
        slowest = max(slowest, *(each.seconds for each in figures))
        stable &= before
        steady.to(company.takes_mail() | company.refuses_mail())
        assert done
    sent = steady.end()
    judge(drill, sent, stable)
    assert slowest <= 10, "seconds until in force everywhere; the aim of 5 is the benchmark's"


@pytest.mark.parametrize("role", ["relay", "hub", "branch"])
def test_it_does_not_matter_who_learns_first(drill: Drill, steady: Steady, role: str) -> None:
    company, scene = drill.company, drill.scene
    slow = next(host.name for host in scene.hosts if host.role == role)
    scene.run(slow, ["systemctl", "stop", "gatepost-directory"], limit=60)
    try:
        joined = {company.join().split()[1] for _ in range(4)}
        left = {company.leave().split()[1] for _ in range(2)}
        drill.apply()
        in_force(drill.bench, scene, without=[slow])
        stable = company.takes_mail() - joined
        steady.to(company.takes_mail() | left)
        wait_for_answers(steady, drill, len(company.takes_mail() | left) * PAUSE * 3)
    finally:
        scene.run(slow, ["systemctl", "start", "--no-block", "gatepost-directory"])
    in_force(drill.bench, scene)
    sent = steady.end()
    codes = Counter(each.code for each in sent if each.to in joined)
    assert not [each for each in sent if each.to in joined and each.code >= 500], "450, not 550"
    assert codes[450] if role == "relay" else codes[250]
    gone = {each.code for each in sent if each.to in left}
    assert gone <= ({250, 550} if role == "relay" else {550})
    judge(drill, sent, stable)


def wait_for_answers(steady: Steady, drill: Drill, seconds: float) -> None:
    """Let the flow run so long that everyone was written to."""
    assert steady.process.poll() is None
    drill.scene.run("internet", ["sleep", str(seconds)], limit=seconds + 30)


def test_a_mailbox_moves_under_flow(drill: Drill, steady: Steady) -> None:
    """The procedure of docs/operations.md: hold, copy, claim, let go."""
    company, scene = drill.company, drill.scene
    steps = company.move()
    move = next(steps)
    steady.to({move.user, "taro@example.jp"})
    drill.apply()
    in_force(drill.bench, scene)
    scene.run("internet", ["sleep", str(CACHED)], limit=CACHED + 30)
    copy_mailbox(drill, move.user, move.source, move.target)
    next(steps)
    drill.apply()
    in_force(drill.bench, scene)
    next(steps)
    drill.apply()
    in_force(drill.bench, scene)
    wait_for_answers(steady, drill, 2)
    sent = steady.end()
    judge(drill, sent, {move.user, "taro@example.jp"})
    there = server(drill, move.target)
    mine = {each.word for each in sent if each.to == move.user and each.code == 250}
    found = {(word, host) for word, address, host in places(scene) if address == move.user}
    assert found >= {(word, there) for word in mine}
    assert {host for _, host in found} == {there}, "all of it at one place"


def server(drill: Drill, stack: str) -> str:
    """The host that keeps the mail of a stack's users."""
    role = "hub" if stack == "dev" else "branch"
    return next(host.name for host in drill.scene.hosts if host.role == role)


def copy_mailbox(drill: Drill, user: str, source: str, target: str) -> None:
    """What an administrator does with tar and two shells."""
    local, _, domain = user.partition("@")
    old, new = server(drill, source), server(drill, target)
    root = "/var/mail/vhosts"
    packed = drill.scene.run(
        old,
        [
            "sh",
            "-c",
            f"mkdir -p {root}/{domain}/{local} && tar c -C {root} {domain}/{local}|base64",
        ],
    )
    assert packed.code == 0, packed.err
    unpack = f"base64 -d | tar x -C {root} && chown -R vmail:vmail {root}/{domain}"
    done = drill.scene.run(new, ["sh", "-c", unpack], stdin=packed.out)
    assert done.code == 0, done.err
    drill.scene.run(old, ["rm", "-r", f"{root}/{domain}/{local}"])


def test_while_s3_is_away_mail_flows_and_on_its_return_the_newest_is_taken(
    drill: Drill, steady: Steady
) -> None:
    company, scene = drill.company, drill.scene
    stable = company.takes_mail()
    away = [host.name for host in scene.hosts]
    for host in away:
        assert scene.run(host, ["nft", "-f", "-"], stdin=FENCE).code == 0
    try:
        steady.to(stable)
        joined = company.join().split()[1]
        drill.apply()
        wait_for_answers(steady, drill, 5)
    finally:
        for host in away:
            scene.run(host, ["nft", "delete", "table", "inet", "drill"])
    in_force(drill.bench, scene)
    steady.to({*stable, joined})
    wait_for_answers(steady, drill, len(stable) * PAUSE * 3)
    sent = steady.end()
    assert 250 in {each.code for each in sent if each.to == joined}
    judge(drill, sent, stable)


def test_a_hostile_object_is_named_and_the_last_good_one_stays(drill: Drill) -> None:
    scene, s3 = drill.scene, drill.bench.client("s3")
    bucket = directory_bucket(drill.bench)
    key = "people/branches/osaka.json"
    right = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    servers = [host.name for host in scene.hosts if host.role != "relay"]
    tables = {host: _tables(scene, host) for host in servers}
    try:
        s3.put_object(Bucket=bucket, Key=key, Body=right.replace(b"192.168.10.5", b"10.1.11.5"))
        for host in servers:
            alarm = _alarm(drill, host)
            assert alarm.startswith(f"refused {key}: address: must be a branch's"), alarm
        assert {host: _tables(scene, host) for host in servers} == tables
    finally:
        s3.put_object(Bucket=bucket, Key=key, Body=right)
    for host in servers:
        alarms = ["ls", "/run/gatepost/alarms"]
        assert wait_for(lambda h=host, a=alarms: scene.run(h, a).out == "", ALARM_LIMIT), host


def _tables(scene: Scene, host: str) -> str:
    return scene.run(host, ["sh", "-c", "sha256sum /var/lib/gatepost/tables/*.cdb"]).out


def _alarm(drill: Drill, host: str) -> str:
    said: list[str] = []

    def there() -> bool:
        shown = drill.scene.run(host, ["cat", "/run/gatepost/alarms/directory"])
        said[:] = [shown.out]
        return shown.code == 0

    assert wait_for(there, ALARM_LIMIT), host
    return said[0]


def test_nothing_but_objects_changed(drill: Drill) -> None:
    """A person is no infrastructure: the next `up` changes one person's owner's objects only."""
    drill.company.join()
    drill.company.write()
    before = drill.bench.boot_ids()
    results = drill.bench.lab.apply([])
    assert sum(result.updated for result in results) == 2
    assert sum(result.created + result.replaced + result.deleted for result in results) == 0
    assert drill.bench.boot_ids() == before
