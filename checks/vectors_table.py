"""Attempts to relay through the edge, to trick it, or to have it do what only we may.

Each attempt says its lines to a relay, reading a reply to each; all but the last are in order, the
last is refused with the reply that is stated. What stands in braces is filled in by
`checks.vectors`: `domain` is our primary mail domain, `second` another of ours, `last` an alias
domain if there is one, `user` one of our people, `relay` and `hub` host names with their addresses
`public` and `private`; `victim` is someone at `other` on the Internet, whose host has the address
`outside`.
"""

from __future__ import annotations

from dataclasses import dataclass

SAY = "say"
"""A line, ended as it should be."""
RAW = "raw"
"""Bytes as they are, as Latin-1."""
TLS = "tls"
"""The client's side of a TLS handshake; no reply is read."""

Step = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Vector:
    """An attempt; `refused` is how the reply to its last step begins (RFC 5321, RFC 3463)."""

    group: str
    steps: tuple[Step, ...]
    refused: str


@dataclass(frozen=True, kw_only=True)
class Whole:
    """The content of a message that an unwary server would take for two: it must arrive as one."""

    name: str
    between: str


HELLO: Step = (SAY, "EHLO check.{self}")
SENDER: Step = (SAY, "MAIL FROM:<a@{self}>")
RECIPIENT: Step = (SAY, "RCPT TO:<{user}>")
BEGIN: Step = (SAY, "DATA")

DENIED = "554 5.7.1 "
UNKNOWN = "550 5.1.1 "
SYNTAX = "501 5.1.3 "
OURS = "550 5.7.1 "
NO_DSN = "501 5.7.1 "
NO_OPTION = "555 5.5.4 "
UNQUALIFIED = "504 5.5.2 "
BARE_LF = "550 5.5.2 "
NOT_KNOWN = "500 5.5.2 "
DROPPED = "221 2.7.0 "


def _recipients(group: str, refused: str, *arguments: str) -> list[Vector]:
    """Attempts with RCPT; each argument is what follows `TO:`."""
    return [
        Vector(group=group, steps=(HELLO, SENDER, (SAY, f"RCPT TO:{argument}")), refused=refused)
        for argument in arguments
    ]


def _senders(group: str, refused: str, *arguments: str) -> list[Vector]:
    """Attempts with a sender that is refused when its recipient is named, as all senders are."""
    return [
        Vector(
            group=group, steps=(HELLO, (SAY, f"MAIL FROM:{argument}"), RECIPIENT), refused=refused
        )
        for argument in arguments
    ]


def _parameters(group: str, refused: str, *arguments: str) -> list[Vector]:
    """Attempts with MAIL that are refused at once."""
    return [
        Vector(group=group, steps=(HELLO, (SAY, f"MAIL FROM:{argument}")), refused=refused)
        for argument in arguments
    ]


def _greetings(refused: str, *lines: str) -> list[Vector]:
    """Attempts with a greeting that is refused when the recipient is named."""
    return [
        Vector(group="greeting", steps=((SAY, line), SENDER, RECIPIENT), refused=refused)
        for line in lines
    ]


def _commands(group: str, refused: str, *lines: str) -> list[Vector]:
    return [Vector(group=group, steps=(HELLO, (SAY, line)), refused=refused) for line in lines]


def _contents(*ends: str) -> list[Vector]:
    """A second message behind what an unwary server takes for the end of the first."""
    second = "MAIL FROM:<{user}>\r\nRCPT TO:<{victim}>\r\nDATA\r\nSubject: {word}\r\n\r\n{word}"
    text = "Subject: {word}\r\n\r\n{word}"
    return [
        Vector(
            group="smuggling",
            steps=(HELLO, SENDER, RECIPIENT, BEGIN, (RAW, f"{text}{end}{second}\r\n.\r\n")),
            refused=BARE_LF,
        )
        for end in ends
    ]


