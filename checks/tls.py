"""TLS as strangers meet it, certificates and MTA-STS, and how receivers are verified in turn."""

from __future__ import annotations

import json
import re
import time

from checks.deployment import MailHost, OutsideHost, Result
from checks.mail import token
from checks.suite import Check, Failed, Scene, expect
from model import certificates, ports
from model.dns import policy_host, policy_id
from model.outbound import DIRECT, SMARTHOST

ISSUE_LIMIT = 300.0
"""Seconds after Postfix has started within which a relay must have its certificates: it asks for
them in the background, Route 53 takes up to 60 to answer for a change everywhere (Route 53
Developer Guide, "Frequently asked questions"), and a first failure is tried again after 60."""
POLICY_LIMIT = 60.0
"""Seconds within which a relay serves the policy of the bucket."""

_OLD = (("-tls1", "TLS 1.0"), ("-tls1_1", "TLS 1.1"))
_WEAK = ("-cipher", "DEFAULT@SECLEVEL=0")
"""Without it OpenSSL itself offers nothing below TLS 1.2 (SSL_CTX_set_security_level(3ssl))."""
_REFUSAL = "alert protocol version"
"""The server's word (RFC 5246 section 7.2.2); a client that cannot ask says another."""

_ROOT = """
import socket, struct
# The root's NS, with the AD bit to ask whether it was validated (RFC 6840 section 5.7).
question = struct.pack(">6H", 1, 0x0120, 1, 0, 0, 0) + b"\\0" + struct.pack(">2H", 2, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(20)
    sock.sendto(question, ("127.0.0.1", 53))
    flags = struct.unpack(">6H", sock.recv(4096)[:12])[1]
print("secure" if flags & 0x0020 else f"flags {flags:#06x}")
"""

_CHANGES = """
import boto3, json, sys
route53 = boto3.client("route53")
for zone, action, name, kind, value in json.load(sys.stdin):
    record = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": [{"Value": value}]}
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    try:
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)
        print("done")
    except route53.exceptions.ClientError as error:
        print(error.response["Error"]["Code"])
"""


def checks(scene: Scene) -> list[Check]:
    """What holds from the first day, and what delegation brings."""
    always: list[Check] = [old_versions, own_resolver]
    if scene.outbound != SMARTHOST:
        always.append(verified_sending)
    if scene.environment["delegated"]:
        return [certificate, policies, policy_clients, nothing_else, rights, *always]
    return always


def certificate(scene: Scene) -> str:
    """every relay shows certificates that strangers can verify, to mail and to policies"""
    for relay in scene.relays:
        deadline = time.monotonic() + ISSUE_LIMIT
        while (seen := _handshake(scene, relay)) and time.monotonic() < deadline:
            time.sleep(1)
        expect(not seen, f"the certificate of {relay.name} does not verify: {seen}")
    return ", ".join(relay.name for relay in scene.relays)


def old_versions(scene: Scene) -> str:
    """TLS 1.0 and 1.1 are refused, by Postfix and by the policy's server"""
    places = [(("-starttls", "smtp"), ports.SMTP)]
    if scene.environment["delegated"]:
        places.append((("-servername", policy_host(scene.domains[0])), ports.HTTPS))
    for relay in scene.relays:
        for options, port in places:
            for flag, version in _OLD:
                argv = [*options, "-connect", f"{relay.public_ip}:{port}", flag, *_WEAK]
                said = _s_client(scene, *argv)
                expect(
                    said.code != 0 and _REFUSAL in said.err,
                    f"{relay.name} port {port} should refuse {version}: {_last(said)}",
                )
    return f"{len(_OLD) * len(places) * len(scene.relays)} attempts"


def policies(scene: Scene) -> str:
    """every relay serves every domain's MTA-STS policy, as the DNS announces it"""
    told = {record["name"]: record for record in scene.environment["records"]}
    hosts = {relay.name for relay in scene.relays}
    modes = set()
    for relay in scene.relays:
        for domain in scene.every_domain:
            announced = told[f"_mta-sts.{domain}"]["values"][0]
            deadline = time.monotonic() + POLICY_LIMIT
            while policy_id(text := _fetch(scene, relay, domain)) not in announced:
                if time.monotonic() > deadline:
                    break
                time.sleep(1)
            where = f"{policy_host(domain)} at {relay.name}"
            expect(policy_id(text) in announced, f"{where}: {announced!r} is not of {text!r}")
            lines = [line.partition(": ")[::2] for line in text.splitlines()]
            named = {value for key, value in lines if key == "mx"}
            expect(named == hosts, f"{where} names {named}, the relays are {hosts}")
            modes |= {value for key, value in lines if key == "mode"}
    return (
        f"{len(scene.every_domain)} domains, {len(hosts)} relays, mode {', '.join(sorted(modes))}"
    )


