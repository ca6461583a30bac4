"""The edge as strangers meet it: who is accepted, who is refused, and with which code."""

from __future__ import annotations

from checks.deployment import MailHost
from checks.mail import send, wait_for
from checks.smtp import dialogue, identity, rcpt
from checks.suite import Check, Scene, expect


def checks(_: Scene) -> list[Check]:
    """What a stranger may and may not do."""
    return [
        banner,
        unknown_recipient,
        role_addresses,
        machines_write,
        behind_the_edge,
        no_account,
    ]


def banner(scene: Scene) -> str:
    """a relay's banner is its name, without software or version"""
    outside = scene.outside[0].name
    for relay in scene.relays:
        # A newcomer sees the first line twice, with a pause in between (postscreen(8)).
        greeting = set(dialogue(scene, outside, relay.public_ip)[0].split("\n"))
        wanted = f"{relay.name} ESMTP"
        expect(
            {line[4:] for line in greeting} == {wanted},
            f"the banner should be {wanted!r}, is {sorted(greeting)}",
        )
    return f"{len(scene.relays)} of {len(scene.relays)}"


def unknown_recipient(scene: Scene) -> str:
    """an unknown recipient hears 550 from every relay, at RCPT"""
    outside = scene.outside[0]
    for relay in scene.relays:
        for domain in scene.every_domain:
            reply = rcpt(
                scene, outside.name, relay.public_ip, f"a@{outside.domain}", f"nobody@{domain}"
            )
            expect(
                reply.startswith("550 5.1.1 "),
                f"nobody@{domain} should hear 550 from {relay.name}, heard {reply!r}",
            )
    return f"550 5.1.1 in {', '.join(scene.every_domain)}"


def role_addresses(scene: Scene) -> str:
    """postmaster and abuse are taken at every domain, the relay's name and its address literal"""
    outside, operator = scene.outside[0], f"taro@{scene.domains[0]}"
    count = 0
    for relay in scene.relays:
        for place in [*scene.every_domain, relay.name, f"[{relay.public_ip}]"]:
            for role in ("postmaster", "abuse"):
                recipient = f"{role}@{place}"
                reply = rcpt(scene, outside.name, relay.public_ip, "", recipient)
                expect(reply.startswith("250 "), f"<{recipient}> should be taken, heard {reply!r}")
                count += 1
    word = send(scene, outside.name, f"a@{outside.domain}", f"postmaster@{scene.relay.name}")
    found = [copy.address for copy in wait_for(scene, word, {operator})]
    expect(found == [operator], f"postmaster@{scene.relay.name} reached {found}")
    return f"{count} addresses; one followed to {operator}"


def machines_write(scene: Scene) -> str:
    """what is written to root and MAILER-DAEMON of any host reaches the operator"""
    operator = f"taro@{scene.domains[0]}"
    sent = {
        send(scene, host.name, "root", recipient): f"{recipient} on {host.name}"
        for host in scene.hosts
        for recipient in ("root", "MAILER-DAEMON", f"root@{host.name}", f"postmaster@{host.name}")
    }
    for word, what in sent.items():
        copies = wait_for(scene, word, {operator})
        found = [copy.address for copy in copies]
        expect(found == [operator], f"{what} reached {found}")
        # The writer is the operator too: a bounce would reach the same mailbox.
        returned = copies[0].message.get_content_type() == "multipart/report"
        expect(not returned, f"mail to {what} came back")
    return f"{len(sent)} addresses on {len(scene.hosts)} hosts, all followed to {operator}"


def behind_the_edge(scene: Scene) -> str:
    """behind the edge an unknown recipient waits (450) instead of bouncing"""
    recipient = f"nobody@{scene.domains[0]}"
    outside = f"a@{scene.outside[0].domain}"
    reply = _from_our_own(scene, scene.relay, scene.hub, outside, recipient)
    expect(reply.startswith("450 4.1.1 "), f"the hub should say 450 to the relay, said {reply!r}")
    for branch in scene.branches:
        reply = _from_our_own(scene, scene.hub, branch, outside, recipient)
        expect(reply.startswith("450 4.1.1 "), f"{branch.name} should say 450, said {reply!r}")
    return "450 from every host behind the edge"


def _from_our_own(
    scene: Scene, source: MailHost, target: MailHost, sender: str, recipient: str
) -> str:
    """The reply to RCPT where a host of our own proves that it is one."""
    mine = identity(scene, source.name)
    return rcpt(scene, source.name, target.private_ip, sender, recipient, identity=mine)


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
        known == {"peers", "recipients", "refused", "stale", "tls_policy"},
        f"{relay} should know addresses only, who is refused and the hub, holds {tables}",
    )
