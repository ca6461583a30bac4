"""The environment stack: the network, the relays in the DMZ, the hub inside, names, directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import Input, InvokeOptions, Output, ResourceOptions

from components.acl import NetworkAcl
from components.directory import (
    DirectoryBucket,
    DirectoryPart,
    machine_policy,
    software_object,
)
from components.disks import data_volume
from components.firewall import Groups
from components.host import MailHost
from components.keys import Key
from components.network import EnvironmentNetwork
from components.shell import Shell
from components.tags import named
from model import acl, addressing, certificates, directory, flows, mail, prices, secrets
from model.people import People
from model.settings import TRANSIT_GATEWAY, Environment, Hub, Relay
from stacks import account, names, terms, turns
from stacks.common import host_output, legacy, provider, settings_output
from stacks.names import PLACEHOLDER
from stacks.settings import load_environment
from userdata import render, software


def build(stack: str, raw: object) -> dict[str, Any]:
    """Declare an environment's resources from its settings; returns the stack's outputs.

    Raises SettingsError before anything is declared.
    """
    settings, people = load_environment(stack, raw)
    outputs = _Build(stack, settings, people).outputs()
    account.tell_cost(prices.environment_cost(settings), settings.region)
    return outputs


class _Build:
    def __init__(self, stack: str, settings: Environment, people: People) -> None:
        self.stack = stack
        self.settings = settings
        self.plan = addressing.environment_plan(
            settings.network,
            len(settings.zones),
            [settings.relay_zone(relay) for relay in settings.relays],
            settings.relay_places,
        )
        self.name = f"gatepost-{stack}"
        self.provider = provider(stack, settings.region, stack)
        self.opts = ResourceOptions(provider=self.provider)
        self.kept = ResourceOptions(provider=self.provider, protect=settings.protect)
        account.check_environment(stack, settings, self.provider)
        addresses = dict(zip(settings.relay_hosts, self.plan.relays, strict=True))
        turns.check_places(stack, settings.network, addresses, self.provider)
        existing = names.existing_zones(stack, settings, self.provider)
        caller = aws.get_caller_identity(opts=InvokeOptions(provider=self.provider))
        self.account = caller.account_id
        self.bucket = directory.bucket_name(stack, self.account, settings.region)
        self.network = EnvironmentNetwork(
            self.name,
            plan=self.plan,
            region=settings.region,
            bucket=self.bucket,
            zones=settings.zones,
            nat_per_zone=settings.nat == "per-zone",
            branches=str(settings.branches),
            transit=settings.branch_link == TRANSIT_GATEWAY,
            protect=settings.protect,
            opts=self.opts,
        )
        self.ready = [*self.network.ready, *self._fences(), *self._directory_objects(people)]
        self.shell = Shell(
            self.name,
            subnet_id=self.network.private[0].id,
            group_id=self.groups[flows.SHELL].id,
            public_key=settings.administrator_key,
            opts=self.opts,
        )
        self.disk_key = self._key(f"{self.name}-disks", "data volumes")
        self.secrets_key = self._key(secrets.key_name(stack), "secrets of the hosts")
        self.addresses = {
            relay.host: aws.ec2.Eip(
                self._host_name(relay.host),
                domain="vpc",
                tags=named(self._host_name(relay.host)),
                opts=self.kept,
            )
            for relay in settings.relays
        }
        self.names = self._names(existing)
        self.relays = self._relays()
        # A hub that sends before its exit has its names would be refused for good.
        self.ready = [*self.ready, *self.names.leaving]
        self.hub = self._hub()
        self._contract()

    def _host_name(self, host: str) -> str:
        """The name of a host's resources: its label, which stays when other hosts come and go."""
        return f"{self.name}-{host.partition('.')[0]}"

    def _key(self, name: str, purpose: str) -> Key:
        return Key(name, purpose=purpose, protect=self.settings.protect, opts=self.opts)

    def _fences(self) -> list[pulumi.Resource]:
        """Security groups, and the DMZ's network ACL."""
        settings, vpc_id = self.settings, self.network.vpc.id
        firewall = flows.environment_firewall(
            settings.outbound, settings.branches, settings.smarthost_port, settings.legacy_servers
        )
        groups = Groups(self.name, vpc_id=vpc_id, firewall=firewall, opts=self.opts)
        self.groups = groups.groups
        dmz = {zone[-1]: net.id for zone, net in zip(settings.zones, self.network.dmz, strict=True)}
        fence = NetworkAcl(
            f"{self.name}-dmz",
            vpc_id=vpc_id,
            subnets=dmz,
            rules=acl.dmz_acl(settings.outbound, settings.network, settings.branches),
            opts=self.opts,
        )
        return [*groups.rules, *fence.ready]

    def _directory_objects(self, people: People) -> list[pulumi.Resource]:
        bucket = DirectoryBucket(
            f"{self.name}-directory",
            bucket=self.bucket,
            protect=self.settings.protect,
            opts=self.opts,
        )
        after = ResourceOptions(provider=self.provider, depends_on=[bucket.versioning])
        part = DirectoryPart(
            f"{self.name}-people",
            bucket=bucket.bucket.id,
            objects=(
                *directory.objects(
                    directory.environment_owner(),
                    people,
                    host=self.settings.hub.host,
                    address=str(self.plan.hub),
                    relays=mail.own_zone_first(self.settings, self.plan.relays),
                ),
                certificates.policy_object(self.settings),
            ),
            opts=after,
        )
        archives = [
            software_object(
                self.name,
                software.archive(role),
                owner=directory.environment_owner(),
                bucket=bucket.bucket.id,
                opts=ResourceOptions.merge(after, ResourceOptions(parent=bucket)),
            )
            for role in (flows.RELAY, flows.HUB)
        ]
        return [*part.objects, *archives]

    def _policy(self, role: str, host: str) -> str:
        """What a host may read of the directory, and the one object that it writes."""
        owner, relay = directory.environment_owner(), role == flows.RELAY
        hub = directory.identity_key(owner, self.settings.hub.host)
        return machine_policy(
            self.bucket,
            software=software.archive(role).key(owner),
            own=directory.identity_key(owner, host),
            reads=(hub,) if relay else (),
            lists=(directory.ADDRESSES,)
            if relay
            else (directory.PEOPLE, directory.ADDRESSES, directory.IDENTITIES),
        )

    def _reader(self, role: str) -> render.Directory:
        return render.Directory(
            role=role,
            bucket=self.bucket,
            region=self.settings.region,
            owner=directory.environment_owner(),
            domains=self.settings.every_domain,
            branches=str(self.settings.branches),
            hub=str(self.plan.hub),
            # A relay does not know of them, nor is it replaced for them.
            legacy=legacy(self.settings) if role == flows.HUB else {},
        )

    def _document(
        self,
        postfix: mail.Postfix,
        volumes: Mapping[str, str],
        issued: certificates.Certificates | None = None,
    ) -> str:
        login = secrets.login(self.stack, self.settings)
        reader = self._reader(postfix.role)
        return render.cloud_config(postfix, reader, volumes, issued, login=login)

    def _host(
        self,
        settings: Relay | Hub,
        role: str,
        document: Output[str],
        **own: Any,
    ) -> MailHost:
        """A host; its `document` waits for what is known only once it is made."""
        return MailHost(
            self._host_name(settings.host),
            host=settings.host,
            role=role,
            image=settings.image or self.settings.image,
            instance_type=settings.instance_type or self.settings.instance_type,
            group_id=self.groups[role].id,
            key_name=self.shell.key.key_name,
            user_data=document.apply(render.pack),
            after=self.ready,
            opts=self.opts,
            **own,
        )

    def _volumes(self, host: str, zone: int, **sizes: int) -> dict[str, aws.ebs.Volume]:
        return {
            purpose: data_volume(
                f"{self._host_name(host)}-{purpose}",
                zone=self.settings.zones[zone],
                size=size,
                key=self.disk_key,
                protect=self.settings.protect,
                opts=self.opts,
            )
            for purpose, size in sizes.items()
        }

    def _birth(self, host: Relay | Hub, document: str) -> str:
        return turns.birth(
            host.image or self.settings.image,
            host.instance_type or self.settings.instance_type,
            self.settings.administrator_key,
            document,
        )

    def _relay_document(
        self, relay: Relay, public_ip: str, zone: str, volumes: Mapping[str, str]
    ) -> str:
        """A relay's user data; `zone` is the id of the zone that holds the relays' lock."""
        settings, issued = self.settings, None
        if settings.delegated:
            issued = certificates.of_relay(relay.host, settings.every_domain, zone)
        postfix = mail.relay(settings, relay.host, self.plan.hub, public_ip)
        return self._document(postfix, volumes, issued)

    def _relays(self) -> list[MailHost]:
        volumes = dict.fromkeys(("queue", "certificates"), PLACEHOLDER)
        births = {
            relay.host: self._birth(
                relay, self._relay_document(relay, PLACEHOLDER, PLACEHOLDER, volumes)
            )
            for relay in self.settings.relays
        }
        held = turns.held(self.stack, births, self.provider)
        return [
            self._relay(relay, index, births[relay.host], relay.host in held)
            for index, relay in enumerate(self.settings.relays)
        ]

    def _relay(self, relay: Relay, index: int, birth: str, held: bool) -> MailHost:
        zone = self.settings.relay_zone(relay)
        volumes = self._volumes(
            relay.host, zone, queue=self.settings.disks.queue, certificates=prices.CERTIFICATES_DISK
        )
        address = self.addresses[relay.host]
        ids = Output.all(**{purpose: volume.id for purpose, volume in volumes.items()})
        document = Output.all(address.public_ip, self.names.lock_zone, ids).apply(
            lambda known: self._relay_document(relay, *known)
        )
        return self._host(
            relay,
            flows.RELAY,
            document,
            volumes=volumes,
            birth=birth,
            held=held,
            subnet_id=self.network.dmz[zone].id,
            private_ip=str(self.plan.relays[index]),
            policies=self._relay_policies(relay),
            elastic_ip=address,
        )

    def _relay_policies(self, relay: Relay) -> dict[str, Input[str]]:
        """What a relay may read, and from delegation on, the records by which it proves names."""
        policies: dict[str, Input[str]] = {"directory": self._policy(flows.RELAY, relay.host)}
        if self.settings.delegated:
            policies["certificates"] = names.certificates_policy(
                self.settings, self.names, relay.host, self.bucket
            )
        return policies

    def _hub(self) -> MailHost:
        settings = self.settings
        postfix = mail.hub(settings, self.plan.hub)
        volumes = self._volumes(
            settings.hub.host, 0, queue=settings.disks.queue, mail=settings.disks.mail
        )
        ids = Output.all(**{purpose: volume.id for purpose, volume in volumes.items()})
        return self._host(
            settings.hub,
            flows.HUB,
            ids.apply(lambda known: self._document(postfix, known)),
            volumes=volumes,
            birth=self._birth(
                settings.hub, self._document(postfix, dict.fromkeys(volumes, PLACEHOLDER))
            ),
            subnet_id=self.network.private[0].id,
            private_ip=str(self.plan.hub),
            policies=self._hub_policies(),
        )

    def _hub_policies(self) -> dict[str, Input[str]]:
        policies: dict[str, Input[str]] = {
            "directory": self._policy(flows.HUB, self.settings.hub.host)
        }
        if secrets.login(self.stack, self.settings):
            policies["secrets"] = self.secrets_key.key.arn.apply(
                lambda key: secrets.reader_policy(
                    self.stack,
                    flows.HUB,
                    region=self.settings.region,
                    account=self.account,
                    key=key,
                )
            )
        return policies

    @property
    def _hub_nat(self) -> aws.ec2.Eip:
        """The Elastic IP by which the hub's zone reaches the Internet."""
        return self.network.nat_addresses[f"nat-{self.settings.zones[0][-1]}"]

    def _names(self, existing: Mapping[str, Sequence[str]]) -> names.Names:
        return names.declare(
            self.name,
            self.stack,
            self.settings,
            relays=self.addresses,
            nat=self._hub_nat,
            existing=existing,
            published=self.ready,
            account=self.account,
            opts=self.opts,
        )

    def _contract(self) -> None:
        terms.publish(
            self.name,
            self.stack,
            self.settings,
            account=self.account,
            bucket=self.bucket,
            hub_address=str(self.plan.hub),
            network=self.network,
            opts=self.opts,
        )

    def outputs(self) -> dict[str, Any]:
        """What a person, and the acceptance checks, need to know of this environment."""
        addresses = zip(self.plan.relays, self.relays, strict=True)
        relays = [
            host_output(
                relay.host,
                flows.RELAY,
                str(address),
                host.instance,
                self.addresses[relay.host].public_ip,
            )
            for relay, (address, host) in zip(self.settings.relays, addresses, strict=True)
        ]
        hub = self.settings.hub.host
        return {
            **settings_output(self.settings),
            "hosts": [
                *relays,
                host_output(hub, flows.HUB, str(self.plan.hub), self.hub.instance, ""),
            ],
            "nat": self._hub_nat.public_ip,
            "shell": self.shell.endpoint.id,
            "name_servers": self.names.servers,
            "ds": self.names.ds,
            "records": self.names.records,
            "exits": self.names.exits,
        }
