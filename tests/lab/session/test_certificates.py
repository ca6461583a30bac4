"""Certificates of several relays, and receivers that must be verified, in a lab of `prod`."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from checks import alarms, tls
from checks.mail import token, wait_for
from checks.suite import Scene
from cli.twin import Twin
from lab import hosts
from lab.faults import SOUND, Faults
from lab.internet.plan import INTERNET, INTERNET2
from lab.waiting import wait_for as wait_until
from model import certificates
from tests.lab.session.bench import Bench, copy_project, edit

MX1, MX2, HUB = "mx1.example.jp", "mx2.example.jp", "ms.example.jp"
RELAYS = (MX1, MX2)
LIVE = "/etc/letsencrypt/live"
RENEW = ["gatepost-certificates", "renew", "--force"]
RENEW_LIMIT = 180.0
"""Seconds for certbot to renew both certificates, another relay's lock included."""
MAIL_LIMIT = 30.0
"""Seconds for a message to be tried on a busy machine."""
VOLUME_LIMIT = 60.0
"""Seconds for a volume that has come late to be mounted: systemd looks every 15."""
POLICY_LIMIT = 40.0
"""Seconds for a relay to see another policy or certificate, and say so: it looks every 10."""
DIGEST = f"""
openssl x509 -in {LIVE}/host/fullchain.pem -noout -pubkey |
    openssl pkey -pubin -outform DER | sha256sum
"""
"""As docs/decisions/dnssec.md has the operator read it."""
NOT_VERIFIED = "Server certificate not verified"

_SESSION = """
import smtplib, ssl, sys
server, recipient, word = sys.argv[1:]
with smtplib.SMTP(server, timeout=300) as client:
    client.starttls(context=ssl.create_default_context())
    client.ehlo()
    code, reply = client.mail("a@example.net")
    assert code == 250, (code, reply)
    print("open", flush=True)
    sys.stdin.readline()
    code, reply = client.rcpt(recipient)
    assert code == 250, (code, reply)
    header = f"From: a@example.net\\r\\nTo: {recipient}\\r\\nSubject: {word}\\r\\n"
    print(client.data(f"{header}\\r\\nx"))
"""
"""Begins a message, and ends it when it is told to."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    project = copy_project(tmp_path_factory.mktemp("certificates") / "project")
    found = Bench.of(project, tmp_path_factory.mktemp("certificates-lab") / "state")
    with found.up(["prod"]):
        yield found


@pytest.fixture
def scene(bench: Bench) -> Scene:
    return Scene(Twin(bench.lab))


def said(scene: Scene, host: str, *argv: str, limit: float = 60) -> str:
    """What a command printed that must go well."""
    done = scene.run(host, list(argv), limit=limit)
    assert done.code == 0, f"{argv} on {host}: {done.err}"
    return done.out.strip()


def serials(scene: Scene, relay: str) -> list[str]:
    """Of the certificates that a stranger is shown at port 25, and at port 443."""
    ways = ("-starttls smtp -connect $0:25", "-servername mta-sts.example.jp -connect $0:443")
    shown = "openssl s_client {} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    return [said(scene, INTERNET.namespace, "sh", "-ec", shown.format(way), relay) for way in ways]


def lock(bench: Bench) -> list[str]:
    """Who holds the relays' lock."""
    route53 = bench.client("route53")
    name = certificates.lock("example.jp")
    return [
        value["Value"]
        for zone in route53.list_hosted_zones()["HostedZones"]
        for record in route53.list_resource_record_sets(HostedZoneId=zone["Id"])[
            "ResourceRecordSets"
        ]
        if record["Name"].rstrip(".") == name
        for value in record["ResourceRecords"]
    ]


def test_relays_that_boot_at_once_all_get_their_certificates(bench: Bench, scene: Scene) -> None:
    assert tls.certificate(scene) == f"{MX1}, {MX2}"
    for relay in RELAYS:
        journal = said(scene, relay, "journalctl", "-o", "cat", "-u", "gatepost-certificates")
        assert "Failed" not in journal, "each at its first attempt"
        assert re.findall(r"in use: (\w+), from /etc/letsencrypt", journal) == ["host", "policy"]
    assert lock(bench) == []
    assert alarms.standing(scene.deployment, RELAYS) == {}


def masters(scene: Scene, relay: str) -> list[str]:
    """The first process of Postfix, and of nginx."""
    nginx = said(scene, relay, "systemctl", "show", "--property=MainPID", "--value", "nginx")
    assert nginx != "0", f"nginx does not run on {relay}"
    return [said(scene, relay, "pgrep", "-x", "master"), nginx]


