"""The production environment in the twin, from its first deployment to its end.

One lab for all: each test leaves it as the next one needs it, and those that disturb come last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks import firewall, routes
from checks.mail import follow, only, send, still_once
from checks.queueing import empty_queues, without_postfix
from checks.ready import wait_ready
from checks.suite import Scene, run_suite
from cli.twin import Twin
from lab import hosts
from lab.engine.deploy import EngineError, Result
from lab.internet.plan import INTERNET, INTERNET2
from lab.waiting import wait_for
from tests.lab.session import flow
from tests.lab.session.account import left
from tests.lab.session.bench import Bench, comment_on, copy_project, declared, edit, finding
from tests.lab.session.flow import Flow

STACK = "prod"
MX1, MX2, MX3, HUB = "mx1.example.jp", "mx2.example.jp", "mx3.example.jp", "ms.example.jp"
PAUSE = 0.4
"""Seconds between two messages of a sender; there are three senders."""
MAIL_LIMIT = 30.0
"""Seconds for Postfix to be up, or for a few messages to be sent, on a busy machine."""
SILENCE_LIMIT = 60.0
"""Seconds for mail that may meet silence first: whoever sends from outside gives a connection 30
(postconf(5), smtp_connect_timeout)."""
INSTANCE = "ec2/instance:Instance"
ATTACHMENT = "ec2/volumeAttachment:VolumeAttachment"
RELAY_DISKS = ("queue", "certificates")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    project = copy_project(tmp_path_factory.mktemp("production") / "project")
    found = Bench.of(project, tmp_path_factory.mktemp("production-lab") / "state")
    try:
        [prod] = found.lab.up([STACK])
        assert counts(prod) == (prod.created, 0, 0, 0)
        wait_ready(Twin(found.lab))
        yield found
    finally:
        found.lab.down()


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(Twin(bench.lab))


def counts(result: Result) -> tuple[int, int, int, int]:
    return result.created, result.updated, result.replaced, result.deleted


def replaced(result: Result) -> set[tuple[str, str]]:
    """Type and name of each resource that was replaced."""
    urns = {urn for operation, urn in result.changes if operation == "replace"}
    assert len(urns) == result.replaced
    parts = (urn.split("::")[-2:] for urn in urns)
    return {(kind.rpartition("aws:")[2], name) for kind, name in parts}


def machine(host: str, *purposes: str) -> set[tuple[str, str]]:
    """What is replaced with a host: the instance, and its volumes' attachments."""
    name = f"gatepost-{STACK}-{host.partition('.')[0]}"
    return {(INSTANCE, name), *((ATTACHMENT, f"{name}-{purpose}") for purpose in purposes)}


def renewed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    """The hosts that are there as before, but on another machine or after another start."""
    return {host for host in before if before[host] != after[host]}


def apply(bench: Bench) -> Result:
    [result] = bench.lab.apply([STACK])
    return result


def failures(scene: Scene) -> list[tuple[str, str]]:
    """Every check that fails, with its finding; there must be checks."""
    verdicts = list(run_suite(scene.deployment))
    assert len(verdicts) >= 20
    return [(verdict.check, verdict.finding) for verdict in verdicts if not verdict.passed]


def stack_file(bench: Bench, stack: str = STACK) -> Path:
    return bench.lab.project / "stacks" / f"Pulumi.{stack}.yaml"


# --- as it is ---


def test_every_check_passes(bench: Bench, scene: Scene) -> None:
    zones = {subnet.id: subnet.zone for subnet in bench.lab.world.subnets}
    instances = {item.name: item for item in bench.lab.world.instances}
    assert {name: zones[item.interface.subnet] for name, item in instances.items()} == {
        MX1: "us-east-1a",
        MX2: "us-east-1b",
        HUB: "us-east-1a",
    }
    assert failures(scene) == []


def test_nothing_changes_when_nothing_changed(bench: Bench) -> None:
    before, ids = bench.lab.world, bench.boot_ids()
    assert counts(apply(bench)) == (0, 0, 0, 0)
    [refreshed] = bench.lab.apply([STACK], refresh=True)
    assert counts(refreshed) == (0, 0, 0, 0)
    assert declared(bench.lab.world) == declared(before)
    assert bench.boot_ids() == ids


# --- fences ---


