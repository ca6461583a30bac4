"""`gatepost secret put`: store a secret of a stack where only its role reads it.

It goes from standard input, or a prompt without echo, straight to Systems Manager: it is never on
a command line, in a file of the project or in Pulumi's state.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cli.words import complain
from lab.stackfile import read_stack
from model import secrets
from model.fields import SettingsError
from model.settings import Environment, read_environment


def put(arguments: argparse.Namespace, project: Path) -> int:
    """Store a secret that the stack's settings name; 1 if that cannot be done."""
    stack, name = arguments.stack, arguments.name
    try:
        settings = environment(project, stack)
        known = secrets.secrets(settings)
        if name not in known:
            listed = ", ".join(known) or "none"
            complain(f"secret {name}: not named in {stack}'s settings; secrets there: {listed}")
            return 1
        value = ask(name)
        parameter = secrets.parameter(stack, known[name], name)
        store(settings.region, parameter, value, key=secrets.key_name(stack))
    except (SettingsError, ValueError, BotoCoreError, ClientError) as error:
        complain(f"secret put: {error}")
        return 1
    print(f"{parameter} is stored; the {known[name]} has it in force within a minute or two")
    return 0


def environment(project: Path, stack: str) -> Environment:
    """The settings in a stack's file; raises SettingsError, LabError if there is no such file."""
    config = read_stack(project, stack)
    if "gatepost:environment" not in config:
        raise SettingsError([f"{stack}: must be an environment, which alone has secrets"])
    values, problems = read_environment(config["gatepost:environment"])
    if problems:
        raise SettingsError(problems)
    return Environment(**values)


def ask(name: str) -> str:
    """The secret, from a prompt without echo or from standard input; raises ValueError."""
    if sys.stdin.isatty():
        value = getpass.getpass(f"{name} (user:password, not shown): ")
    else:
        value = sys.stdin.read().removesuffix("\n")
    if not secrets.LOGIN.fullmatch(value):
        raise ValueError(
            f"{name}: must be user:password, one line of printable ASCII without a space at its "
            f"ends, got {len(value)} characters that are not"
        )
    return value


def store(region: str, parameter: str, value: str, *, key: str) -> None:
    """Write a SecureString under the key of that alias; raises ClientError, BotoCoreError."""
    boto3.client("ssm", region_name=region).put_parameter(
        Name=parameter, Value=value, Type="SecureString", KeyId=f"alias/{key}", Overwrite=True
    )
