"""`gatepost branch policy` and `gatepost branch files`: from a stack file and AWS's state."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from cli.words import complain
from cli.written import write_new
from lab.stackfile import read_stack
from model import contract, directory, principal
from model.contract import Contract
from model.fields import SettingsError
from model.principal import STACK
from model.settings import Office, read_branch, read_office
from stacks.settings import load_branch_people, load_office
from userdata import office


def policy(arguments: argparse.Namespace, project: Path) -> int:
    """Print the IAM policy of the principal that deploys a branch or an office, as JSON."""
    try:
        kind, raw = _settings(project, arguments.stack)
        settings, problems = {"branch": read_branch, "office": read_office}[kind](raw)
        if problems:
            raise SettingsError(problems)
        terms = _contract(settings["environment"], settings["region"])
    except (SettingsError, BotoCoreError, ClientError) as error:
        complain(f"branch policy: {error}")
        return 1
    made = {"branch": principal.branch_policy, "office": principal.office_policy}[kind]
    print(json.dumps(made(terms, settings["name"]), indent=2))
    return 0


def files(arguments: argparse.Namespace, project: Path) -> int:
    """Write what the administrator of an office needs into a folder that is new or empty."""
    try:
        _check_new(arguments.out)
        kind, raw = _settings(project, arguments.stack)
        if kind != "office":
            raise SettingsError([f"stack {arguments.stack}: only an office has files, got {kind}"])
        settings = load_office(raw)
        terms = _contract(settings.environment, settings.region)
        made = _office_files(arguments.stack, settings, terms)
        write_new({arguments.out / name: text for name, text in made.items()})
    except (SettingsError, OSError, BotoCoreError, ClientError) as error:
        complain(f"branch files: {error}")
        return 1
    print(f"{len(made)} files in {arguments.out}; begin with README.md")
    return 0


def _settings(project: Path, stack: str) -> tuple[str, dict[str, Any]]:
    """The kind of a branch's or an office's stack, and its raw settings."""
    config = read_stack(project, stack)
    for kind in ("branch", "office"):
        if raw := config.get(f"gatepost:{kind}"):
            return kind, raw
    raise SettingsError([f"stack {stack}: must be a branch or an office"])


def _contract(environment: str, region: str) -> Contract:
    name = contract.parameter_name(environment)
    ssm = boto3.client("ssm", region_name=region)
    return contract.from_json(ssm.get_parameter(Name=name)["Parameter"]["Value"], name)


def _office_files(stack: str, settings: Office, terms: Contract) -> dict[str, str]:
    people, problems = load_branch_people(settings, tuple(terms.domains), terms.alias_domains)
    if problems or people is None:
        raise SettingsError(problems)
    connection, tunnels = _vpn(stack, settings.region)
    return office.files(
        settings,
        terms,
        people,
        hub_key=_hub_key(terms, settings.region),
        connection=connection,
        tunnels=tunnels,
    )


def _hub_key(terms: Contract, region: str) -> bytes:
    """The object of the directory by which the hub is known; its first boot writes it."""
    key = directory.identity_key(directory.environment_owner(), terms.hub)
    s3 = boto3.client("s3", region_name=region)
    try:
        body = s3.get_object(Bucket=terms.directory, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        where = f"s3://{terms.directory}/{key}"
        raise SettingsError(
            [f"{terms.hub}: has no {where} yet, its first boot writes it; run this again then"]
        ) from None
    return bytes(body)


def _vpn(stack: str, region: str) -> tuple[str, list[str]]:
    """The id of a stack's VPN connection, and AWS's ends of its tunnels; never a key."""
    ec2 = boto3.client("ec2", region_name=region)
    only = [
        {"Name": f"tag:{STACK}", "Values": [stack]},
        {"Name": "state", "Values": ["pending", "available"]},
    ]
    found = ec2.describe_vpn_connections(Filters=only)["VpnConnections"]
    if len(found) != 1:
        raise SettingsError(
            [f"stack {stack}: must have one VPN connection, got {len(found)}; pulumi up it first"]
        )
    tunnels = found[0]["Options"]["TunnelOptions"]
    return found[0]["VpnConnectionId"], [tunnel["OutsideIpAddress"] for tunnel in tunnels]


def _check_new(folder: Path) -> None:
    """Raise OSError unless the folder may be made, or is there and empty."""
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: name a new folder")
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder: name a new one")