def test_the_acl_holds_where_a_group_was_opened_and_its_loss_is_noticed(
    bench: Bench, scene: Scene
) -> None:
    ec2, world = bench.client("ec2"), bench.lab.world
    groups = {group.name: group.id for group in world.groups}
    network = scene.environment["network"]
    # The relays may open HTTPS to anywhere, so that one rule at the hub opens it to them.
    opened = {
        "GroupId": groups[f"gatepost-{STACK}-hub"],
        "IpPermissions": [
            {
                "IpProtocol": "tcp",
                "FromPort": 443,
                "ToPort": 443,
                "UserIdGroupPairs": [{"GroupId": groups[f"gatepost-{STACK}-relay"]}],
            }
        ],
    }
    [(acl, fence)] = [
        (acl.id, rule.number)
        for acl in world.network_acls
        for rule in acl.rules
        if (rule.direction, rule.allow, rule.cidr) == ("egress", False, network)
    ]
    ec2.authorize_security_group_ingress(**opened)
    try:
        bench.lab.follow()
        assert finding(firewall.matrix, scene) == ""
        ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=fence, Egress=True)
        bench.lab.follow()
        wrong = finding(firewall.matrix, scene)
        # To the hub that was opened, and to one another, whose groups let anyone in to 25 and 443;
        # five are named.
        assert wrong.startswith("6 differ: ")
        mx2, hub = (address_of(scene, host) for host in (MX2, HUB))
        for address, port in ((mx2, 25), (mx2, 443), (hub, 443)):
            assert f"{MX1} → {address} tcp {port} should not pass" in wrong
        [mended] = bench.lab.apply([STACK], refresh=True)
        assert counts(mended) == (1, 0, 0, 0)
        assert finding(firewall.matrix, scene) == ""
    finally:
        ec2.revoke_security_group_ingress(**opened)
        bench.lab.follow()
    assert declared(bench.lab.world) == declared(world)


def address_of(scene: Scene, name: str) -> str:
    return next(host.private_ip for host in scene.hosts if host.name == name)


# --- silence ---


def test_mail_comes_in_and_goes_out_while_an_instance_is_stopped(
    bench: Bench, scene: Scene
) -> None:
    """It answers nothing, not even with a refusal as one does whose Postfix alone is stopped."""
    ids, outside = bench.boot_ids(), scene.outside[0]
    [first] = (item for item in bench.lab.world.instances if item.name == MX1)
    bench.client("ec2").stop_instances(InstanceIds=[first.id])
    try:
        bench.lab.follow()
        patient = Scene(scene.deployment, limit=SILENCE_LIMIT)
        recipient, receiver = "hanako@example.jp", f"silence@{outside.domain}"
        inward = send(patient, outside.name, f"a@{outside.domain}", recipient)
        outward = send(patient, HUB, "taro@example.jp", receiver)
        [out] = only(patient, outward, {receiver})
        assert out.hops == [MX2, outside.host]
        [came] = only(patient, inward, {recipient})
        assert came.hops == [outside.host, MX2, HUB]
    finally:
        bench.client("ec2").start_instances(InstanceIds=[first.id])
        bench.lab.follow()
    wait_ready(scene.deployment)
    silent = f"connect to {first.interface.private_ip}[{first.interface.private_ip}]:10025: "
    log = scene.run(HUB, ["journalctl", "-q", "-b", "-o", "cat", "-t", "postfix/relay/smtp"]).out
    assert f"{silent}Connection timed out" in log
    assert renewed(ids, bench.boot_ids()) == {MX1}
    assert counts(apply(bench)) == (0, 0, 0, 0)
    assert finding(routes.inbound, scene) == ""
    empty_queues(scene)
    assert still_once(patient) == "2 messages"


# --- replacement ---


