"""The checks must notice what is broken, and say where.

Each test breaks the shared lab in one place, sees the check fail, mends it and sees it pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest

from checks import edge, fences, firewall, logs, routes, vectors
from checks.ready import wait_ready
from checks.suite import Check, Scene
from lab.reality import aws_environment
from lab.world.model import Rule, World
from model.flows import ANYWHERE
from tests.lab.session.bench import Bench, declared, edit, finding, wait_finding

OUTSIDER = "192.0.2.10"
RELAY, HUB = "10.1.1.4", "10.1.11.5"
RELAY_PUBLIC = "198.51.100.1"
BRANCH = "192.168.10.0/24"


# --- on a machine ---


def run(scene: Scene, host: str, *argv: str) -> str:
    done = scene.run(host, argv)
    assert done.code == 0, f"{' '.join(argv)} on {host}: {done.err}"
    return done.out


@contextmanager
def postfix(scene: Scene, host: str, name: str, value: str) -> Generator[None]:
    """Another value of one parameter of a host's main.cf."""
    former = run(scene, host, "postconf", "-hx", name).strip()
    literal = run(scene, host, "postconf", "-h", name).rstrip("\n")

    def change(to: str) -> None:
        run(scene, host, "postconf", "-e", f"{name}={to}")
        run(scene, host, "postfix", "reload")

    change(value)
    try:
        yield
    finally:
        change(literal)
    assert run(scene, host, "postconf", "-hx", name).strip() == former


@pytest.mark.parametrize(
    ("role", "name", "value", "check", "said"),
    [
        (
            "relay",
            "relay_recipient_maps",
            "",
            edge.unknown_recipient,
            ("nobody@example.jp should hear 550", "'250 2.1.5 Ok'"),
        ),
        (
            "relay",
            "mynetworks",
            "0.0.0.0/0",
            vectors.nothing_comes_of_it,
            ("plain relaying: 'RCPT TO:<b@example.com>' should hear '554", "'250 2.1.5 Ok'"),
        ),
        (
            "relay",
            "proxy_interfaces",
            "",
            edge.role_addresses,
            (f"<postmaster@[{RELAY_PUBLIC}]> should be taken, heard '5",),
        ),
        (
            # Not the hub: there a second line of defence, its transport `retry`, says 450 as well.
            "branch",
            "unknown_relay_recipient_reject_code",
            "550",
            edge.behind_the_edge,
            ("ms2.example.jp should say 450, said '550",),
        ),
        (
            "relay",
            "smtpd_banner",
            "$myhostname ESMTP $mail_name",
            edge.banner,
            ("is ['220 dmz-ms.example.jp ESMTP Postfix']",),
        ),
        (
            "hub",
            "sender_dependent_relayhost_maps",
            "",
            routes.seen_outside,
            ("nothing came to c@example.net within 2 s", "queue of ms.example.jp:"),
        ),
    ],
)
def test_a_changed_postfix_is_noticed(
    scene: Scene, role: str, name: str, value: str, check: Check, said: tuple[str, ...]
) -> None:
    host = next(host.name for host in scene.hosts if host.role == role)
    brief = Scene(scene.deployment, limit=2.0)
    with postfix(scene, host, name, value):
        wait_finding(check, brief, *said)
    wait_finding(check, scene)


def test_a_user_on_the_relay_is_noticed(scene: Scene) -> None:
    run(scene, scene.relay.name, "useradd", "--create-home", "bob")
    try:
        assert finding(edge.no_account, scene) == (
            "dmz-ms.example.jp should know no user but admin, knows ['admin', 'bob']"
        )
    finally:
        run(scene, scene.relay.name, "userdel", "--remove", "bob")
    assert finding(edge.no_account, scene) == ""


def test_a_stopped_synchroniser_is_noticed(scene: Scene) -> None:
    run(scene, scene.hub.name, "systemctl", "stop", "gatepost-directory")
    try:
        assert "gatepost-directory.service on ms.example.jp should be active" in finding(
            logs.no_refusal, scene
        )
    finally:
        run(scene, scene.hub.name, "systemctl", "start", "gatepost-directory")
    wait_finding(logs.no_refusal, scene)


# --- in AWS ---


