"""Runs within a role's root directory: starts its Postfix, and puts to it what it reads.

Each line of standard input is a question in JSON, each line of output its answer. It has no
imports of ours: nothing but what the machine's image holds is there.
"""

import glob
import json
import smtplib
import socket
import subprocess
import sys
import time

OTHERS = sys.argv[1]
"""Where it takes mail from other hosts."""
TABLES = "/var/lib/gatepost/tables"
MAILBOXES = "/var/mail/vhosts"
PART = 8
"""Recipients of one session: smtpd slows a client down after ten errors."""
LIMIT = 30.0
"""Seconds for a message to have been tried."""


def start(settings: dict[str, str], tables: dict[str, dict[str, str]]) -> str:
    """Change settings of main.cf, build the tables as the synchroniser does, then start."""
    changes = [f"{name}={value}" for name, value in settings.items()]
    subprocess.run(["postconf", "-e", *changes], check=True)
    for name, table in tables.items():
        with open(f"{TABLES}/{name}", "w") as file:
            file.write("".join(f"{key} {value}\n" for key, value in sorted(table.items())))
        subprocess.run(["postmap", f"cdb:{TABLES}/{name}"], check=True)
    subprocess.run(["postfix", "start"], check=True, stdout=sys.stderr)
    return "started"


def table(name: str, keys: list[str]) -> dict[str, str]:
    """What postmap(1) itself finds of these keys."""
    argv = ["postmap", "-q", "-", f"cdb:{TABLES}/{name}"]
    asked = "".join(f"{key}\n" for key in keys)
    told = subprocess.run(argv, input=asked, capture_output=True, text=True)
    assert not told.stderr, told.stderr
    lines = (line.partition("\t") for line in told.stdout.splitlines())
    return {key: value for key, _, value in lines}


def session(client: str) -> smtplib.SMTP:
    made = smtplib.SMTP(local_hostname="mx.example.net", timeout=LIMIT, source_address=(client, 0))
    made.connect("127.0.0.1" if client.startswith("127.") else OTHERS)
    made.ehlo()
    made.mail("a@example.net")
    return made


def replies(client: str, addresses: list[str]) -> list[str]:
    """What a client hears at RCPT."""
    found = []
    for part in range(0, len(addresses), PART):
        with session(client) as server:
            for address in addresses[part : part + PART]:
                code, text = server.rcpt(address)
                found.append(f"{code} {text.decode()}")
    return found


def ways(addresses: list[str]) -> list[str]:
    """By which transport trivial-rewrite(8) sends each address, and to where."""
    found = []
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(LIMIT)
        server.connect("/var/spool/postfix/private/rewrite")
        read(server)
        for address in addresses:
            asked = {"request": "resolve", "sender": "a@example.net", "address": address}
            text = "".join(f"{name}\0{value}\0" for name, value in asked.items())
            server.sendall(text.encode() + b"\0")
            answer = read(server)
            found.append(f"{answer['transport']}:{answer['nexthop']}")
    return found


def read(server: socket.socket) -> dict[str, str]:
    """The attributes that a program of Postfix's answers with: names and values in turn."""
    text = b""
    while not text.endswith(b"\0\0"):
        more = server.recv(4096)
        assert more, text
        text += more
    words = text.decode().removesuffix("\0\0").split("\0")
    return dict(zip(words[::2], words[1::2], strict=True))


def send(client: str, recipients: list[str]) -> str:
    """Hand a message over; returns the word that names it in the queue."""
    with session(client) as server:
        for recipient in recipients:
            code, text = server.rcpt(recipient)
            assert code == 250, (recipient, text)
        code, text = server.data(b"Subject: x\r\n\r\nx\r\n")
        assert code == 250, text
    return text.decode().rpartition(" ")[2]


def queued(word: str) -> dict[str, str]:
    """What is queued of a message after it has been tried: why, by recipient."""
    end = time.monotonic() + LIMIT
    while True:
        told = subprocess.run(["postqueue", "-j"], capture_output=True, text=True, check=True)
        mine = [m for m in map(json.loads, told.stdout.splitlines()) if m["queue_id"] == word]
        left = {r["address"]: r.get("delay_reason", "") for m in mine for r in m["recipients"]}
        if all(left.values()) and all(m["queue_name"] == "deferred" for m in mine):
            return left
        assert time.monotonic() < end, left
        time.sleep(0.05)


def mailboxes() -> list[str]:
    """The mailbox of each message that has been delivered."""
    files = glob.glob(f"{MAILBOXES}/*/*/new/*")
    return sorted("@".join(file.split("/")[5:3:-1]) for file in files)


for line in sys.stdin:
    name, *values = json.loads(line)
    print(json.dumps(globals()[name](*values)), flush=True)
