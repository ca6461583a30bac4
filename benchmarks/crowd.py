"""A hundred thousand people and 200 branches: what their directory costs a host."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass

from benchmarks.people import lab
from checks.suite import Scene
from lab.waiting import wait_for
from model import directory
from model.people import People, User
from tests.lab.session.drill import Drill, directory_bucket, in_force, server

BRANCHES = 200
"""Osaka among them; the others are objects in the bucket without a machine."""
EACH = 50
"""People of each of those."""
LIMIT = 600.0
"""Seconds for so many to be in force on a busy machine."""
QUIET = 30
"""Seconds for which bytes are counted while nothing changes."""
LOOKUPS = 100_000
TABLES = "/var/lib/gatepost/tables"
METER = """table inet counted {
    chain input {
        type filter hook input priority 0;
        tcp sport 443 counter
    }
}
"""
"""Counts what a host receives from S3, TLS and packets' heads included (nft(8))."""

_COST = """
import json, os, subprocess
show = ["systemctl", "show", "-p", "MainPID", "--value", "gatepost-directory"]
pid = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
ticks = sum(int(each) for each in fields[11:15]) / os.sysconf("SC_CLK_TCK")
peak = next(line for line in open(f"/proc/{pid}/status") if line.startswith("VmHWM"))
print(json.dumps({"pid": pid, "processor": ticks, "memory": int(peak.split()[1]) / 1024}))
"""
"""Of the synchroniser: seconds of processor (its children's, postmap's, included) and the most
memory that it has held, MiB (proc_pid_stat(5), proc_pid_status(5))."""

_RATE = """
import subprocess, sys, time
table, count = sys.argv[1], int(sys.argv[2])
keys = [line.split(" ")[0] for line in open(table)]
asked = "".join(f"{keys[number * 7919 % len(keys)]}\\n" for number in range(count))
begun = time.monotonic()
found = subprocess.run(["postmap", "-q", "-", f"cdb:{table}"], input=asked, capture_output=True,
                       text=True, check=True).stdout
seconds = time.monotonic() - begun
assert found.count("\\n") == count, "a key of the table was not found"
print(count / seconds)
"""


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """Of one host's synchroniser since it began."""

    pid: str
    processor: float
    memory: float


def report(users: int) -> dict[str, float]:
    """Figures of `users` people at the hub, in a lab of its own."""
    with lab() as drill:
        return measure(drill, users)


def measure(drill: Drill, users: int) -> dict[str, float]:
    """Figures of `users` people at the hub, by a real `up`, beside BRANCHES branches."""
    _fill_branches(drill)
    before = _costs(drill)
    crowd = [f"crowd{number}@example.jp" for number in range(users)]
    up = _up(drill, crowd)
    settled = _costs(drill)
    added = _up(drill, [*crowd, "one.more@example.jp"])
    after = _costs(drill)
    found: dict[str, float] = {
        "people at the hub": users,
        "branches": BRANCHES,
        "people at branches": (BRANCHES - 1) * EACH,
        "up with all of them": up[0],
        "all of them, end of up to in force everywhere": up[1],
        "up with one person more": added[0],
        "one person more, end of up to in force everywhere": added[1],
    }
    for host in drill.scene.hosts:
        if host.role == "branch":
            continue
        first, then, last = (costs[host.name] for costs in (before, settled, after))
        found |= {
            f"{host.role}: processor for all": then.processor - first.processor,
            f"{host.role}: processor for one more": last.processor - then.processor,
            f"{host.role}: most memory of the synchroniser, MiB": last.memory,
            f"{host.role}: bytes a minute when nothing changes": _idle_bytes(
                drill.scene, host.name
            ),
            f"{host.role}: look-ups a second": _rate(drill.scene, host.name),
        }
    return found


def _fill_branches(drill: Drill) -> None:
    """The objects of all branches but Osaka, as their stacks and machines would write them."""
    s3, bucket = drill.bench.client("s3"), directory_bucket(drill.bench)
    for number in range(1, BRANCHES):
        name = f"branch-{number}"
        owner, host = directory.branch_owner(name), f"{name}.example.jp"
        mine = [User(address=f"b{number}.{each}@example.jp") for each in range(EACH)]
        objects = directory.objects(
            owner,
            People(users=tuple(mine), aliases={}),
            host=host,
            address=f"192.168.{number + 20}.5",
        )
        fingerprint = hashlib.sha256(host.encode()).digest().hex(":").upper()
        key = directory.identity_object(owner, host, fingerprint)
        for item in (*objects, key):
            s3.put_object(Bucket=bucket, Key=item.key, Body=item.text.encode())
    in_force(drill, limit=LIMIT)
    hub = server(drill, "dev")
    if not wait_for(lambda: _keys(drill.scene, hub) == BRANCHES, LIMIT):
        raise SystemExit(f"{hub}: knows {_keys(drill.scene, hub)} branches' keys of {BRANCHES}")


def _keys(scene: Scene, host: str) -> int:
    """How many branches a hub knows by their keys."""
    return len(_run(scene, host, ["cat", f"{TABLES}/branch_certs"]).splitlines())


def _up(drill: Drill, crowd: list[str]) -> tuple[float, float]:
    """`up` with these users at the hub beside the company's: seconds, and seconds after it until
    they were in force everywhere."""
    drill.company.users["dev"] |= {user: {} for user in crowd}
    drill.company.write()
    begun = time.time()
    drill.bench.engine().up("dev")
    ended = time.time()
    found = in_force(drill, limit=LIMIT)
    return ended - begun, max(0.0, max(each.since for each in found) - ended)


def _costs(drill: Drill) -> dict[str, _Cost]:
    hosts = [host.name for host in drill.scene.hosts]
    return {host: _Cost(**json.loads(_python(drill.scene, host, _COST))) for host in hosts}


def _idle_bytes(scene: Scene, host: str) -> float:
    """Bytes a minute that come from S3 while nothing changes."""
    _run(scene, host, ["nft", "-f", "-"], stdin=METER)
    time.sleep(QUIET)
    told = json.loads(_run(scene, host, ["nft", "-j", "list", "table", "inet", "counted"]))
    _run(scene, host, ["nft", "delete", "table", "inet", "counted"])
    [counter] = [
        part["counter"]
        for item in told["nftables"]
        for part in item.get("rule", {}).get("expr", [])
        if "counter" in part
    ]
    return counter["bytes"] * 60 / QUIET


def _rate(scene: Scene, host: str) -> float:
    """Answers of Postfix's own postmap a second, from the table of who exists."""
    return float(_python(scene, host, _RATE, f"{TABLES}/recipients", str(LOOKUPS)))


def _python(scene: Scene, host: str, program: str, *words: str) -> str:
    return _run(scene, host, ["python3", "-c", program, *words])


def _run(scene: Scene, host: str, argv: list[str], *, stdin: str = "") -> str:
    done = scene.run(host, argv, stdin=stdin, limit=LIMIT)
    if done.code:
        raise SystemExit(f"{host}: {argv[0]}: {done.err.strip()}")
    return done.out