@pytest.fixture
def ec2(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Any:
    record = bench.lab.record
    for name, value in aws_environment(record["region"], record["endpoint"]).items():
        monkeypatch.setenv(name, value)
    return boto3.client("ec2", region_name=record["region"])


def group(world: World, name: str) -> str:
    return next(g.id for g in world.groups if g.name == f"gatepost-{name}")


def rule(world: World, wanted: Callable[[Rule], bool]) -> Rule:
    [found] = [r for g in world.groups for r in g.rules if wanted(r)]
    return found


@pytest.mark.parametrize(
    ("receiver", "sender", "port", "said"),
    [
        # Ports that the DMZ's network ACL lets in, or a way that does not cross it.
        ("dev-relay", str(ANYWHERE), 40000, f"internet → {RELAY_PUBLIC} tcp 40000 should not pass"),
        ("dev-hub", BRANCH, 443, f"ms2.example.jp → {HUB} tcp 443 should not pass"),
    ],
)
def test_a_port_too_many_is_noticed(
    bench: Bench, scene: Scene, ec2: Any, receiver: str, sender: str, port: int, said: str
) -> None:
    before = bench.lab.world
    peers = [{"CidrIp": sender}]
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": peers}
    open_port = {"GroupId": group(before, receiver), "IpPermissions": [permission]}
    ec2.authorize_security_group_ingress(**open_port)
    try:
        bench.lab.follow()
        assert said in finding(firewall.matrix, scene)
    finally:
        ec2.revoke_security_group_ingress(**open_port)
        bench.lab.follow()
    assert declared(bench.lab.world) == declared(before)


@pytest.mark.parametrize("port", [40001, 8080])
def test_a_rule_that_no_probe_meets_is_named(
    bench: Bench, scene: Scene, ec2: Any, port: int
) -> None:
    """The one is for a port that no probe tries, the other is hidden by the DMZ's network ACL."""
    peers = [{"CidrIp": str(ANYWHERE)}]
    permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": peers}
    open_port = {"GroupId": group(bench.lab.world, "dev-relay"), "IpPermissions": [permission]}
    ec2.authorize_security_group_ingress(**open_port)
    try:
        assert finding(fences.rules, scene) == (
            f"1 differ: dev: sg gatepost-dev-relay ingress tcp {port} from {ANYWHERE}: "
            "not in the table"
        )
    finally:
        ec2.revoke_security_group_ingress(**open_port)
    assert finding(fences.rules, scene) == ""


def test_a_lost_route_is_noticed(bench: Bench, scene: Scene, ec2: Any) -> None:
    before = bench.lab.world
    table, lost = next(
        (table, route)
        for table in before.route_tables
        for route in table.routes
        if route.kind == "nat_gateway"
    )
    place = {"RouteTableId": table.id, "DestinationCidrBlock": lost.destination}
    ec2.delete_route(**place)
    try:
        bench.lab.follow()
        assert f"ms.example.jp → {OUTSIDER} tcp 443 should pass" in finding(firewall.matrix, scene)
    finally:
        ec2.create_route(**place, NatGatewayId=lost.target)
        bench.lab.follow()
    assert declared(bench.lab.world) == declared(before)


def test_another_bucket_is_out_of_reach_through_the_endpoint(
    bench: Bench, scene: Scene, ec2: Any
) -> None:
    """One that lets everybody in: it is the endpoint that does not."""
    vpc = next(vpc.id for vpc in bench.lab.world.vpcs if vpc.name == "gatepost-dev")
    only = [{"Name": "vpc-id", "Values": [vpc]}]
    [endpoint] = ec2.describe_vpc_endpoints(Filters=only)["VpcEndpoints"]
    place, wide = {"VpcEndpointId": endpoint["VpcEndpointId"]}, policy(EVERYTHING)
    with open_bucket(bench, "someone-elses"):
        for host in (scene.relay.name, scene.hub.name):
            said = scene.run(host, ["python3", "-c", FETCH]).err
            assert "because no VPC endpoint policy allows the s3:GetObject action" in said
        ec2.modify_vpc_endpoint(**place, PolicyDocument=wide)
        try:
            for host in (scene.relay.name, scene.hub.name):
                assert run(scene, host, "python3", "-c", FETCH) == "b'x'\n"
        finally:
            ec2.modify_vpc_endpoint(**place, PolicyDocument=endpoint["PolicyDocument"])


EVERYTHING = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
FETCH = (
    "import boto3; s3 = boto3.client('s3', region_name='us-east-1', endpoint_url="
    "'https://s3.us-east-1.amazonaws.com');"
    "print(s3.get_object(Bucket='someone-elses', Key='x')['Body'].read())"
)


def policy(statement: dict[str, str]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@contextmanager
def open_bucket(bench: Bench, name: str) -> Generator[None]:
    """A bucket that is not the stack's, with the object `x` for everybody."""
    s3 = bench.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_policy(
        Bucket=name, Policy=policy({**EVERYTHING, "Resource": f"arn:aws:s3:::{name}/*"})
    )
    s3.put_object(Bucket=name, Key="x", Body=b"x")
    try:
        yield
    finally:
        s3.delete_object(Bucket=name, Key="x")
        s3.delete_bucket(Bucket=name)


def test_a_lost_rule_is_noticed_and_comes_back_by_refresh(
    bench: Bench, scene: Scene, ec2: Any
) -> None:
    before, ids = bench.lab.world, bench.boot_ids()
    hub, relay = group(before, "dev-hub"), group(before, "dev-relay")
    lost = rule(before, lambda r: (r.direction, r.group_id, r.group) == ("egress", hub, relay))
    ec2.revoke_security_group_egress(GroupId=hub, SecurityGroupRuleIds=[lost.id])
    bench.lab.follow()
    wrong = finding(firewall.matrix, scene)
    assert wrong == f"1 differ: ms.example.jp → {RELAY} tcp 10025 should pass"
    [dev] = bench.lab.apply(["dev"], refresh=True)
    assert (dev.created, dev.updated, dev.replaced, dev.deleted) == (1, 0, 0, 0)
    assert finding(firewall.matrix, scene) == ""
    assert bench.boot_ids() == ids


# --- in the program ---


def test_a_broken_template_replaces_the_relay_only_and_is_noticed(
    bench: Bench, scene: Scene
) -> None:
    template = bench.lab.project / "userdata" / "templates" / "relay.cf.j2"
    right, ids = template.read_text(), bench.boot_ids()
    edit(template, "= relay:[{{ postfix.inside }}]", "= relay:[192.0.2.99]")
    try:
        [dev] = bench.lab.apply(["dev"])
        wait_ready(scene.deployment)
        # The instance, and its volume's attachment.
        assert (dev.created, dev.updated, dev.replaced, dev.deleted) == (0, 0, 3, 0)
        broken = bench.boot_ids()
        assert {name for name in ids if ids[name] != broken[name]} == {scene.relay.name}
        wait_finding(
            routes.inbound,
            Scene(scene.deployment, limit=2.0),
            "nothing came to taro@example.jp within 2 s",
            f"queue of {scene.relay.name}:",
        )
    finally:
        template.write_text(right)
        bench.lab.apply(["dev"])
    wait_ready(scene.deployment)
    wait_finding(routes.inbound, scene)