def test_no_message_is_lost_or_doubled_while_every_host_is_replaced(
    bench: Bench, scene: Scene, tmp_path: Path
) -> None:
    templates = bench.lab.project / "userdata" / "templates"
    noted = flow.bounces(scene)
    flows = [*inward_flows(bench, tmp_path), outward_flow(bench, tmp_path / "hub-1")]
    try:
        assert wait_for(lambda: len(flow.mailboxes(scene, HUB)) >= 5, MAIL_LIMIT)
        boxes = flow.mailboxes(scene, HUB)
        with without_postfix(scene, HUB):
            waiting, queue_id = defer(bench, scene, MX1)
            comment_on(templates / "relay.cf.j2")
            replace_one(bench, MX1, machine(MX1, *RELAY_DISKS), said=waits(MX1, MX2))
            assert wait_for(lambda: queue_id in flow.queue(scene, MX1), MAIL_LIMIT)
        replace_one(bench, MX2, machine(MX2, *RELAY_DISKS))
        assert counts(apply(bench)) == (0, 0, 0, 0)
        comment_on(templates / "hub.cf.j2")
        replace_one(bench, HUB, machine(HUB, "queue", "mail"))
        wait_ready(scene.deployment)
        assert boxes <= flow.mailboxes(scene, HUB)
        flows.append(outward_flow(bench, tmp_path / "hub-2"))
        assert wait_for(lambda: len(flows[-1].sent) >= 5, MAIL_LIMIT)
    finally:
        for each in flows:
            each.end()
    for host in (*scene.outside, *scene.hosts):
        scene.run(host.name, ["postqueue", "-f"])
    empty_queues(scene)
    flow.judge(scene, flows, waiting)
    assert flow.bounces(scene) == noted


def inward_flows(bench: Bench, folder: Path) -> list[Flow]:
    ways = (
        (INTERNET, ("taro@example.jp", "hanako@example.jp")),
        (INTERNET2, ("jiro@example.co.jp", "hanako@example.jp")),
    )
    return [
        Flow.start(
            bench.lab,
            outside.namespace,
            f"flow@{outside.domain}",
            recipients,
            pause=PAUSE,
            log=folder / outside.namespace,
        )
        for outside, recipients in ways
    ]


def outward_flow(bench: Bench, log: Path) -> Flow:
    recipients = (f"flow@{INTERNET.domain}", f"flow@{INTERNET2.domain}")
    return Flow.start(bench.lab, HUB, "hanako@example.jp", recipients, pause=PAUSE, log=log)


def defer(bench: Bench, scene: Scene, relay: str) -> tuple[flow.Message, str]:
    """Hand a relay a message that it cannot pass on; returns it with its queue id."""
    address = next(host.public_ip for host in scene.hosts if host.name == relay)
    word, sender, recipient = flow.word(), f"deferred@{INTERNET.domain}", "taro@example.jp"
    command = ["swaks", "--server", address, "--from", sender, "--to", recipient]
    done = scene.run(INTERNET.namespace, [*command, "--header", f"Subject: {word}"])
    assert done.code == 0, done.out
    held = wait_for(lambda: flow.deferred(scene, relay, sender), MAIL_LIMIT)
    assert held, f"{relay} holds {flow.queue(scene, relay)}"
    return (word, recipient), held[0]


def replace_one(
    bench: Bench, host: str, resources: set[tuple[str, str]], *, said: str = ""
) -> None:
    """Apply, and require that one host is replaced, nothing else changed, and `said` was said."""
    ids = bench.boot_ids()
    bench.noise.clear()
    result = apply(bench)
    assert replaced(result) == resources
    assert counts(result) == (0, 0, len(resources), 0)
    assert renewed(ids, bench.boot_ids()) == {host}
    warned = [line for line in bench.noise if "run it again once mail comes in" in line]
    assert bool(warned) == bool(said)
    assert all(said in line for line in warned)
    is_active = ["systemctl", "is-active", "postfix"]
    twin = Twin(bench.lab)
    assert wait_for(lambda: twin.run(host, is_active).out.strip() == "active", MAIL_LIMIT)


def waits(first: str, then: str) -> str:
    return f"this `up` renews {first} only; {then} wait"


# --- growth ---


def test_a_third_zone_changes_nothing_that_is_there(bench: Bench) -> None:
    ids, before = bench.boot_ids(), {subnet.id for subnet in bench.lab.world.subnets}
    edit(stack_file(bench), "[us-east-1a, us-east-1b]", "[us-east-1a, us-east-1b, us-east-1c]")
    grown = apply(bench)
    # The S3 endpoint gets the new route tables, in place.
    assert (grown.updated, grown.replaced, grown.deleted) == (1, 0, 0)
    assert bench.boot_ids() == ids
    assert [s.zone for s in bench.lab.world.subnets if s.id not in before] == ["us-east-1c"] * 3
    assert finding(firewall.matrix, Scene(Twin(bench.lab))) == ""


