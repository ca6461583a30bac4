"""The public names as the Internet sees them: every record, nothing of the inside, SPF, PTR."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from checks.suite import Check, Failed, Scene, expect

Question = tuple[str, str]
"""A name without final dot, and a type."""

QUESTIONS = 50
"""How many one call of dig(1) asks."""

NO_TRANSFER = "; Transfer failed."
"""What dig(1) prints of a server that answers a request for its zone and sends none of it, such as
with REFUSED or NOTAUTH; of one that does not answer it tells a communications error."""

_SPF = """
import json, spf, sys
print(json.dumps([spf.check2(i=i, s=s, h=h) for i, s, h in json.load(sys.stdin)]))
"""


def checks(scene: Scene) -> list[Check]:
    """What holds of the names; of signatures only where zones are signed."""
    common: list[Check] = [records, delegation, nothing_inside, reverse_names, spf_verdicts]
    return [*common, signatures] if scene.environment["ds"] else common


def records(scene: Scene) -> str:
    """every public record is there with its values, and no address but those of the edge"""
    told = {(r["name"], r["type"]): r["values"] for r in scene.environment["records"]}
    found = ask(scene, told)
    for (name, kind), values in told.items():
        seen = found[name, kind]
        expect(
            seen == sorted(canonical(kind, value, ours=True) for value in values),
            f"{name} {kind} should be {values}, is {seen}",
        )
    known = {relay.public_ip for relay in scene.relays} | {scene.environment["nat"]}
    shown = {value for (_, kind), values in found.items() if kind == "A" for value in values}
    expect(shown <= known, f"addresses that are no relay's and not NAT's: {shown - known}")
    return f"{len(told)} record sets, addresses {', '.join(sorted(shown))}"


def delegation(scene: Scene) -> str:
    """every zone is found by the name servers of the outputs"""
    servers: dict[str, list[str]] = scene.environment["name_servers"]
    found = ask(scene, [(domain, "NS") for domain in servers])
    for domain, names in servers.items():
        wanted = sorted(f"{name.rstrip('.')}." for name in names)
        seen = found[domain, "NS"]
        expect(seen == wanted, f"name servers of {domain} should be {wanted}, are {seen}")
    return ", ".join(servers)


def nothing_inside(scene: Scene) -> str:
    """no name of a host inside is public, and nobody may copy a zone"""
    exits = scene.environment["exits"]
    inside = [host.name for host in scene.hosts if host.role != "relay"]
    inside += [name for name in [f"out.{scene.domains[0]}"] if name not in exits]
    found = ask(scene, [(name, kind) for name in inside for kind in ("A", "AAAA", "MX", "TXT")])
    for (name, kind), values in found.items():
        expect(not values, f"{name} is inside and should have no {kind}, has {values}")
    outside = scene.outside[0].name
    for domain, (server, *_) in scene.environment["name_servers"].items():
        said = scene.run(outside, ["dig", "+short", "AXFR", domain, f"@{server}"])
        copied = [line for line in said.out.splitlines() if line and not line.startswith(";")]
        expect(not copied, f"{server} gave away the zone {domain}: {len(copied)} records")
        expect(
            said.code == 0 and NO_TRANSFER in said.out,
            f"{server} should refuse a copy of {domain}; dig ended with {said.code}: "
            f"{(said.out + said.err).strip()[-200:]!r}",
        )
    return f"{', '.join(inside)} unknown; no zone transfer"


def reverse_names(scene: Scene) -> str:
    """the reverse name of every exit and relay leads back to its address"""
    if not scene.environment["delegated"]:
        return "they wait for delegation"
    places = {relay.name: relay.public_ip for relay in scene.relays} | scene.environment["exits"]
    outside = scene.outside[0].name
    found = ask(scene, [(name, "A") for name in places])
    for name, address in places.items():
        seen = scene.run(outside, ["dig", "+short", "-x", address]).out.split()
        expect(seen == [f"{name}."], f"PTR of {address} should be {name}., is {seen}")
        there = found[name, "A"]
        expect(there == [address], f"A of {name} should be {address}, is {there}")
    return ", ".join(f"{name} = {address}" for name, address in places.items())


def spf_verdicts(scene: Scene) -> str:
    """SPF passes mail of every domain from every exit, by its own EHLO name too, and no other"""
    environment = scene.environment
    exits: dict[str, str] = environment["exits"]
    domains = scene.every_domain
    stranger = scene.outside[0]
    # A null sender is judged by its EHLO name (RFC 7208 section 2.4).
    senders = ["", *(f"a@{domain}" for domain in domains)]
    good = [(address, sender, name) for name, address in exits.items() for sender in senders]
    bad = [(stranger.address, f"a@{domain}", stranger.host) for domain in domains]
    bad += [(stranger.address, "", relay.name) for relay in scene.relays]
    bad += [
        (relay.public_ip, sender, relay.name)
        for relay in scene.relays
        for sender in senders
        if relay.name not in exits
    ]
    verdicts = _judge(scene, [*good, *bad])
    for case, (verdict, why) in zip([*good, *bad], verdicts, strict=True):
        wanted = "pass" if case in good else "fail"
        address, sender, name = case
        expect(
            verdict == wanted,
            f"SPF of <{sender}> by {name} [{address}] should {wanted}: {verdict} ({why})",
        )
    return f"{len(good)} pass from {len(exits)} exits, {len(bad)} fail"


def signatures(scene: Scene) -> str:
    """signed zones are vouched for by their parent, and validate"""
    outside = scene.outside[0].name
    signed: dict[str, str] = scene.environment["ds"]
    found = ask(scene, [(domain, "DS") for domain in signed])
    for domain, ds in signed.items():
        wanted = [canonical("DS", ds)]
        expect(found[domain, "DS"] == wanted, f"DS of {domain}: {found[domain, 'DS']}")
        said = scene.run(outside, ["dig", "+adflag", "SOA", domain]).out
        flags = re.search(r"flags:([^;]*);", said)
        expect(flags and "ad" in flags[1].split(), f"{domain} does not validate: {said.strip()!r}")
    return ", ".join(signed)


def ask(scene: Scene, questions: Iterable[Question]) -> dict[Question, list[str]]:
    """What the first outside host's resolver answers to each question, in order of value."""
    wanted = list(questions)
    found: dict[Question, list[str]] = {question: [] for question in wanted}
    for start in range(0, len(wanted), QUESTIONS):
        words = [word for question in wanted[start : start + QUESTIONS] for word in question]
        result = scene.run(scene.outside[0].name, ["dig", "+noall", "+answer", *words])
        if result.code:
            raise Failed(
                f"dig ended with {result.code}: {(result.out + result.err).strip()[-200:]}"
            )
        for line in result.out.splitlines():
            name, _, _, kind, value = line.split(None, 4)
            answered = found.get((name.rstrip(".").lower(), kind))
            if answered is not None:
                answered.append(canonical(kind, value))
    return {question: sorted(values) for question, values in found.items()}


def canonical(kind: str, value: str, *, ours: bool = False) -> str:
    """A value in one form; `ours` are as the outputs write them, TXT without its quotes."""
    if kind == "TXT" and not ours:
        return "".join(_unescaped(part) for part in re.findall(r'"((?:[^"\\]|\\.)*)"', value))
    if kind in ("TLSA", "DS"):
        # dig(1) divides long digests.
        *head, digest = value.split(None, 3)
        return " ".join([*head, digest.replace(" ", "").lower()])
    return value


def _unescaped(text: str) -> str:
    """A string of dig's output: `\\DDD` is an octet, any other character stands for itself."""
    return re.sub(r"\\(\d{3})|\\(.)", lambda m: chr(int(m[1])) if m[1] else m[2], text)


def _judge(scene: Scene, cases: Sequence[tuple[str, str, str]]) -> list[list[str]]:
    """pyspf's verdict and reason for each (address, sender, EHLO name)."""
    done = scene.run(
        scene.outside[0].name, ["python3", "-c", _SPF], stdin=json.dumps(cases), limit=120
    )
    if done.code:
        raise Failed(f"pyspf ended with {done.code}: {done.err.strip()[-200:]}")
    return json.loads(done.out)