def test_a_renewal_is_served_without_a_restart(bench: Bench, scene: Scene) -> None:
    before = {relay: serials(scene, relay) for relay in RELAYS}
    processes = {relay: masters(scene, relay) for relay in RELAYS}
    keys = {relay: said(scene, relay, "sha256sum", f"{LIVE}/host/privkey.pem") for relay in RELAYS}
    word, recipient = token(), "taro@example.jp"
    session = subprocess.Popen(
        hosts.argv(bench.lab, "internet", ["python3", "-c", _SESSION, MX1, recipient, word]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert session.stdout is not None
    assert session.stdout.readline() == "open\n"
    # Both at once: what they share, they renew one after the other.
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda relay: said(scene, relay, *RENEW, limit=RENEW_LIMIT), RELAYS))
    for relay in RELAYS:
        for place, old in enumerate(before[relay]):
            assert wait_until(
                lambda r=relay, p=place, o=old: serials(scene, r)[p] != o, MAIL_LIMIT
            ), (relay, place)
        assert masters(scene, relay) == processes[relay]
        # Its digest may stand in a TLSA record.
        assert said(scene, relay, "sha256sum", f"{LIVE}/host/privkey.pem") == keys[relay]
    out, _ = session.communicate("go on\n", timeout=60)
    assert out.startswith("(250, ")
    [copy] = wait_for(scene, word, {recipient})
    assert copy.hops[0] == MX1
    assert lock(bench) == []


def test_a_refused_renewal_raises_an_alarm_and_stops_no_mail(bench: Bench, scene: Scene) -> None:
    """The lock is another relay's, for longer than a relay waits: here it waits a second."""
    before = serials(scene, MX1)
    program = "/usr/local/sbin/gatepost-certificates"
    said(scene, MX1, "sed", "-i.sound", "s/^LOCK_PATIENCE = .*/LOCK_PATIENCE = 1.0/", program)
    route53 = bench.client("route53")
    zone = route53.list_hosted_zones_by_name(DNSName="example.jp")["HostedZones"][0]["Id"]

    def change(action: str, value: str) -> None:
        record = {
            "Name": certificates.lock("example.jp"),
            "Type": "TXT",
            "TTL": 60,
            "ResourceRecords": [{"Value": f'"{value}"'}],
        }
        batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    held = f"mx9.example.jp {int(time.time()) + 1000}"
    change("CREATE", held)
    try:
        assert scene.run(MX1, ["systemctl", "start", "gatepost-certificates"], limit=120).code != 0
        [alarm] = alarms.standing(scene.deployment, RELAYS)[MX1].values()
        assert f'held by "{held}"' in alarm
        assert serials(scene, MX1) == before
    finally:
        change("DELETE", held)
        said(scene, MX1, "mv", f"{program}.sound", program)
    # What no relay would have written there holds nobody up.
    change("CREATE", "nonsense")
    said(scene, MX1, "systemctl", "start", "gatepost-certificates", limit=120)
    assert lock(bench) == []
    assert alarms.standing(scene.deployment, RELAYS) == {}


def test_without_its_volume_of_certificates_a_relay_takes_mail(bench: Bench, scene: Scene) -> None:
    """Its program waits for two seconds here, in place of a minute."""
    program, unit = "/usr/local/sbin/gatepost-volume", "gatepost-volume@certificates"
    [volume] = [each for each in bench.lab.world.volumes if each.name.endswith("mx1-certificates")]
    where = {"InstanceId": volume.instance, "Device": volume.device}
    before, ec2 = serials(scene, MX1), bench.client("ec2")
    said(scene, MX1, "sed", "-i.sound", "s/-eq 300 /-eq 10 /; s/=299$/=9/", program)
    said(scene, MX1, "systemctl", "stop", "postfix", unit)
    ec2.detach_volume(VolumeId=volume.id, Force=True)
    bench.lab.follow()
    try:
        said(scene, MX1, "systemctl", "start", "postfix")
        assert serials(scene, MX1) == before
        assert alarms.standing(scene.deployment, RELAYS) == {
            MX1: {"volume-certificates": f"volume {volume.id} for certificates is not attached"}
        }
    finally:
        ec2.attach_volume(VolumeId=volume.id, **where)
        bench.lab.follow()
        said(scene, MX1, "mv", f"{program}.sound", program)
    assert wait_until(lambda: not alarms.standing(scene.deployment, RELAYS), VOLUME_LIMIT)
    said(scene, MX1, "mountpoint", "/etc/letsencrypt")
    assert said(scene, MX1, "systemctl", "is-active", unit) == "active"


def deferred(scene: Scene, recipients: list[str], reason: str) -> Callable[[], bool]:
    """Whether each of the recipients' messages waits at a relay for that reason."""

    def look() -> bool:
        queues = "".join(said(scene, relay, "postqueue", "-j") for relay in RELAYS)
        lines = [line for line in queues.splitlines() if reason in line]
        return all(any(recipient in line for line in lines) for recipient in recipients)

    return look