def test_a_third_relay_is_refused_until_the_quota_allows_its_address(bench: Bench) -> None:
    before = bench.lab.world
    relay = "      - host: mx2.example.jp\n        zone: us-east-1b\n"
    edit(stack_file(bench), relay, relay + relay.replace("mx2", "mx3").replace("1b", "1c"))
    for attempt in (lambda: bench.engine().preview(STACK), lambda: apply(bench)):
        with pytest.raises(EngineError) as error:
            attempt()
        # Three NAT gateways and three relays; AWS gives an account five addresses.
        assert (
            "quota EC2-VPC Elastic IPs: must be at least 6 (this stack needs 6, others use 0), "
            "the account has 5; raise it: aws service-quotas request-service-quota-increase "
        ) in str(error.value)
    bench.lab.follow()
    assert declared(bench.lab.world) == declared(before)
    assert len(bench.client("ec2").describe_addresses()["Addresses"]) == 5
    # As the command that was printed does.
    said = dict(re.findall(r"--([a-z-]+) (\S+)", str(error.value)))
    bench.client("service-quotas").request_service_quota_increase(
        ServiceCode=said["service-code"],
        QuotaCode=said["quota-code"],
        DesiredValue=float(said["desired-value"]),
    )
    assert bench.engine().preview(STACK).deleted == 0


def test_a_third_relay_replaces_nothing_and_the_hub_sends_by_it(bench: Bench) -> None:
    """The hub has the relays by the directory."""
    ids = bench.boot_ids()
    grown = apply(bench)
    assert (grown.replaced, grown.deleted) == (0, 0)
    wait_ready(Twin(bench.lab))
    assert renewed(ids, bench.boot_ids()) == set()
    assert set(bench.boot_ids()) == {MX1, MX2, MX3, HUB}
    scene = Scene(Twin(bench.lab))
    asked = scene.run(INTERNET.namespace, ["dig", "+short", "MX", "example.jp"]).out
    assert {line.split()[1].rstrip(".") for line in asked.splitlines()} == {MX1, MX2, MX3}
    assert failures(scene) == []
    with without_postfix(scene, MX1), without_postfix(scene, MX2):
        sender, receiver = f"taro@{scene.domains[0]}", scene.outside[0]
        follow(scene, scene.hub, sender, f"e@{receiver.domain}", [MX3, receiver.host])


# --- the end ---


def test_what_is_protected_is_not_destroyed(bench: Bench) -> None:
    before, ids = bench.lab.world, bench.boot_ids()
    with pytest.raises(EngineError, match="protected") as error:
        bench.engine().destroy(STACK)
    for kind, name in (
        ("ebs/volume:Volume", "ms-mail"),
        ("ec2/eip:Eip", "mx1"),
        ("route53/zone:Zone", "example.jp"),
        ("s3/bucket:Bucket", "directory"),
    ):
        assert f"aws:{kind} gatepost-{STACK}-{name}: " in str(error.value)
    bench.lab.follow()
    assert declared(bench.lab.world) == declared(before)
    assert bench.boot_ids() == ids


def test_a_branch_goes_and_leaves_the_environment_as_it_was(bench: Bench) -> None:
    """Deployed, and not booted: what is judged is the account."""
    file, engine = stack_file(bench, "prod-osaka"), bench.engine()
    file.write_text(stack_file(bench, "dev-osaka").read_text())
    edit(file, "environment: dev", f"environment: {STACK}")
    joined = engine.up("prod-osaka")
    assert counts(joined) == (joined.created, 0, 0, 0)
    assert counts(engine.destroy("prod-osaka")) == (0, 0, 0, joined.created)
    assert counts(engine.up(STACK, refresh=True)) == (0, 0, 0, 0)


def test_an_environment_that_is_not_protected_any_more_goes_as_a_whole(bench: Bench) -> None:
    """The drill in docs/operations.md, "Taking an environment down"."""
    ids = bench.boot_ids()
    edit(stack_file(bench), "    protect: true\n", "    protect: false\n")
    assert counts(apply(bench)) == (0, 0, 0, 0)
    assert bench.boot_ids() == ids
    destroyed = bench.engine().destroy(STACK)
    assert counts(destroyed) == (0, 0, 0, destroyed.deleted)
    assert left(bench) == {}
    bench.lab.follow()
    assert [row for row in hosts.statuses(bench.lab) if row.instance] == []
