"""The environment stack: the network, the relay in the DMZ, the hub inside, names, directory."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import InvokeOptions, Output, ResourceOptions

from components.directory import DirectoryBucket, DirectoryPart, reader_policy
from components.firewall import Groups
from components.host import MailHost
from components.names import Zones
from components.network import EnvironmentNetwork
from components.shell import Shell
from components.tags import named
from model import addressing, contract, directory, dns, flows, mail
from model.people import People
from model.settings import Environment
from stacks.common import host_output, provider
from stacks.settings import load_environment
from userdata import render


def build(stack: str, raw: object) -> dict[str, Any]:
    """Declare an environment's resources from its settings; returns the stack's outputs.

    Raises SettingsError before anything is declared.
    """
    settings, people = load_environment(raw)
    return _Build(stack, settings, people).outputs()


class _Build:
    def __init__(self, stack: str, settings: Environment, people: People) -> None:
        self.stack = stack
        self.settings = settings
        self.plan = addressing.environment_plan(settings.network)
        self.name = f"gatepost-{stack}"
        aws_provider = provider(stack, settings.region)
        self.opts = ResourceOptions(provider=aws_provider)
        caller = aws.get_caller_identity(opts=InvokeOptions(provider=aws_provider))
        self.account = caller.account_id
        self.bucket = f"{self.name}-directory-{self.account}-{settings.region}"
        self.network = EnvironmentNetwork(
            self.name,
            plan=self.plan,
            region=settings.region,
            zone=settings.zone,
            opts=self.opts,
        )
        firewall = flows.environment_firewall(settings.outbound, settings.branches)
        groups = Groups(self.name, vpc_id=self.network.vpc.id, firewall=firewall, opts=self.opts)
        self.groups = groups.groups
        self.shell = Shell(
            self.name,
            subnet_id=self.network.private.id,
            group_id=self.groups[flows.SHELL].id,
            public_key=settings.administrator_key,
            opts=self.opts,
        )
        bucket = DirectoryBucket(f"{self.name}-directory", bucket=self.bucket, opts=self.opts)
        part = DirectoryPart(
            f"{self.name}-people",
            bucket=bucket.bucket.id,
            objects=directory.objects(
                directory.environment_owner(),
                people,
                host=settings.hub,
                address=str(self.plan.hub),
            ),
            opts=ResourceOptions(provider=aws_provider, depends_on=[bucket.versioning]),
        )
        self.ready = [*self.network.ready, *groups.rules, *part.objects]
        name = f"{self.name}-relay"
        self.address = aws.ec2.Eip(name, domain="vpc", tags=named(name), opts=self.opts)
        self.relay = self._relay()
        self.hub = self._hub()
        self._names()
        self._contract()

    def _directory(self, role: str) -> render.Directory:
        return render.Directory(
            role=role,
            bucket=self.bucket,
            region=self.settings.region,
            owner=directory.environment_owner(),
            domains=self.settings.domains,
            branches=str(self.settings.branches),
            hub=str(self.plan.hub),
        )

    def _host(self, role: str, **own: Any) -> MailHost:
        return MailHost(
            f"{self.name}-{role}",
            role=role,
            image=self.settings.image,
            instance_type=self.settings.instance_type,
            group_id=self.groups[role].id,
            key_name=self.shell.key.key_name,
            after=self.ready,
            opts=self.opts,
            **own,
        )

    def _relay(self) -> MailHost:
        return self._host(
            flows.RELAY,
            host=self.settings.relay,
            subnet_id=self.network.dmz.id,
            private_ip=str(self.plan.relay),
            policy=reader_policy(self.bucket, prefix=directory.ADDRESSES),
            user_data=self.address.public_ip.apply(self._relay_user_data),
            elastic_ip=self.address,
        )

    def _relay_user_data(self, public_ip: str) -> str:
        postfix = mail.relay(self.settings, self.plan.hub, public_ip)
        return render.pack(render.cloud_config(postfix, self._directory(flows.RELAY)))

    def _hub(self) -> MailHost:
        postfix = mail.hub(self.settings, self.plan.relay)
        return self._host(
            flows.HUB,
            host=self.settings.hub,
            subnet_id=self.network.private.id,
            private_ip=str(self.plan.hub),
            policy=reader_policy(self.bucket, prefix=directory.PEOPLE),
            user_data=render.pack(render.cloud_config(postfix, self._directory(flows.HUB))),
        )

    def _names(self) -> None:
        settings, direct = self.settings, self.settings.outbound == "direct"

        def records(relay_ip: str, nat_ip: str) -> tuple[dns.Record, ...]:
            return dns.records(
                settings.domains, settings.relay, relay_ip, nat_ip if direct else None
            )

        zones = Zones(self.name, domains=settings.domains, opts=self.opts)
        # Which records exist is known before the addresses are, so that a preview shows them.
        nat = self.network.nat_address
        known = Output.all(self.address.public_ip, nat.public_ip).apply(lambda ips: records(*ips))
        zones.add(
            [
                (record, known.apply(lambda found, i=i: list(found[i].values)))
                for i, record in enumerate(records("", ""))
            ]
        )
        self.name_servers = {domain: zone.name_servers for domain, zone in zones.zones.items()}
        if not settings.delegated:
            pulumi.log.info(
                "reverse names wait: delegate the zones to the name servers in this stack's "
                "outputs, then set environment.delegated to true"
            )
            return
        zones.reverse("relay", self.address, settings.relay)
        if direct:
            zones.reverse("nat", nat, dns.outbound_name(settings.domains[0]))

    def _contract(self) -> None:
        settings = self.settings
        terms = Output.all(self.network.vpc.id, self.network.private_table.id).apply(
            lambda ids: contract.to_json(
                contract.Contract(
                    version=contract.VERSION,
                    environment=self.stack,
                    account=self.account,
                    region=settings.region,
                    vpc=ids[0],
                    network=str(settings.network),
                    branches=str(settings.branches),
                    route_table=ids[1],
                    hub=settings.hub,
                    hub_address=str(self.plan.hub),
                    domains=list(settings.domains),
                    directory=self.bucket,
                )
            )
        )
        aws.ssm.Parameter(
            f"{self.name}-contract",
            name=contract.parameter_name(self.stack),
            description="What branches read of this environment; no secrets",
            type="String",
            value=terms,
            tags=named(f"{self.name}-contract"),
            opts=self.opts,
        )

    def outputs(self) -> dict[str, Any]:
        """What a person, and the acceptance checks, need to know of this environment."""
        settings = self.settings
        return {
            "kind": "environment",
            "domains": list(settings.domains),
            "outbound": settings.outbound,
            "network": str(settings.network),
            "branches": str(settings.branches),
            "hosts": [
                host_output(
                    settings.relay,
                    flows.RELAY,
                    str(self.plan.relay),
                    self.relay.instance,
                    self.address.public_ip,
                ),
                host_output(settings.hub, flows.HUB, str(self.plan.hub), self.hub.instance, ""),
            ],
            "nat": self.network.nat_address.public_ip,
            "shell": self.shell.endpoint.id,
            "name_servers": self.name_servers,
        }
