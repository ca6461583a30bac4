"""People who join, move and leave while mail flows: nothing is lost, doubled, or sent back."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import hostile
import pytest
from directories import BRANCH
from meaning import Postfix, forms

from checks import mail
from checks.alarms import FOLDER, standing
from checks.ready import wait_ready
from checks.smtp import dialogue, rcpt
from checks.suite import Scene
from cli.twin import Twin
from lab.waiting import wait_for
from model import directory
from model.directory import DirectoryObject
from model.people import People, User
from tests.lab.session.bench import ASKING, Bench, copy_project, gatepost
from tests.lab.session.company import Company
from tests.lab.session.drill import (
    CACHED,
    OSAKA_KEY,
    PAUSE,
    Drill,
    Steady,
    copy_mailbox,
    directory_bucket,
    in_force,
    places,
    queued,
    retry_limit,
    server,
    wrong,
)
from userdata.machine.gatepost_directory.objects import Refused, parse

FENCE = """table inet drill {
    chain output {
        type filter hook output priority 0;
        tcp dport 443 drop
    }
}
"""
"""What keeps a host from S3."""
TABLES = "/var/lib/gatepost/tables"
FIGURES = "/run/gatepost/directory.prom"
STALE_LIMIT = 60.0
"""Seconds until a relay takes its tables for out of date: 30 and a look or two that time out."""
REFUSED_LIMIT = 120.0
"""Seconds for some 80 objects to be fetched and refused, the largest of 32 MiB."""
ALARM_LIMIT = 30.0
"""Seconds for an alarm to come or go: the next look, and a slow machine."""


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
def steady(drill: Drill, tmp_path: Path) -> Iterator[Steady]:
    relay = drill.scene.relay.public_ip
    sender = Steady.start(drill.bench.lab, relay, pause=PAUSE, log=tmp_path / "steady")
    yield sender
    sender.kill()


def test_random_changes_lose_and_double_nothing(drill: Drill, steady: Steady) -> None:
    company = drill.company
    stable = company.takes_mail()
    steady.to(stable)
    slowest = 0.0
    for _ in range(2):
        done = [company.change() for _ in range(12)]
        before = company.takes_mail()
        drill.apply()
        figures = in_force(drill)
        slowest = max(slowest, *(each.seconds for each in figures))
        stable &= before
        steady.to(company.takes_mail() | company.refuses_mail())
        assert done
    sent = steady.end()
    assert wrong(drill, sent, stable) == []
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
        in_force(drill, without=[slow])
        stable = company.takes_mail() - joined
        begun = time.monotonic()
        steady.to(company.takes_mail() | left)
        steady.wait_rounds()
    finally:
        scene.run(slow, ["systemctl", "start", "--no-block", "gatepost-directory"])
    in_force(drill)
    limit = retry_limit(time.monotonic() - begun)
    sent = steady.end()
    # Nobody says `postqueue -f`: each host itself tries again.
    assert wait_for(lambda: not queued(scene), limit, interval=1.0), queued(scene)
    codes = Counter(each.code for each in sent if each.to in joined)
    assert not [each for each in sent if each.to in joined and each.code >= 500], "450, not 550"
    assert codes[450] if role == "relay" else codes[250]
    gone = {each.code for each in sent if each.to in left}
    assert gone <= ({250, 550} if role == "relay" else {550})
    assert wrong(drill, sent, stable) == []


def test_mail_never_goes_back_to_the_hub(drill: Drill) -> None:
    """A branch's way for a new user may be out of date for seconds (trivial-rewrite(8)): such mail
    would go round between branch and hub until it has too many hops."""
    scene, branch = drill.scene, server(drill, "dev-osaka")
    user = min(drill.company.takes_mail() & set(drill.company.users["dev-osaka"]))
    scene.run(branch, ["systemctl", "stop", "gatepost-directory"], limit=60)
    try:
        forget = f"cd {TABLES}; sed -i '/^{user} /d' transport && postmap cdb:transport"
        assert scene.run(branch, ["sh", "-c", f"{forget} && postfix reload"]).code == 0
        word = mail.send(scene, scene.outside[0].name, f"a@{scene.outside[0].domain}", user)
        [copy] = mail.wait_for(scene, word, {user})
        assert copy.host == branch
    finally:
        scene.run(branch, ["systemctl", "start", "gatepost-directory"], limit=60)


def test_a_mailbox_moves_under_flow(drill: Drill, steady: Steady) -> None:
    """The procedure of docs/operations.md: hold, copy, claim, let go."""
    company, scene = drill.company, drill.scene
    steps = company.move()
    move = next(steps)
    steady.to({move.user, "taro@example.jp"})
    drill.apply()
    in_force(drill)
    scene.run("internet", ["sleep", str(CACHED)], limit=CACHED + 30)
    copy_mailbox(drill, move.user, move.source, move.target)
    next(steps)
    drill.apply()
    in_force(drill)
    next(steps)
    drill.apply()
    in_force(drill)
    steady.wait_rounds()
    sent = steady.end()
    assert wrong(drill, sent, {move.user, "taro@example.jp"}) == []
    there = server(drill, move.target)
    mine = {each.word for each in sent if each.to == move.user and each.code == 250}
    found = {(word, host) for word, address, host in places(scene) if address == move.user}
    assert found >= {(word, there) for word in mine}
    assert {host for _, host in found} == {there}, "all of it at one place"


def test_while_s3_is_away_mail_flows_and_on_its_return_the_newest_is_taken(
    drill: Drill, steady: Steady
) -> None:
    """Longer than a relay trusts its tables: whom it does not know may have joined since."""
    company, scene = drill.company, drill.scene
    stable = company.takes_mail()
    assert _refused(drill) == "550"
    away = [host.name for host in scene.hosts]
    for host in away:
        assert scene.run(host, ["nft", "-f", "-"], stdin=FENCE).code == 0
    try:
        steady.to(stable)
        joined = {company.join().split()[1]}
        drill.apply()
        assert wait_for(lambda: _refused(drill) == "450", STALE_LIMIT, interval=ASKING)
        left = {company.leave().split()[1]}
        joined |= {company.join().split()[1]}
        drill.apply()
        stable -= left
        steady.to(stable | joined)
        steady.wait_rounds()
    finally:
        for host in away:
            scene.run(host, ["nft", "delete", "table", "inet", "drill"])
    in_force(drill)
    assert _refused(drill) == "550"
    opened = time.time()
    steady.to({*stable, *joined, *left})
    steady.wait_rounds()
    sent = steady.end()
    codes = {user: {each.code for each in sent if each.to == user} for user in joined}
    assert codes == {user: {450, 250} for user in joined}
    assert {each.code for each in sent if each.to in left and each.begun > opened} == {550}
    assert wrong(drill, sent, stable) == []


def test_after_a_crash_a_relay_marks_its_tables_before_postfix_starts(drill: Drill) -> None:
    """They are as before the crash, when they were up to date; and S3 does not answer."""
    scene, relay, unit = drill.scene, drill.scene.relay.name, "gatepost-directory"
    in_force(drill)
    assert scene.run(relay, ["systemctl", "stop", "postfix", unit], limit=100).code == 0
    trusted = f"cd {TABLES}; : > stale && postmap cdb:stale"
    assert scene.run(relay, ["sh", "-ec", trusted]).code == 0
    assert scene.run(relay, ["nft", "-f", "-"], stdin=FENCE).code == 0
    try:
        assert scene.run(relay, ["systemctl", "start", "postfix"], limit=100).code == 0
        assert "DEFER_IF_REJECT" in scene.run(relay, ["cat", f"{TABLES}/stale"]).out
        assert _refused(drill) == "450"
    finally:
        scene.run(relay, ["nft", "delete", "table", "inet", "drill"])
    assert wait_for(lambda: _refused(drill) == "550", ALARM_LIMIT, interval=ASKING)


def _refused(drill: Drill) -> str:
    """The code with which the relay refuses an address that has never been."""
    relay, outside = drill.scene.relay.public_ip, drill.scene.outside[0]
    sender = f"a@{outside.domain}"
    return rcpt(drill.scene, outside.name, relay, sender, "nobody@example.jp")[:3]


HOSTILE = {"people": hostile.PEOPLE, "addresses": hostile.ADDRESSES}
"""What is written under each prefix; hub and branch read the first, a relay the second."""
READS = {"hub": "people", "relay": "addresses"}


def test_every_hostile_object_is_named_and_the_last_good_ones_stay(drill: Drill) -> None:
    """A branch for each state, whose objects are right at first."""
    scene, s3, bucket = drill.scene, drill.bench.client("s3"), directory_bucket(drill.bench)
    readers = {host.name: READS[host.role] for host in scene.hosts if host.role in READS}
    owners = [f"branches/h{number}" for number in range(max(map(len, HOSTILE.values())))]
    right = [item for number, owner in enumerate(owners) for item in _right(owner, number)]
    try:
        for item in right:
            s3.put_object(Bucket=bucket, Key=item.key, Body=item.text.encode())
        in_force(drill)
        tables = {host: _tables(scene, host) for host in readers}
        said: dict[str, dict[str, str]] = {prefix: {} for prefix in HOSTILE}
        for prefix, states in HOSTILE.items():
            for owner, (body, reason) in zip(owners, states.values(), strict=False):
                key = f"{prefix}/{owner}.json"
                content = body.replace(b"branches/osaka", owner.encode())
                s3.put_object(Bucket=bucket, Key=key, Body=content)
                said[prefix][key] = reason.replace("branches/osaka", owner)
        for host, prefix in readers.items():
            wanted = said[prefix]
            wait_for(lambda h=host, w=wanted: not _unnamed(scene, h, w), REFUSED_LIMIT, ASKING)
            assert _unnamed(scene, host, wanted) == [], host
        told = gatepost(drill.bench.lab.project, drill.bench.lab.state, "status").stdout
        for host, prefix in readers.items():
            assert all(f"refused {key}: " in told for key in said[prefix]), host
            figure = f"gatepost_directory_refused {len(said[prefix])}\n"
            assert figure in scene.run(host, ["cat", FIGURES]).out
        assert {host: _tables(scene, host) for host in readers} == tables
    finally:
        for item in right:
            s3.delete_object(Bucket=bucket, Key=item.key)
    for host in readers:
        assert wait_for(lambda h=host: not _alarm(drill, h), ALARM_LIMIT), host


def _right(owner: str, number: int) -> tuple[DirectoryObject, ...]:
    """The objects of a branch without a machine."""
    name = owner.rpartition("/")[2]
    user = User(address=f"{name}@example.jp")
    return directory.objects(
        owner,
        People(users=(user,), aliases={}),
        host=f"{name}.example.jp",
        address=f"192.168.{number + 20}.5",
    )


def _unnamed(scene: Scene, host: str, wanted: Mapping[str, str]) -> list[str]:
    """The objects that a host does not say it has refused for the reason that it should have."""
    alarms = scene.run(host, ["cat", f"{FOLDER}/directory"]).out
    return [
        key
        for key, reason in wanted.items()
        if not re.search(f"^refused {key}: .*({reason})", alarms, re.MULTILINE)
    ]


def test_a_branch_keeps_its_last_good_object_whatever_it_is_told(drill: Drill) -> None:
    """It reads one object only, so one state after the other: one for each reason to refuse."""
    s3, bucket = drill.bench.client("s3"), directory_bucket(drill.bench)
    branch = server(drill, "dev-osaka")
    states = {reason: body for body, reason in hostile.PEOPLE.values()}
    right = s3.get_object(Bucket=bucket, Key=OSAKA_KEY)["Body"].read()
    tables = _tables(drill.scene, branch)
    try:
        for reason, body in states.items():
            s3.put_object(Bucket=bucket, Key=OSAKA_KEY, Body=body)
            said = f"refused {OSAKA_KEY}: {refusal(body)}"
            assert wait_for(lambda s=said: _alarm(drill, branch) == s, ALARM_LIMIT), reason
        assert _tables(drill.scene, branch) == tables
    finally:
        s3.put_object(Bucket=bucket, Key=OSAKA_KEY, Body=right)
    assert wait_for(lambda: not _alarm(drill, branch), ALARM_LIMIT)


def refusal(body: bytes) -> str:
    """What is said of an object of Osaka's people; a machine's own words."""
    with pytest.raises(Refused) as caught:
        parse(OSAKA_KEY, body, BRANCH)
    return str(caught.value)


def test_a_hostile_branch_takes_nobody_s_server(drill: Drill) -> None:
    """By name it would come first."""
    scene, s3, key = drill.scene, drill.bench.client("s3"), "people/branches/aaa.json"
    bucket, hub = directory_bucket(drill.bench), server(drill, "dev")
    osaka = s3.get_object(Bucket=bucket, Key=OSAKA_KEY)["Body"].read()
    before = _tables(scene, hub)
    s3.put_object(Bucket=bucket, Key=key, Body=osaka.replace(b"branches/osaka", b"branches/aaa"))
    try:
        said = (
            f"refused {key}: must have a server of its own, 192.168.10.5 belongs to branches/osaka"
        )
        assert wait_for(lambda: _alarm(drill, hub) == said, ALARM_LIMIT), _alarm(drill, hub)
        assert _tables(scene, hub) == before
    finally:
        s3.delete_object(Bucket=bucket, Key=key)
    assert wait_for(lambda: not _alarm(drill, hub), ALARM_LIMIT)


def _alarm(drill: Drill, host: str) -> str:
    """What a host says is wrong with the directory; empty if nothing is."""
    return standing(drill.scene.deployment, [host]).get(host, {}).get("directory", "")


def _tables(scene: Scene, host: str) -> str:
    return scene.run(host, ["sh", "-c", f"sha256sum {TABLES}/*.cdb"]).out


def test_postfix_looks_up_as_the_model_does_which_the_property_trusts(drill: Drill) -> None:
    """What tests/meaning.py says of the edge, asked of the real one in every form of an address."""
    scene, company = drill.scene, drill.company
    in_force(drill)
    relay = {name: _table(scene, name) for name in ("recipients", "refused")}
    model = Postfix(relay=relay, inside={}, office={})
    known = [*sorted(company.takes_mail())[:12], *sorted(company.refuses_mail())[:6]]
    asked = [form for address in [*known, "nobody@example.jp"] for form in forms(address)]
    assert {model.edge(form)[:3] for form in asked} == {"250", "550"}
    for part in (asked[start : start + 8] for start in range(0, len(asked), 8)):
        lines = ["EHLO mx.example.net", "MAIL FROM:<a@example.net>"]
        lines += [f"RCPT TO:<{form}>" for form in part]
        replies = dialogue(scene, scene.outside[0].name, scene.relay.public_ip, *lines)[3:]
        for form, reply in zip(part, replies, strict=True):
            wanted = model.edge(form).removesuffix(" unknown")
            assert reply.startswith(wanted[:3]), (form, reply)
            # Postfix puts its own words between the status code and the text.
            assert all(word in reply for word in wanted[4:].split(" ", 1)), (form, reply)


def _table(scene: Scene, name: str) -> dict[str, str]:
    text = scene.run(scene.relay.name, ["cat", f"{TABLES}/{name}"]).out
    return {key: value for key, _, value in (line.partition(" ") for line in text.splitlines())}


def test_nothing_but_objects_changed(drill: Drill) -> None:
    """A person is no infrastructure: the next `up` changes one person's owner's objects only."""
    drill.company.join()
    drill.company.write()
    before = drill.bench.boot_ids()
    results = drill.bench.lab.apply([])
    assert sum(result.updated for result in results) == 2
    assert sum(result.created + result.replaced + result.deleted for result in results) == 0
    assert drill.bench.boot_ids() == before
