"""The `gatepost` command: arguments in, words and exit codes out."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from checks.suite import Failed
from cli import account, branch, commands
from cli.fault import add_json
from cli.fault import add_parser as add_fault_parser
from cli.image import update as image_update
from cli.secret import put as secret_put
from cli.words import complain
from lab.errors import LabError

SIGNALLED = 128
"""The exit status after a signal is this and the signal's number, as shells count."""
ENDED_BY = (signal.SIGTERM, signal.SIGHUP)
"""Signals that end a command as Ctrl-C does; SIGHUP is that of a terminal that is closed."""
CLEANED = "the lab has been cleaned up"
WHOLE = "nothing is left half done"
STAYS = "the lab stays: `gatepost lab apply` completes it, `gatepost lab down` ends it"


class Terminated(BaseException):
    """SIGTERM or SIGHUP came; like KeyboardInterrupt it is nobody's to swallow."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns its exit status: 0, or 1 if a check or the command failed."""
    arguments = _parser().parse_args(argv)
    former = {number: signal.getsignal(number) for number in ENDED_BY}
    for number, handler in former.items():
        if handler != signal.SIG_IGN:  # as nohup(1) has it
            signal.signal(number, _terminate)
    try:
        return arguments.run(arguments)
    except (LabError, Failed) as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        complain(f"interrupted; {arguments.left}")
        return SIGNALLED + signal.SIGINT
    except Terminated as end:
        complain(f"terminated; {arguments.left}")
        return SIGNALLED + end.number
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _terminate(number: int, _frame: object) -> None:
    raise Terminated(number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gatepost", description="A company's mail on AWS, behind a gate."
    )
    parser.set_defaults(left=WHOLE)
    areas = parser.add_subparsers(required=True, metavar="AREA")
    lab = areas.add_parser(
        "lab",
        help="the twin: deploy into an AWS emulator, boot every machine, judge it by real mail",
        description="Without a command: up, boot, check, down; the exit status tells.",
    )
    lab.add_argument(
        "--state",
        type=Path,
        help="the folder of this lab (default: .lab in the project); one lab per folder",
    )
    lab.set_defaults(run=commands.main_job, stacks=[], json=False, left=CLEANED)
    _lab_commands(lab.add_subparsers(metavar="COMMAND"))
    image = areas.add_parser("image", help="the hosts' pinned Debian images")
    update = image.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "update", help="pin Debian's newest image for one host, in its stack file"
    )
    update.add_argument("stack", metavar="STACK")
    update.add_argument("host", metavar="HOST")
    update.set_defaults(run=lambda arguments: image_update(arguments, commands.PROJECT))
    _secret_commands(areas)
    _branch_commands(areas.add_parser("branch", help="branches and offices of an environment"))
    return parser


def _secret_commands(areas: argparse._SubParsersAction) -> None:
    secret = areas.add_parser("secret", help="secrets, which no file and no state holds")
    put = secret.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "put",
        help="store a secret that the stack's settings name, such as smarthost",
        description="Reads user:password from a prompt, or from standard input.",
    )
    put.add_argument("stack", metavar="STACK")
    put.add_argument("name", metavar="NAME")
    put.set_defaults(run=lambda arguments: secret_put(arguments, commands.PROJECT))


def _branch_commands(area: argparse.ArgumentParser) -> None:
    commands_of = area.add_subparsers(required=True, metavar="COMMAND")
    new = commands_of.add_parser(
        "new", help="write a new branch's stack file, a free network in it"
    )
    new.set_defaults(run=lambda arguments: branch.new(arguments, commands.PROJECT))
    new.add_argument("name", metavar="NAME", help="the branch's name, such as osaka")
    new.add_argument("--environment", required=True, metavar="ENV", help="its environment's stack")
    new.add_argument("--host", required=True, help="its mail server's host name")
    new.add_argument("--network", metavar="CIDR", help="its network (default: the lowest free /24)")
    new.add_argument(
        "--gateway", metavar="ADDRESS", help="the public VPN address of an office not on AWS"
    )
    new.add_argument("--address", help="that office's mail server (default: the network's fifth)")
    policy = commands_of.add_parser("policy", help="print the IAM policy of who deploys a branch")
    policy.set_defaults(run=lambda arguments: account.policy(arguments, commands.PROJECT))
    files = commands_of.add_parser("files", help="write what an office's administrator needs")
    files.set_defaults(run=lambda arguments: account.files(arguments, commands.PROJECT))
    for command in (policy, files):
        command.add_argument("stack", metavar="STACK")
    files.add_argument("--out", required=True, type=Path, metavar="DIR", help="a new folder")


def _lab_commands(commands_of: argparse._SubParsersAction) -> None:
    up = commands_of.add_parser("up", help="deploy and boot, stay up (default: dev, its branches)")
    up.set_defaults(run=commands.up)
    up.add_argument("stacks", nargs="*", metavar="STACK")
    up.add_argument(
        "--undelegated",
        action="store_true",
        help="as a new domain begins: found by nobody until `gatepost lab fault undelegated off`",
    )
    apply = commands_of.add_parser("apply", help="deploy again after an edit; boot what changed")
    apply.set_defaults(run=commands.apply)
    apply.add_argument("stacks", nargs="*", metavar="STACK")
    apply.add_argument("--refresh", action="store_true", help="read the real state first")
    remove = commands_of.add_parser("remove", help="destroy a stack; its machines end with it")
    remove.set_defaults(run=commands.remove)
    remove.add_argument("stacks", nargs="+", metavar="STACK")
    status = commands_of.add_parser("status", help="hosts, roles, addresses, how to reach them")
    status.set_defaults(run=commands.status)
    environment = commands_of.add_parser(
        "env", help='the lab\'s AWS account for any client: eval "$(gatepost lab env)"'
    )
    environment.set_defaults(run=commands.environment)
    execute = commands_of.add_parser("exec", help="run a command on a host: exec HOST -- CMD…")
    execute.set_defaults(run=commands.execute)
    execute.add_argument("host", metavar="HOST")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD…")
    check = commands_of.add_parser("check", help="the acceptance suite")
    check.set_defaults(run=commands.check)
    fault = add_fault_parser(commands_of, commands.fault)
    down = commands_of.add_parser("down", help="end the lab; nothing stays")
    down.set_defaults(run=commands.down)
    for command in (apply, remove, status, environment, execute, check, fault, down):
        command.set_defaults(left=STAYS)
    for command in (apply, remove, status, check, fault):
        add_json(command)


if __name__ == "__main__":
    sys.exit(main())