_RELAYING = [
    Vector(
        group="plain relaying",
        steps=(HELLO, (SAY, "MAIL FROM:<>"), (SAY, "RCPT TO:<{victim}>")),
        refused=DENIED,
    ),
    *_recipients("plain relaying", DENIED, "<{victim}>", "<postmaster@{other}>"),
    *_recipients(
        "percent hack",
        DENIED,
        "<b%{other}@{domain}>",
        "<b%{other}@{relay}>",
        "<b%{other}@[{public}]>",
        "<b%{other}%{domain}@{domain}>",
        "<b%{other}>",
    ),
    *_recipients(
        "bang path", DENIED, "<{other}!b@{domain}>", "<{other}!b>", "<{domain}!{other}!b>"
    ),
    *_recipients(
        "source route",
        DENIED,
        "<@{domain}:{victim}>",
        "<@{domain},@{second}:{victim}>",
        "<@[{public}]:{victim}>",
    ),
    *_recipients(
        "quoted local part",
        DENIED,
        '<"{victim}">',
        '<"{victim}"@{domain}>',
        '<"b%{other}"@{domain}>',
        '<"{other}!b"@{domain}>',
        '<"{user}"@{other}>',
        '<"\\"b\\"@{other}"@{domain}>',
    ),
    *_recipients("several at signs", DENIED, "<{victim}@{domain}>", "<{user}@{other}>"),
    *_recipients(
        "address literal", DENIED, "<b@[{outside}]>", "<b@[IPv6:2001:db8::25]>", "<b@[{private}]>"
    ),
    *_recipients("address literal", UNKNOWN, "<nobody@[{public}]>", "<nobody@[127.0.0.1]>"),
    *_recipients("address literal", SYNTAX, "<b@{outside}>"),
    *_recipients(
        "names near ours",
        DENIED,
        "<b@anything.{domain}>",
        "<b@{domain}.{other}>",
        "<postmaster@anything.{domain}>",
        "<b@{hub}>",
        "<root@localhost>",
        "<root@localhost.{domain}>",
        "<b@xn--exmple-cua.{other}>",
    ),
    *_recipients("names near ours", DENIED, "<b@anything.{last}>", "<b%{other}@{last}>"),
    *_recipients("names near ours", UNKNOWN, "<nobody@{relay}>", "<nobody@{last}>"),
    *_recipients("dots", DENIED, "<{victim}.>"),
    *_recipients("dots", SYNTAX, "<{user}..>", "<b@.{domain}>"),
]
"""Mail for elsewhere, and addresses that a server could take for ours."""

_ADDRESSES = [
    *_recipients("malformed", SYNTAX, "<>", "<@{domain}>", "<b@>", "<{user}", "{user}", "{victim}"),
    *_recipients(
        "several in one", SYNTAX, "<{user},{victim}>", "<{user} {victim}>", "<{user}>, <{victim}>"
    ),
    *_recipients("several in one", NO_OPTION, "<{user}> <{victim}>"),
    *_recipients("unqualified", UNQUALIFIED, "<taro>"),
    *_recipients("beyond ASCII", UNKNOWN, "<t\u00c3\u00a4ro@{domain}>"),
    *_recipients("beyond ASCII", SYNTAX, "<b@\u00c3\u00a4.{domain}>"),
    *_recipients("beyond ASCII", NO_OPTION, "<{user}> SMTPUTF8"),
    *_recipients("null byte", SYNTAX, "<{victim}\0@{domain}>", "<b\0@{domain}>", "<{victim}\1>"),
    *_recipients(
        "programs and files",
        UNKNOWN,
        "<|/bin/sh@{domain}>",
        '<"|/bin/sh"@{domain}>',
        "</etc/passwd@{domain}>",
        "<:include:/etc/passwd@{domain}>",
    ),
    *_recipients("programs and files", SYNTAX, "<$(id)@{domain}>", "<-f@{domain}>"),
    *_recipients("too long", UNKNOWN, f"<{'a' * 300}@{{domain}}>"),
    *_recipients("too long", SYNTAX, f"<{'a' * 3000}@{{domain}}>"),
]
"""Recipients that are none."""

