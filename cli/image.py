"""`gatepost image update`: move one host's pinned image forward, by intent."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cli.words import complain
from lab.stackfile import not_yaml, read_stack, read_text, stack_file
from model.fields import SettingsError
from model.settings import read_branch, read_environment

PARAMETER = "/aws/service/debian/release/13/latest/{architecture}"
"""Debian's public parameter for its newest image (wiki.debian.org/Cloud/AmazonEC2Image)."""

GRAVITON = re.compile(r"[a-z]+\d+[a-z]*g")
"""Instance types of the arm64 architecture ("Amazon EC2 instance type naming conventions")."""


def update(arguments: argparse.Namespace, project: Path) -> int:
    """Pin the newest Debian image for one host in its stack file; 1 if that cannot be done.

    One host at a time: after `pulumi up` and a look at it, the next. The comments and the order of
    the file stay.
    """
    path = stack_file(project, arguments.stack)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)  # as the stack files are written
    try:
        _check(arguments.stack, read_stack(project, arguments.stack))
        content = yaml.load(read_text(path))
        settings, entry = find(content["config"], arguments.host)
        image = newest(settings["region"], architecture(settings, entry))
    except YAMLError as error:  # such as a key that is there twice, which PyYAML takes
        raise not_yaml(path, error) from None
    except (SettingsError, LookupError, BotoCoreError, ClientError) as error:
        complain(f"image update: {error}")
        return 1
    former = entry.get("image") or settings.get("image")
    if former == image:
        print(f"{arguments.host}: {image} is the newest already")
        return 0
    entry["image"] = image
    partial = path.with_suffix(".partial")
    try:
        with partial.open("w") as file:
            yaml.dump(content, file)
        shutil.copymode(path, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    print(f"{arguments.host}: {former} → {image} in {path}; now: pulumi up -s {arguments.stack}")
    return 0


def _check(stack: str, config: dict[str, Any]) -> None:
    """Raise SettingsError unless the settings are those of a stack with hosts on AWS."""
    if (raw := config.get("gatepost:branch")) is not None:
        problems = read_branch(raw)[1]
    elif (raw := config.get("gatepost:environment")) is not None:
        problems = read_environment(raw)[1]
    else:
        kind = config.get("gatepost:kind", "a stack without a gatepost:kind")
        problems = [f"stack {stack}: must be an environment or a branch, got {kind}"]
    if problems:
        raise SettingsError(problems)


def find(config: Any, host: str) -> tuple[Any, Any]:
    """The stack's settings and the entry of `host` within; raises LookupError with the hosts."""
    branch = config.get("gatepost:branch")
    if branch is not None:
        entries = {branch["host"]: branch}
        settings = branch
    else:
        settings = config["gatepost:environment"]
        entries = {entry["host"]: entry for entry in [*settings["relays"], settings["hub"]]}
    if host not in entries:
        raise LookupError(f"host {host}: not in this stack; there are {', '.join(entries)}")
    return settings, entries[host]


def architecture(settings: Any, entry: Any) -> str:
    """Debian's name of the architecture of a host's instance type (the default is Graviton)."""
    kind = entry.get("instance_type") or settings.get("instance_type")
    return "arm64" if kind is None or GRAVITON.match(kind) else "amd64"


def newest(region: str, architecture: str) -> str:
    """The id of Debian's newest image in a Region; raises ClientError, BotoCoreError."""
    name = PARAMETER.format(architecture=architecture)
    ssm = boto3.client("ssm", region_name=region)
    return ssm.get_parameter(Name=name)["Parameter"]["Value"]
