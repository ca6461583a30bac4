"""The environment's public names: which zones there are, what they hold, and what waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
from pulumi import Input, InvokeOptions, Output, ResourceOptions

from components import certificates as rights
from components.directory import bucket_arn
from components.dnssec import Signing
from components.names import Zones
from model import certificates, dns, ownership
from model.fields import SettingsError
from model.ownership import Found
from model.settings import Environment

PLACEHOLDER = "0.0.0.0"
"""Stands for an address that is not known yet, where only the rest matters."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """What other parts and the stack's outputs need of its names.

    `lock_zone` is the id of the zone that holds the relays' lock. By domain: the `zones`' ids,
    their name `servers`, and of signed zones the record for the registrar, `ds`. `records` are all
    record sets; `exits` tells by EHLO name the address from which mail leaves, `leaving` is what
    must be there before it does.
    """

    zones: dict[str, Input[str]]
    lock_zone: Input[str]
    servers: dict[str, Input[Sequence[str]]]
    ds: dict[str, Output[str]]
    records: list[dict[str, Any]]
    exits: dict[str, Output[str]]
    leaving: list[pulumi.Resource]


def existing_zones(
    stack: str, settings: Environment, provider: aws.Provider
) -> dict[str, Sequence[str]]:
    """The name servers of each existing zone that the settings name.

    Raises SettingsError with every record set of somebody else's that is in the way.
    """
    servers: dict[str, Sequence[str]] = {}
    problems: list[str] = []
    wanted = [*_shape(settings)]
    for domain, identifier in settings.dns.hosted_zones.items():
        zone = _zone(domain, identifier, provider)
        where = f"environment.dns.hosted_zones.{domain}"
        if zone.private_zone or not f".{domain}".endswith(f".{zone.name.rstrip('.')}"):
            kind = "private zone" if zone.private_zone else "zone"
            problems.append(f"{where}: must be a public zone of {domain}, got a {kind} {zone.name}")
            continue
        servers[domain] = zone.name_servers
        found = _record_sets(identifier, provider)
        own = ownership.owner_record(stack, domain, wanted)
        problems += ownership.collisions(stack, domain, [own, *wanted], found)
    if problems:
        raise SettingsError(problems)
    return servers


def declare(
    name: str,
    stack: str,
    settings: Environment,
    *,
    relays: Mapping[str, aws.ec2.Eip],
    nat: aws.ec2.Eip,
    existing: Mapping[str, Sequence[str]],
    published: Sequence[pulumi.Resource],
    account: str,
    opts: ResourceOptions,
) -> Names:
    """Declare the zones and their records, and the reverse names once they can be.

    `relays` are the relays' Elastic IPs by host, `nat` is that of the hub's NAT gateway;
    `existing` is the answer of `existing_zones`, `published` what the MTA-STS policy is among.
    """
    zones = Zones(
        name,
        domains=dns.zone_domains(settings),
        existing=settings.dns.hosted_zones,
        protect=settings.protect,
        opts=opts,
    )
    shape = _shape(settings)
    for domain in existing:
        zones.own(ownership.owner_record(stack, domain, shape))
    relay_ips = Output.all(**{host: address.public_ip for host, address in relays.items()})
    addresses = Output.all(relay_ips, nat.public_ip)
    # Which records exist is known before the addresses are, so that a preview shows them.
    known = addresses.apply(lambda ips: dns.records(settings, *ips))
    zones.add(
        [
            (record, known.apply(lambda all_, i=i: all_[i].route53_values()))
            for i, record in enumerate(shape)
        ],
        published,
    )
    reverse = _reverse_names(settings, zones, relays, nat)
    ds = {}
    if settings.dns.dnssec:
        ds = Signing(
            f"{name}-dnssec",
            zones=zones.zones,
            account=account,
            protect=settings.protect,
            opts=opts,
        ).ds
    return Names(
        zones=zones.ids,
        lock_zone=zones.ids[dns.zone_of(certificates.lock(settings.domains[0]), [*zones.ids])],
        servers={**existing, **{d: zone.name_servers for d, zone in zones.zones.items()}},
        ds=ds,
        records=[
            {
                "name": record.name,
                "type": record.type,
                "values": known.apply(lambda all_, i=i: list(all_[i].values)),
            }
            for i, record in enumerate(shape)
        ],
        exits={
            host: addresses.apply(lambda ips, host=host: dns.exits(settings, *ips)[host])
            for host in dns.exits(settings, *_unknown(settings))
        },
        leaving=[*_senders_records(settings, zones), *reverse],
    )


def certificates_policy(
    settings: Environment, found: Names, relay: str, bucket: str
) -> Output[str]:
    """What the relay of that host name may do to prove its names, and to serve MTA-STS.

    Raises SettingsError if that is too much for one role, before the zones' ids are known.
    """
    challenges = certificates.challenges(relay, settings.every_domain)
    policy_file = f"{bucket_arn(bucket)}/{certificates.POLICY_KEY}"
    rights.certificates_policy(
        challenges,
        [f"{rights.ZONE_ID[:-3]}{number:03}" for number in range(len(found.zones))],
        rights.ZONE_ID,
        policy_file,
    )
    return Output.all(found.lock_zone, *found.zones.values()).apply(
        lambda ids: rights.certificates_policy(challenges, ids[1:], ids[0], policy_file)
    )


def waiting(settings: Environment) -> str:
    """What waits for the registrar's delegation, and what is to be done; empty if nothing does."""
    if settings.delegated:
        return ""
    domains = ", ".join(settings.every_domain)
    then = " Then hand it the DS records in `ds` too." if settings.dns.dnssec else ""
    return (
        "waiting for delegation: the reverse names of "
        f"{', '.join(dns.reverse_names(settings, *_unknown(settings)))}; "
        f"certificates of a public authority; MTA-STS of {domains}. Have your registrar delegate "
        "each zone to its name servers in this stack's output `name_servers`; once "
        f"`dig NS {settings.domains[0]}` shows them, set environment.delegated to true and run "
        f"`pulumi up` again.{then}"
    )


