"""What the edge offers strangers, what it takes from them, and what it removes."""

from __future__ import annotations

from collections.abc import Sequence

from checks.deployment import MailHost, OutsideHost
from checks.mail import Copy, token, wait_for
from checks.smtp import deliver, dialogue, early, hold
from checks.suite import Check, Scene, expect
from model.mail import EDGE_SIZE

POSTSCREEN = "lmdb:/var/lib/postfix/postscreen"
"""Where a relay remembers who has passed postscreen."""

OFFERS = {"PIPELINING", f"SIZE {EDGE_SIZE}", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME"}
"""What a stranger may use: not CHUNKING, DSN, ETRN, SMTPUTF8 or VRFY."""

FORGED = (
    "Authentication-Results: {domain}; dmarc=pass header.from={domain}",
    'authentication-results: (so they say)\r\n\t"{domain}" 1;\r\n\tspf=pass',
    "Received-SPF: pass (mailfrom) client-ip={address}",
    "X-Spam-Status: No, score=-100",
    "X-Spam: no",
    "X-Rspamd-Score: -100",
    "Bcc: somebody@{domain}",
)
"""What only our own hosts may say, or nobody."""

KEPT = (
    "ARC-Authentication-Results: i=1; {domain}; spf=pass",
    "DKIM-Signature: v=1; d=example.net",
    "X-Spammer: not a filter's verdict",
    "List-Id: <list.example.net>",
)
"""What looks like it, and is the sender's."""


def checks(_: Scene) -> list[Check]:
    """What strangers meet; the last but one keeps its connections open for a moment."""
    return [offers, too_large, forged_headers, null_sender, crowd, early_talker]


def offers(scene: Scene) -> str:
    """strangers are offered what they need and nothing else"""
    for relay in scene.relays:
        reply = dialogue(scene, scene.outside[0].name, relay.public_ip, "EHLO check.test")[1]
        found = {line[4:] for line in reply.split("\n")[1:]}
        expect(found == OFFERS, f"{relay.name} should offer {OFFERS}, offers {found}")
    return ", ".join(sorted(OFFERS))


def too_large(scene: Scene) -> str:
    """a message beyond the announced size is refused at MAIL"""
    outside = scene.outside[0]
    for relay in scene.relays:
        for size, wanted in ((EDGE_SIZE, "250 "), (EDGE_SIZE + 1, "552 5.3.4 ")):
            line = f"MAIL FROM:<a@{outside.domain}> SIZE={size}"
            reply = dialogue(scene, outside.name, relay.public_ip, "EHLO check.test", line)[-1]
            expect(reply.startswith(wanted), f"{relay.name} to {line}: {wanted}, said {reply!r}")
    return f"{EDGE_SIZE} bytes pass, one more hears 552"


def forged_headers(scene: Scene) -> str:
    """headers by which a stranger claims our own findings are removed, others stay"""
    outside, domain = scene.outside[0], scene.domains[0]
    said = {"domain": domain, "address": outside.address}
    headers = [line.format_map(said) for line in (*FORGED, *KEPT)]
    sender = f"a@{outside.domain}"
    headers.append(f"Return-Path: <taro@{domain}>")
    copy = _arrived(scene, sender, f"taro@{domain}", headers)
    # The host of the mailbox writes one (RFC 5321 section 4.4).
    paths = copy.message.get_all("Return-Path")
    expect(paths == [f"<{sender}>"], f"the return path should be {sender}'s alone, is {paths}")
    names = {name.lower() for name, _ in copy.message.items()}
    left = {line.partition(":")[0].lower() for line in FORGED} & names
    expect(not left, f"should be gone from the copy of {copy.address}: {sorted(left)}")
    lost = {line.partition(":")[0].lower() for line in KEPT} - names
    expect(not lost, f"should be in the copy of {copy.address}: {sorted(lost)}")
    return f"{len(FORGED)} removed, {len(KEPT)} kept"


def null_sender(scene: Scene) -> str:
    """a bounce from the Internet reaches its addressee"""
    copy = _arrived(scene, "", f"taro@{scene.domains[0]}", [])
    return f"{copy.address} has it"


def _arrived(scene: Scene, sender: str, recipient: str, headers: Sequence[str]) -> Copy:
    """The copy of a message that is given to the first relay with these header lines."""
    word = token()
    text = "".join(f"{line}\r\n" for line in [*headers, f"Subject: {word}"]) + f"\r\n{word}\r\n"
    reply = deliver(scene, scene.outside[0].name, scene.relay.public_ip, sender, [recipient], text)
    expect(reply.startswith("250 "), f"{scene.relay.name} should take it, said {reply!r}")
    found = wait_for(scene, word, {recipient})
    expect(len(found) == 1, f"{recipient} should have one copy, has {len(found)}")
    return found[0]


def crowd(scene: Scene) -> str:
    """one address may hold so many connections and no more"""
    relay, outside = scene.relay, scene.outside[0].name
    argv = ["postconf", "-h", "smtpd_client_connection_count_limit"]
    limit = int(scene.run(relay.name, argv).out)
    more = 5
    greetings = hold(scene, outside, relay.public_ip, limit + more)
    taken = [line for line in greetings if line.startswith("220 ")]
    refused = [line for line in greetings if line.startswith("421 4.7.0 ")]
    expect(
        (len(taken), len(refused)) == (limit, more),
        f"{limit} of {limit + more} should be greeted, the rest hear 421: {sorted(set(greetings))}",
    )
    return f"{limit} at once; the next {more} hear 421"


def forget(scene: Scene, relay: MailHost, stranger: OutsideHost) -> None:
    """Have postscreen look at a stranger again; it looks only at whom it does not know."""
    scene.run(relay.name, ["postmap", "-d", stranger.address, POSTSCREEN])


def early_talker(scene: Scene) -> str:
    """who speaks before the greeting is over is refused, and welcome once it waits"""
    outside, relay, recipient = scene.outside[0], scene.relay, f"taro@{scene.domains[0]}"
    forget(scene, relay, outside)
    lines = ["EHLO check.test", f"MAIL FROM:<a@{outside.domain}>", f"RCPT TO:<{recipient}>"]
    hasty = early(scene, outside.name, relay.public_ip, *lines)
    refused = any(reply.startswith("550 5.5.1 ") for reply in hasty)
    expect(refused, f"{relay.name} should say 550 5.5.1 to RCPT, said {hasty}")
    patient = dialogue(scene, outside.name, relay.public_ip, *lines)[-1]
    expect(patient.startswith("250 "), f"{relay.name} should say 250, said {patient!r}")
    return "550 5.5.1 to the hasty, 250 to the patient"