def policy_clients(scene: Scene) -> str:
    """a sender that honours MTA-STS accepts every domain"""
    for domain in scene.every_domain:
        said = scene.run(scene.outside[0].name, ["sts-check", domain])
        expect(said.code == 0, f"sts-check {domain}: {said.out.strip()} {_last(said)}")
    return ", ".join(scene.every_domain)


def nothing_else(scene: Scene) -> str:
    """a relay's web server has one file, and no certificate for other names"""
    served = policy_host(scene.domains[0])
    for relay in scene.relays:
        for path in ("/", "/.well-known/", "/.well-known/mta-sts.txt.new", "/%2e%2e/etc/passwd"):
            status = _curl(scene, relay, served, path, "-o", "/dev/null", "-w", "%{http_code}").out
            # 400 where nginx takes the path for an attempt to leave its root.
            fine = status in ("404", "400")
            expect(fine, f"{relay.name} should answer 404 for {path}, said {status}")
        other = _curl(scene, relay, relay.name, "/", "--insecure")
        expect(other.code == 35, f"{relay.name} should refuse its own name: {_last(other)}")
        head = _curl(scene, relay, served, "/", "--head")
        expect(head.code == 0, f"{served} at {relay.name}: {_last(head)}")
        expect(not re.search(r"(?im)^server: .*\d", head.out), f"{relay.name} tells {head.out!r}")
    return "404 for everything else"


def rights(scene: Scene) -> str:
    """a relay may change no record but those that prove its own names

    Nothing would happen if it might: what is created exists, what is deleted does not.
    """
    told = {(r["name"], r["type"]): r["values"][0] for r in scene.environment["records"]}
    mx = next((name, value) for (name, kind), value in told.items() if kind == "MX")
    for relay in scene.relays:
        file = scene.run(relay.name, ["cat", "/etc/gatepost/certificates.json"])
        zone = json.loads(file.out)["zone"]
        stranger = certificates.challenge(f"other.{scene.domains[0]}")
        own = certificates.challenge(relay.name)
        tries = [
            (zone, "CREATE", mx[0], "MX", mx[1]),
            (zone, "CREATE", relay.name, "A", relay.public_ip),
            (zone, "DELETE", stranger, "TXT", '"nothing"'),
            (zone, "DELETE", own, "A", "192.0.2.1"),
            # Its own: not refused, but not there.
            (zone, "DELETE", own, "TXT", '"nothing"'),
        ]
        said = scene.run(relay.name, ["python3", "-c", _CHANGES], stdin=json.dumps(tries))
        answers = said.out.split()
        wanted = [*["AccessDenied"] * 4, "InvalidChangeBatch"]
        expect(answers == wanted, f"{relay.name}: {tries} got {answers} {_last(said)}")
    return "MX, A and another host's name denied"


def own_resolver(scene: Scene) -> str:
    """hosts that judge strangers or send to them have a validating resolver of their own"""
    hosts = [*scene.relays, *([scene.hub] if scene.outbound == DIRECT else [])]
    for host in hosts:
        for place in ("", "/var/spool/postfix"):
            text = scene.run(host.name, ["cat", f"{place}/etc/resolv.conf"]).out
            servers = re.findall(r"(?m)^nameserver +(\S+)", text)
            expect(servers == ["127.0.0.1"], f"{place}/etc/resolv.conf of {host.name}: {servers}")
        said = scene.run(host.name, ["python3", "-c", _ROOT])
        expect(said.out == "secure\n", f"{host.name} does not validate the root: {_last(said)}")
        state = scene.run(host.name, ["systemctl", "is-active", "systemd-resolved.service"])
        expect(state.code != 0, f"systemd-resolved runs on {host.name} beside unbound")
    return ", ".join(host.name for host in hosts)