def write(scene: Scene, recipient: str) -> None:
    text = f"From: taro@example.jp\nTo: {recipient}\nSubject: x\n\nx\n"
    argv = ["sendmail", "-i", "-f", "taro@example.jp", recipient]
    assert scene.run(HUB, argv, stdin=text).code == 0


def flush(scene: Scene) -> None:
    for relay in RELAYS:
        said(scene, relay, "postqueue", "-f")


def test_a_receiver_that_does_not_verify_gets_no_mail(bench: Bench, scene: Scene) -> None:
    recipients = [f"{token()}@{host.domain}" for host in (INTERNET, INTERNET2)]
    bench.lab.break_on_purpose(Faults(wrong_certificate=(INTERNET.namespace, INTERNET2.namespace)))
    try:
        for recipient in recipients:
            write(scene, recipient)
        assert wait_until(deferred(scene, recipients, NOT_VERIFIED), MAIL_LIMIT)
    finally:
        bench.lab.break_on_purpose(SOUND)
    flush(scene)
    senders = scene.relays
    assert {tls.wait_level(scene, senders, one) for one in recipients} == {"Verified"}


def test_without_the_policy_service_mail_waits(scene: Scene) -> None:
    units = ["gatepost-tls-policy.socket", "gatepost-tls-policy.service"]
    recipient = f"{token()}@{INTERNET.domain}"
    for relay in RELAYS:
        said(scene, relay, "systemctl", "stop", *units)
    try:
        write(scene, recipient)
        assert wait_until(deferred(scene, [recipient], "TLS"), MAIL_LIMIT)
    finally:
        for relay in RELAYS:
            said(scene, relay, "systemctl", "start", units[0])
    flush(scene)
    assert tls.wait_level(scene, scene.relays, recipient) == "Verified"


def test_a_sender_that_honours_dane_verifies_a_relay_by_the_digest_of_its_key(
    bench: Bench, scene: Scene
) -> None:
    file, ids = bench.lab.project / "stacks" / "Pulumi.prod.yaml", bench.boot_ids()
    for relay in RELAYS:
        digest = said(scene, relay, "sh", "-ec", DIGEST).split()[0]
        host = f"      - host: {relay}\n"
        edit(file, host, f"{host}        tlsa: [{digest}]\n")
    [result] = bench.lab.apply(["prod"])
    assert (result.created, result.updated, result.replaced) == (len(RELAYS), 0, 0)
    assert bench.boot_ids() == ids
    log, word, recipient = bench.lab.state / "logs/internet-postfix.log", token(), "taro@example.jp"
    before = len(log.read_text())
    text = f"From: a@example.net\nTo: {recipient}\nSubject: {word}\n\nx\n"
    argv = ["sendmail", "-i", "-f", "a@example.net", recipient]
    assert scene.run(INTERNET.namespace, argv, stdin=text).code == 0
    [copy] = wait_for(scene, word, {recipient})
    trusted = re.findall(r"(\w+) TLS connection established to (mx\d)", log.read_text()[before:])
    assert ("Verified", copy.hops[1].partition(".")[0]) in trusted


def test_to_enforce_the_policy_touches_no_machine(bench: Bench) -> None:
    before = bench.boot_ids()
    file = bench.lab.project / "stacks" / "Pulumi.prod.yaml"
    edit(file, "mta_sts: testing", "mta_sts: enforce")
    [result] = bench.lab.apply(["prod"])
    # The policy, and its id in the DNS of each domain that takes mail.
    domains = [*result.outputs["domains"], *result.outputs["alias_domains"]]
    changed = 1 + len(domains)
    assert (result.created, result.updated, result.replaced, result.deleted) == (0, changed, 0, 0)
    assert bench.boot_ids() == before
    assert tls.policies(Scene(Twin(bench.lab))).endswith("mode enforce")


def test_to_enforce_what_senders_cannot_verify_is_an_alarm(scene: Scene) -> None:
    """After the test before: the policy says enforce."""

    def standing() -> str:
        return alarms.standing(scene.deployment, RELAYS).get(MX1, {}).get("mta-sts", "")

    assert standing() == ""
    pair = "/etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem"
    said(scene, MX1, "sh", "-c", f"cat {pair} >/var/lib/gatepost-tls/host.pem")
    try:
        assert wait_until(lambda: bool(standing()), POLICY_LIMIT)
        assert f"says enforce, but senders cannot verify {MX1}: " in standing()
    finally:
        said(scene, MX1, "gatepost-certificates", "deploy")
    assert wait_until(lambda: not standing(), POLICY_LIMIT)