_INJECTION = [
    *_recipients("line end in RCPT", BARE_LF, "<{user}>\nRCPT TO:<{victim}>"),
    *_recipients("line end in RCPT", NO_OPTION, "<{user}>\rRCPT TO:<{victim}>"),
    *_recipients("line end in RCPT", SYNTAX, "<{user}\r\n RCPT TO:<{victim}>"),
    *_parameters("line end in MAIL", BARE_LF, "<a@{self}>\nRCPT TO:<{victim}>"),
    *_recipients(
        "delivery status",
        NO_DSN,
        "<{user}> NOTIFY=SUCCESS",
        "<{user}> NOTIFY=SUCCESS,FAILURE,DELAY",
        "<{user}> ORCPT=rfc822;{victim}",
        "<{user}> ORCPT=rfc822;b+0D+0ABcc:{victim}",
    ),
    *_parameters("delivery status", NO_DSN, "<a@{self}> RET=FULL", "<a@{self}> ENVID=a+0D+0Ab"),
    *_parameters(
        "parameters",
        NO_OPTION,
        "<a@{self}> SMTPUTF8",
        "<a@{self}> BODY=BINARYMIME",
        "<a@{self}> X=1",
    ),
    *_parameters("size", "552 5.3.4 ", "<a@{self}> SIZE=99999999999"),
    *_parameters("size", "501 5.5.4 ", "<a@{self}> SIZE=-1"),
    *_contents("\n.\n", "\n.\r\n", "\r\n.\n", "\n.\r", "\r.\n"),
    Vector(
        group="smuggling",
        steps=(
            HELLO,
            SENDER,
            RECIPIENT,
            BEGIN,
            (RAW, "Subject: {word}\nBcc: <{victim}>\r\n\r\n{word}\r\n.\r\n"),
        ),
        refused=BARE_LF,
    ),
    Vector(
        group="pipelining",
        steps=(
            HELLO,
            SENDER,
            RECIPIENT,
            (RAW, "DATA\r\nSubject: {word}\r\n\r\n{word}\r\n.\r\n"),
        ),
        refused="554 5.5.0 ",
    ),
    *_commands("binary data", "521 5.5.1 ", "BDAT 10 LAST"),
    # What was said before the handshake must be forgotten, be it in order (RFC 3207 section 4.2) or
    # slipped in behind STARTTLS (CVE-2011-0411).
    Vector(
        group="STARTTLS",
        steps=(HELLO, SENDER, RECIPIENT, (SAY, "STARTTLS"), (TLS, ""), BEGIN),
        refused="503 5.5.1 ",
    ),
    Vector(
        group="STARTTLS",
        steps=(
            HELLO,
            (RAW, "STARTTLS\r\nEHLO check.{self}\r\nMAIL FROM:<a@{self}>\r\nRCPT TO:<{user}>\r\n"),
            (TLS, ""),
            BEGIN,
        ),
        refused="503 5.5.1 ",
    ),
    *_commands("STARTTLS", "501 5.5.4 ", "STARTTLS now"),
]
"""More than one command or message where there should be one."""

