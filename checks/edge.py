"""The edge as strangers meet it: who is accepted, who is refused, and with which code."""

from __future__ import annotations

from checks.mail import send, wait_for
from checks.smtp import dialogue, rcpt
from checks.suite import Check, Scene, expect


def checks(_: Scene) -> list[Check]:
    """What a stranger may and may not do."""
    return [
        names,
        banner,
        unknown_recipient,
        relay_attempts,
        role_addresses,
        behind_the_edge,
        no_account,
    ]


def names(scene: Scene) -> str:
    """the Internet's DNS leads to every relay, with equal preference, and back"""
    outside = scene.outside[0].name

    def dig(*question: str) -> list[str]:
        return scene.run(outside, ["dig", "+short", *question]).out.split("\n")[:-1]

    for domain in scene.domains:
        mx = sorted(dig("MX", domain))
        wanted = sorted(f"10 {relay.name}." for relay in scene.relays)
        expect(mx == wanted, f"MX of {domain}: {mx}")
        spf = dig("TXT", domain)
        expect(spf and spf[0].startswith('"v=spf1 '), f"TXT of {domain}: {spf}")
    for relay in scene.relays:
        address = dig("A", relay.name)
        expect(address == [relay.public_ip], f"A of {relay.name}: {address}")
        reverse = dig("-x", relay.public_ip)
        expect(reverse == [f"{relay.name}."], f"PTR of {relay.public_ip}: {reverse}")
    inside = dig("A", scene.hub.name)
    expect(not inside, f"{scene.hub.name} is inside and should have no address, has {inside}")
    return f"MX, A and PTR agree on {', '.join(relay.public_ip for relay in scene.relays)}"


def banner(scene: Scene) -> str:
    """a relay's banner is its name, without software or version"""
    outside = scene.outside[0].name
    for relay in scene.relays:
        greeting = dialogue(scene, outside, relay.public_ip)[0]
        wanted = f"220 {relay.name} ESMTP"
        expect(greeting == wanted, f"the banner should be {wanted!r}, is {greeting!r}")
    return f"{len(scene.relays)} of {len(scene.relays)}"


def unknown_recipient(scene: Scene) -> str:
    """an unknown recipient hears 550 from every relay, at RCPT"""
    outside = scene.outside[0]
    for relay in scene.relays:
        for domain in scene.domains:
            reply = rcpt(
                scene, outside.name, relay.public_ip, f"a@{outside.domain}", f"nobody@{domain}"
            )
            expect(
                reply.startswith("550 5.1.1 "),
                f"nobody@{domain} should hear 550 from {relay.name}, heard {reply!r}",
            )
    return "550 5.1.1 in every mail domain"


def relay_attempts(scene: Scene) -> str:
    """no form of relay attempt from outside is accepted"""
    outside, other = scene.outside
    domain = scene.domains[0]
    victim = f"b@{other.domain}"
    forms = (
        victim,
        f"b%{other.domain}@{domain}",
        f"{other.domain}!b@{domain}",
        f"b%{other.domain}",
        f'"{victim}"',
        f'"{victim}"@{domain}',
        f"@{domain}:{victim}",
        f"b@[{other.address}]",
        f"x@anything.{domain}",
        f"taro@{scene.hub.name}",
        f"taro@[{scene.hub.private_ip}]",
        f"nobody@[{scene.relay.public_ip}]",
        f"nobody@{scene.relay.name}",
        f"root@localhost.{domain}",
    )
    for sender in (f"a@{outside.domain}", f"taro@{domain}", ""):
        for form in forms:
            reply = rcpt(scene, outside.name, scene.relay.public_ip, sender, form)
            expect(
                reply[:3] in ("550", "554", "501", "553"),
                f"from <{sender}> to <{form}> should be refused for good, heard {reply!r}",
            )
    plain = rcpt(scene, outside.name, scene.relay.public_ip, f"a@{outside.domain}", victim)
    expect(plain.startswith("554 5.7.1 "), f"to <{victim}> should hear 554, heard {plain!r}")
    return f"{len(forms)} forms from 3 senders refused, plain relaying with 554"


def role_addresses(scene: Scene) -> str:
    """postmaster and abuse are taken at every domain, the relay's name and its address literal"""
    outside, operator = scene.outside[0], f"taro@{scene.domains[0]}"
    count = 0
    for relay in scene.relays:
        for place in [*scene.domains, relay.name, f"[{relay.public_ip}]"]:
            for role in ("postmaster", "abuse"):
                recipient = f"{role}@{place}"
                reply = rcpt(scene, outside.name, relay.public_ip, "", recipient)
                expect(reply.startswith("250 "), f"<{recipient}> should be taken, heard {reply!r}")
                count += 1
    word = send(scene, outside.name, f"a@{outside.domain}", f"postmaster@{scene.relay.name}")
    found = [copy.address for copy in wait_for(scene, word, {operator})]
    expect(found == [operator], f"postmaster@{scene.relay.name} reached {found}")
    return f"{count} addresses; one followed to {operator}"


def behind_the_edge(scene: Scene) -> str:
    """behind the edge an unknown recipient waits (450) instead of bouncing"""
    recipient = f"nobody@{scene.domains[0]}"
    outside = f"a@{scene.outside[0].domain}"
    reply = rcpt(scene, scene.relay.name, scene.hub.private_ip, outside, recipient)
    expect(reply.startswith("450 "), f"the hub should say 450 to the relay, said {reply!r}")
    if scene.branch:
        reply = rcpt(scene, scene.hub.name, scene.branch.private_ip, outside, recipient)
        expect(reply.startswith("450 "), f"the branch should say 450, said {reply!r}")
    return "450 from every host behind the edge"


def no_account(scene: Scene) -> str:
    """a DMZ server has no account and no mailbox"""
    for relay in scene.relays:
        _no_account_on(scene, relay.name)
    return "no user but the administrators', no password, no mailbox, addresses only"


def _no_account_on(scene: Scene, relay: str) -> None:
    accounts = scene.run(relay, ["getent", "passwd"]).out.splitlines()
    # Debian's image brings the administrators' own; UIDs of people begin at 1000 (adduser.conf).
    people = [line.split(":")[0] for line in accounts if 1000 <= int(line.split(":")[2]) < 65534]
    expect(set(people) <= {"admin"}, f"{relay} should know no user but admin, knows {people}")
    locked = scene.run(relay, ["getent", "shadow"]).out.splitlines()
    open_ones = [line.split(":")[0] for line in locked if line.split(":")[1][:1] not in "!*"]
    expect(not open_ones, f"{relay} should have no password, has one for {open_ones}")
    boxes = scene.run(relay, ["find", "/var/mail", "/var/spool/mail/", "-type", "f"]).out.split()
    expect(not boxes, f"{relay} should hold no mailbox, holds {boxes}")
    tables = scene.run(relay, ["ls", "/var/lib/gatepost/tables"]).out.split()
    known = {table.removesuffix(".cdb") for table in tables}
    expect(
        known == {"recipients", "refused", "stale"},
        f"{relay} should know addresses only, and who is refused, holds {tables}",
    )