def verified_sending(scene: Scene) -> str:
    """mail to a domain with DANE or an enforced MTA-STS policy goes to a verified host only"""
    senders = [scene.hub] if scene.outbound == DIRECT else scene.relays
    verified = []
    for outside in scene.outside:
        why = _demand(scene, outside)
        if not why:
            continue
        recipient = f"{token()}@{outside.domain}"
        text = f"From: taro@{scene.domains[0]}\nTo: {recipient}\nSubject: verified\n\nx\n"
        argv = ["sendmail", "-i", "-f", f"taro@{scene.domains[0]}", recipient]
        scene.run(scene.hub.name, argv, stdin=text)
        level = wait_level(scene, senders, recipient)
        expect(level == "Verified", f"{outside.domain} has {why}, its host was {level}")
        verified.append(f"{outside.domain} by {why}")
    expect(verified, "no outside domain demands to be verified: nothing was tried")
    return ", ".join(verified)


def wait_level(scene: Scene, senders: list[MailHost], recipient: str) -> str:
    """How far Postfix trusted the host that took a message ("Verified", "Trusted", "Untrusted" or
    "Anonymous", TLS_README, "SMTP client TLS logging"); raises Failed if none took it in time."""
    deadline = time.monotonic() + scene.limit
    while time.monotonic() < deadline:
        for sender in senders:
            log = scene.run(sender.name, ["journalctl", "-q", "--no-pager", "-o", "short", "-b"])
            level = _level(log.out.splitlines(), recipient)
            if level:
                return level
        time.sleep(0.2)
    names = ", ".join(sender.name for sender in senders)
    raise Failed(f"{recipient} was not sent by {names} within {scene.limit:g} s")


def _level(log: list[str], recipient: str) -> str:
    """The last word on TLS of the process that sent a message, before it did."""
    levels: dict[str, str] = {}
    for line in log:
        process = re.search(r"postfix\S*/smtp\[\d+\]: (?:(\w+) TLS connection established)?", line)
        if not process:
            continue
        name = process[0].partition(":")[0]
        if process[1]:
            levels[name] = process[1]
        elif f"to=<{recipient}>" in line and "status=sent" in line:
            return levels.get(name, "not encrypted")
    return ""


def _demand(scene: Scene, outside: OutsideHost) -> str:
    """What has a sender verify this host's domain, empty if nothing does."""

    def dig(kind: str, name: str) -> str:
        return scene.run(scene.outside[0].name, ["dig", "+short", kind, name]).out

    if dig("TLSA", f"_25._tcp.{outside.host}").strip():
        return "DANE"
    return "MTA-STS" if "v=STSv1" in dig("TXT", f"_mta-sts.{outside.domain}") else ""


def _handshake(scene: Scene, relay: MailHost) -> str:
    """What is wrong with a relay's certificates in the eyes of an outside host."""
    policy = policy_host(scene.domains[0])
    for name, port, options in (
        (relay.name, ports.SMTP, ("-starttls", "smtp")),
        (policy, ports.HTTPS, ("-servername", policy)),
    ):
        argv = [*options, "-connect", f"{relay.public_ip}:{port}"]
        said = _s_client(scene, *argv, "-verify_hostname", name, "-verify_return_error")
        if said.code != 0:
            return f"port {port}, {name}: {_last(said)}"
    return ""


def _s_client(scene: Scene, *argv: str) -> Result:
    # Some receivers hear nothing before a client greets them; an empty input ends with QUIT.
    return scene.run(scene.outside[0].name, ["openssl", "s_client", "-brief", *argv], stdin="")


def _fetch(scene: Scene, relay: MailHost, domain: str) -> str:
    said = _curl(scene, relay, policy_host(domain), "/.well-known/mta-sts.txt", "--fail")
    expect(said.code == 0, f"{policy_host(domain)} at {relay.name}: {_last(said)}")
    # What a command says is read with lines that end in LF.
    return "".join(f"{line}\r\n" for line in said.out.splitlines())


def _curl(scene: Scene, relay: MailHost, name: str, path: str, *options: str) -> Result:
    """Ask one relay by a name that leads to all."""
    there = ["--resolve", f"{name}:{ports.HTTPS}:{relay.public_ip}", f"https://{name}{path}"]
    argv = ["curl", "--silent", "--show-error", "--path-as-is", "--max-time", "20", *options]
    return scene.run(scene.outside[0].name, [*argv, *there])


def _last(result: Result) -> str:
    lines = result.err.strip().splitlines() or result.out.strip().splitlines()
    return lines[-1] if lines else f"exit status {result.code}"