_IMPERSONATION = [
    *_senders(
        "own sender",
        OURS,
        "<{user}>",
        "<nobody@{domain}>",
        "<nobody@{second}>",
        "<nobody@{last}>",
        '<"nobody"@{domain}>',
        "<@{self}:{user}>",
        "<{user}.>",
        "<postmaster@{relay}>",
        "<root@{hub}>",
        "<news@mail.{domain}>",
        "<a@b.c.{second}>",
        "<a@out.{domain}.>",
    ),
    *_senders("own sender", "550 5.1.8 ", "<a@[{public}]>", "<a@[{private}]>"),
    *_senders(
        "own sender", UNQUALIFIED, "<taro>", "<MAILER-DAEMON>", "<nobody%{domain}>", "<{domain}!b>"
    ),
    *_greetings(OURS, "EHLO {domain}", "HELO {relay}", "EHLO {hub}", "EHLO {domain}."),
    *_greetings(
        OURS, "EHLO mail.{domain}", "HELO b.c.{second}", "EHLO out.{domain}.", "EHLO {last}"
    ),
    *_greetings(OURS, "EHLO [{public}]", "EHLO {public}"),
    *_greetings("501 5.5.2 ", "EHLO -bad-", "EHLO a b", "EHLO <script>"),
    Vector(group="greeting", steps=((SAY, "EHLO"),), refused="501 "),
    Vector(group="greeting", steps=(SENDER,), refused="503 5.5.1 "),
    Vector(
        group="bounces",
        steps=(
            HELLO,
            (SAY, "MAIL FROM:<>"),
            RECIPIENT,
            (SAY, "RCPT TO:<postmaster@{domain}>"),
            BEGIN,
        ),
        refused="550 5.5.3 ",
    ),
    # Whether mail is forwarded or not: nobody has such an address.
    *(
        Vector(
            group="forged return addresses",
            steps=(HELLO, (SAY, f"MAIL FROM:<{sender}>"), (SAY, f"RCPT TO:<{address}@{{domain}}>")),
            refused="550 5.",
        )
        for sender in ("", "a@{self}")
        for address in (
            "SRS0=AAAAAA=AA={other}=b",
            "srs0=aaaa=aa={other}=b",
            "SRS1=AAAAAA={self}==AAAA=AA={other}=b",
            "SRS0=",
        )
    ),
    *_commands("proxy", "550 5.7.0 ", "XCLIENT NAME={hub} ADDR={private}", "XFORWARD NAME={hub}"),
    *_commands("authentication", "503 5.5.1 ", "AUTH PLAIN AHRhcm8AdGFybw==", "AUTH LOGIN"),
    Vector(
        group="authentication",
        steps=(
            HELLO,
            (SAY, "STARTTLS"),
            (TLS, ""),
            HELLO,
            (SAY, "AUTH PLAIN AHRhcm8AdGFybw=="),
        ),
        refused="503 5.5.1 ",
    ),
]
"""Strangers who say that they are us."""

_COMMANDS = [
    *_commands("who exists", "502 5.5.1 ", "VRFY {user}"),
    *_commands("who exists", NOT_KNOWN, "EXPN postmaster"),
    *_commands("queues", DENIED, "ETRN {domain}", "ETRN @{domain}"),
    *_commands("queues", NOT_KNOWN, "TURN", "ATRN"),
    *_commands("relics", NOT_KNOWN, "SEND FROM:<a@{self}>", "SAML FROM:<a@{self}>", "DEBUG", "WIZ"),
    *_commands(
        "other protocols",
        DROPPED,
        "GET / HTTP/1.1",
        "POST / HTTP/1.1",
        "CONNECT {outside}:25",
        "\x16",
    ),
    *_commands("order", "503 5.5.1 ", "RCPT TO:<{user}>", "DATA"),
    Vector(group="order", steps=(HELLO, SENDER, SENDER), refused="503 5.5.1 "),
]
"""What the edge does not do for strangers."""

VECTORS = (*_RELAYING, *_ADDRESSES, *_INJECTION, *_IMPERSONATION, *_COMMANDS)

WHOLE = (
    Whole(name="CR . CR", between="\r.\r"),
    Whole(name="CR . CR LF", between="\r.\r\n"),
    Whole(name="CR LF . CR", between="\r\n.\r"),
    Whole(name="CR LF . CR CR LF", between="\r\n.\r\r\n"),
    Whole(name="CR CR LF . CR CR LF", between="\r\r\n.\r\r\n"),
    Whole(name="CR LF NUL . CR LF", between="\r\n\0.\r\n"),
    Whole(name="CR LF . NUL CR LF", between="\r\n.\0\r\n"),
)
"""Ends that are none, but no reason to refuse the message either (RFC 5321 section 4.1.1.4)."""