def _reverse_names(
    settings: Environment, zones: Zones, relays: Mapping[str, aws.ec2.Eip], nat: aws.ec2.Eip
) -> list[pulumi.Resource]:
    if message := waiting(settings):
        pulumi.log.info(message)
        return []
    return [
        zones.reverse(host.partition(".")[0], relays[host], host)
        if host in relays
        else zones.reverse("nat", nat, host)
        for host in dns.reverse_names(settings, *_unknown(settings))
    ]


def _senders_records(settings: Environment, zones: Zones) -> list[pulumi.Resource]:
    """The addresses and SPF policies by which receivers judge mail that leaves."""
    names = {*settings.every_domain, *dns.exits(settings, *_unknown(settings))}
    return [
        record
        for (name, kind), record in zones.records.items()
        if name in names and kind in ("A", "TXT")
    ]


def _shape(settings: Environment) -> tuple[dns.Record, ...]:
    """The records with names and types as they will be, their addresses left open."""
    return dns.records(settings, *_unknown(settings))


def _unknown(settings: Environment) -> tuple[dict[str, str], str]:
    """The relays' and the NAT's address, where they are not known yet."""
    return dict.fromkeys(settings.relay_hosts, PLACEHOLDER), PLACEHOLDER


def _zone(domain: str, identifier: str, provider: aws.Provider) -> aws.route53.GetZoneResult:
    try:
        return aws.route53.get_zone(zone_id=identifier, opts=InvokeOptions(provider=provider))
    except Exception as error:
        raise SettingsError(
            [
                f"environment.dns.hosted_zones.{domain}: must be a zone of this account that may "
                f"be read, got {identifier!r} ({error})"
            ]
        ) from error


def _record_sets(identifier: str, provider: aws.Provider) -> list[Found]:
    listed = aws.route53.get_records(zone_id=identifier, opts=InvokeOptions(provider=provider))
    return [
        Found(
            name=ownership.plain_name(item.name),
            type=item.type,
            values=tuple(record.value for record in item.resource_records or ())
            or (f"an alias of {item.alias_target.dns_name}" if item.alias_target else "?",),
        )
        for item in listed.resource_record_sets
    ]
