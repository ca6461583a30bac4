"""What each command of `gatepost lab` does."""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from checks.alarms import standing
from checks.ready import wait_ready
from checks.suite import Failed, Verdict, run_suite
from cli.twin import Twin
from cli.words import Progress, complain, table, verdict
from lab import hosts
from lab.engine.deploy import Result
from lab.environment import FORGOTTEN
from lab.faults import Faults
from lab.host import search_path
from lab.reality import aws_environment
from lab.session import Lab, Says
from lab.stackfile import family

PROJECT = Path(__file__).parents[1]
DEFAULT = "dev"
"""The environment that is meant when no stack is named."""


def main_job(arguments: argparse.Namespace) -> int:
    """Up, boot, check, print the verdicts, down; 1 if any check failed."""
    lab, progress = _lab(arguments)
    with lab.claimed():
        lab.up(family(PROJECT, DEFAULT), tied=True)
        try:
            _await_mail(lab, progress)
            failed = _print_verdicts(run_suite(Twin(lab)))
        finally:
            lab.clean_up()
    progress.phase("the lab is down")
    return 1 if failed else 0


def up(arguments: argparse.Namespace) -> int:
    """Deploy and boot, stay up; a lab that takes no mail stays too, to be looked into."""
    lab, progress = _lab(arguments)
    faults = Faults(undelegated=arguments.undelegated)
    with lab.claimed():
        results = lab.up(arguments.stacks or family(PROJECT, DEFAULT), faults=faults)
        try:
            _await_mail(lab, progress)
        except Failed:
            complain("the lab stays up for a look at it; `gatepost lab down` ends it")
            raise
        except BaseException:
            lab.clean_up()
            raise
    print(_results(results))
    print(_hosts(lab))
    return 0


def apply(arguments: argparse.Namespace) -> int:
    """Deploy again, then boot, replace or stop what changed."""
    lab, progress = _lab(arguments)
    results = lab.apply(arguments.stacks, refresh=arguments.refresh)
    _await_mail(lab, progress)
    print(json.dumps([_summary(r) for r in results]) if arguments.json else _results(results))
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Destroy stacks, and end their machines."""
    lab, _ = _lab(arguments)
    results = lab.remove(arguments.stacks)
    print(json.dumps([_summary(r) for r in results]) if arguments.json else _results(results))
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Who is up, and how to reach them."""
    lab, _ = _lab(arguments)
    rows = hosts.statuses(lab)
    alarms = standing(Twin(lab), [row.name for row in rows if row.instance and row.running])
    if arguments.json:
        told = {"stacks": lab.record["stacks"], "hosts": [asdict(row) for row in rows]}
        print(json.dumps(told | {"alarms": alarms}))
        return 0
    print(_hosts(lab))
    for host, texts in alarms.items():
        for name, text in texts.items():
            print(f"ALARM  {host}  {name}: {text}")
    return 0


def environment(arguments: argparse.Namespace) -> int:
    """How any client of AWS reaches the lab's account: `eval "$(gatepost lab env)"`."""
    lab, _ = _lab(arguments)
    print("unset", *(name for name in FORGOTTEN if name.startswith("AWS_")))
    for name, value in aws_environment(lab.record["region"], lab.record["endpoint"]).items():
        if name.startswith("AWS_") or name.lower() == "no_proxy":
            print(f"export {name}={shlex.quote(value)}")
    return 0


def execute(arguments: argparse.Namespace) -> int:
    """Become the command (it does not return): streams, signals and exit status are its own."""
    lab, _ = _lab(arguments)
    command = arguments.argv[1:] if arguments.argv[:1] == ["--"] else arguments.argv
    if not command:
        complain("exec: no command; write gatepost lab exec HOST -- CMD…")
        return 2
    argv = hosts.argv(lab, arguments.host, command)
    return os.execvp(argv[0], argv)


def check(arguments: argparse.Namespace) -> int:
    """The acceptance suite against the lab that is up; 1 if any check failed."""
    lab, _ = _lab(arguments)
    wait_ready(Twin(lab))
    verdicts = run_suite(Twin(lab))
    if not arguments.json:
        return 1 if _print_verdicts(verdicts) else 0
    found = list(verdicts)
    print(json.dumps([asdict(each) for each in found]))
    return 0 if all(each.passed for each in found) else 1


def fault(arguments: argparse.Namespace) -> int:
    """Break or mend something on purpose, or show what is broken."""
    lab, _ = _lab(arguments)
    return arguments.act(lab, arguments)


def down(arguments: argparse.Namespace) -> int:
    """End the lab; nothing stays but the caches."""
    lab, progress = _lab(arguments)
    lab.down()
    progress.phase("the lab is down")
    return 0


def _lab(arguments: argparse.Namespace) -> tuple[Lab, Progress]:
    os.environ["PATH"] = search_path()  # for whatever the lab starts
    progress = Progress()
    says = Says(phase=progress.phase, noise=progress.noise)
    return Lab(PROJECT, arguments.state or PROJECT / ".lab", says), progress


def _await_mail(lab: Lab, progress: Progress) -> None:
    wait_ready(Twin(lab))
    progress.phase(f"every host takes mail; peak memory {_peak():.0f} MiB in one process")


def _peak() -> float:
    """The largest resident set of this process or any it waited for, in MiB (getrusage(2))."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024


def _print_verdicts(verdicts: Iterable[Verdict]) -> int:
    """Print each verdict as it comes; returns how many failed."""
    count = failed = 0
    for each in verdicts:
        print(verdict(each), flush=True)
        count += 1
        failed += not each.passed
    print(f"\n{count - failed} of {count} checks passed")
    return failed


def _summary(result: Result) -> dict[str, object]:
    words = ("stack", "created", "updated", "replaced", "deleted", "same")
    return {word: getattr(result, word) for word in words}


def _results(results: list[Result]) -> str:
    rows = [{key: str(value) for key, value in _summary(result).items()} for result in results]
    return table([list(rows[0]), *(list(row.values()) for row in rows)])


def _hosts(lab: Lab) -> str:
    head = ["host", "role", "private", "public", "instance", "state"]
    rows = [
        [
            row.name,
            row.role,
            row.private_ip,
            row.public_ip,
            row.instance,
            "running" if row.running else "not running",
        ]
        for row in hosts.statuses(lab)
    ]
    return table([head, *rows]) + "\nreach one by: gatepost lab exec HOST -- CMD…"
