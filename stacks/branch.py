"""The branch stack: a VPC of its own, its server, the link, and its part of the directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from typing import Any

import pulumi_aws as aws
from pulumi import Output, ResourceOptions

from components.directory import DirectoryPart, machine_policy, software_object
from components.disks import data_volume
from components.firewall import Groups
from components.host import MailHost
from components.keys import Key
from components.network import BranchNetwork
from components.shell import Shell
from model import addressing, contract, directory, flows, mail, prices
from model.contract import Contract
from model.fields import SettingsError
from model.flows import Firewall
from model.neighbours import disk_key_name, server_name
from model.people import People
from model.principal import BRANCH
from model.settings import Branch
from stacks import account, turns, vicinity
from stacks.common import host_output, provider, read_contract
from stacks.settings import load_branch, load_branch_people, name_problems
from userdata import render, software


def build(stack: str, raw: object) -> dict[str, Any]:
    """Declare a branch's resources from its settings; returns the stack's outputs.

    Reads the contract of the environment that it names. Raises SettingsError before anything is
    declared but the provider, which the contract is read by.
    """
    settings = load_branch(raw)
    aws_provider = provider(stack, settings.region, settings.environment)
    terms, account_id = read_contract(settings.environment, settings.region, aws_provider)
    people, problems = load_branch_people(settings, tuple(terms.domains), terms.alias_domains)
    problems = contract.branch_problems(terms, settings, account_id) + problems
    problems += name_problems(stack, settings)
    if problems or people is None:
        raise SettingsError(problems)
    vicinity.check(stack, settings, terms, aws_provider)
    firewall = flows.branch_firewall(IPv4Address(terms.hub_address))
    account.check_branch(stack, settings, terms, firewall, aws_provider)
    outputs = _declare(stack, settings, terms, people, firewall, aws_provider)
    account.tell_cost(prices.branch_cost(settings, terms.branch_link), settings.region)
    return outputs


def _declare(
    stack: str,
    settings: Branch,
    terms: Contract,
    people: People,
    firewall: Firewall,
    aws_provider: aws.Provider,
) -> dict[str, Any]:
    name = f"gatepost-{stack}"
    opts = ResourceOptions(provider=aws_provider)
    plan = addressing.branch_plan(settings.network)
    owner = directory.branch_owner(settings.name)
    network = BranchNetwork(
        name,
        plan=plan,
        region=settings.region,
        zone=settings.zone,
        way_out=settings.way_out,
        terms=terms,
        opts=opts,
    )
    groups = Groups(name, vpc_id=network.vpc.id, firewall=firewall, opts=opts)
    shell = Shell(
        name,
        subnet_id=network.servers.id,
        group_id=groups.groups[flows.SHELL].id,
        public_key=settings.administrator_key,
        opts=opts,
    )
    part = DirectoryPart(
        f"{name}-people",
        bucket=terms.directory,
        objects=directory.objects(owner, people, host=settings.host, address=str(plan.server)),
        opts=opts,
    )
    archive = software.archive(flows.BRANCH)
    stored = software_object(name, archive, owner=owner, bucket=terms.directory, opts=opts)
    volumes = _volumes(stack, settings, opts)
    ids = Output.all(**{purpose: volume.id for purpose, volume in volumes.items()})
    document = _document(settings, str(plan.server), terms, owner)
    server = MailHost(
        server_name(stack),
        host=settings.host,
        role=flows.BRANCH,
        image=settings.image,
        instance_type=settings.instance_type,
        subnet_id=network.servers.id,
        private_ip=str(plan.server),
        group_id=groups.groups[flows.BRANCH].id,
        key_name=shell.key.key_name,
        policies={
            "directory": machine_policy(
                terms.directory,
                software=archive.key(owner),
                own=directory.identity_key(owner, settings.host),
                reads=(
                    directory.people_key(owner),
                    directory.identity_key(directory.environment_owner(), terms.hub),
                ),
            )
        },
        user_data=ids.apply(lambda known: render.pack(document(known))),
        volumes=volumes,
        birth=turns.birth(
            settings.image,
            settings.instance_type,
            settings.administrator_key,
            document(dict.fromkeys(volumes, "")),
        ),
        boundary=terms.boundary,
        role_tags={BRANCH: settings.name},
        public=settings.way_out == "address",
        after=[*network.ready, *groups.rules, *part.objects, stored],
        opts=opts,
    )
    return {
        "kind": "branch",
        "environment": settings.environment,
        "network": str(settings.network),
        "hub_address": terms.hub_address,
        "way_out": settings.way_out,
        "hosts": [
            host_output(
                settings.host,
                flows.BRANCH,
                str(plan.server),
                server.instance,
                server.instance.public_ip if settings.way_out == "address" else "",
            )
        ],
        "nat": network.nat_addresses["nat"].public_ip if settings.way_out == "nat" else "",
        "shell": shell.endpoint.id,
    }


def _volumes(stack: str, settings: Branch, opts: ResourceOptions) -> dict[str, aws.ebs.Volume]:
    key = Key(disk_key_name(stack), purpose="data volumes", protect=settings.protect, opts=opts)
    sizes = {"queue": settings.disks.queue, "mail": settings.disks.mail}
    return {
        purpose: data_volume(
            f"{server_name(stack)}-{purpose}",
            zone=settings.zone,
            size=size,
            key=key,
            protect=settings.protect,
            opts=opts,
        )
        for purpose, size in sizes.items()
    }


def _document(
    settings: Branch, address: str, terms: Contract, owner: str
) -> Callable[[Mapping[str, str]], str]:
    """The server's user data, given the ids of its volumes by purpose."""
    domains = terms.every_domain
    postfix = mail.branch(settings.host, address, domains, terms.hub_address, terms.hub)
    reader = render.Directory(
        role=flows.BRANCH,
        bucket=terms.directory,
        region=settings.region,
        owner=owner,
        domains=domains,
        branches=terms.branches,
        hub=terms.hub_address,
    )
    return lambda volumes: render.cloud_config(postfix, reader, volumes)
