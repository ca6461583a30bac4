"""Public names: Route 53 zones with their records, and the reverse names of Elastic IPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws
from pulumi import ComponentResource, Input, Output, ResourceOptions

from components.tags import named
from model.dns import MTA_STS_LABEL, TTL, Record


class Zones(ComponentResource):
    """The public zones of the mail domains: new ones, and `existing` ones given by their id.

    `zones` are the new ones by domain, `records` the record sets by (name, type).
    """

    def __init__(
        self,
        name: str,
        *,
        domains: tuple[str, ...],
        existing: Mapping[str, str],
        protect: bool,
        opts: ResourceOptions,
    ) -> None:
        super().__init__("gatepost:names:Zones", name, None, opts)
        self.name = name
        self.zones = {
            domain: aws.route53.Zone(
                f"{name}-{domain}",
                name=domain,
                comment="gatepost",
                tags=named(domain),
                opts=ResourceOptions(parent=self, protect=protect),
            )
            for domain in domains
            if domain not in existing
        }
        self.ids: dict[str, Input[str]] = {
            **existing,
            **{domain: zone.zone_id for domain, zone in self.zones.items()},
        }
        self.records: dict[tuple[str, str], aws.route53.Record] = {}
        self.owners: dict[str, pulumi.Resource] = {}
        self.register_outputs({})

    def own(self, record: Record) -> None:
        """Write the list of our record sets into an existing zone; `add` waits for it."""
        self.owners[record.domain] = self._record(record, record.route53_values())

    def add(
        self,
        records: list[tuple[Record, Output[list[str]]]],
        published: Sequence[pulumi.Resource],
    ) -> None:
        """Put record sets into their zones; the values may come from resources.

        Senders are told of an MTA-STS policy once it is `published`: who fetched the former one
        under the new one's id would keep that for as long as it says.
        """
        for record, values in records:
            after = published if record.name.startswith(f"{MTA_STS_LABEL}.") else ()
            self.records[record.name, record.type] = self._record(record, values, after)

    def _record(
        self, record: Record, values: Input[list[str]], after: Sequence[pulumi.Resource] = ()
    ) -> aws.route53.Record:
        owner = self.owners.get(record.domain)
        return aws.route53.Record(
            f"{self.name}-{record.name}-{record.type}",
            zone_id=self.ids[record.domain],
            name=record.name,
            type=record.type,
            ttl=TTL,
            records=values,
            opts=ResourceOptions(parent=self, depends_on=[*([owner] if owner else []), *after]),
        )

    def reverse(self, label: str, address: aws.ec2.Eip, host: str) -> aws.ec2.EipDomainName:
        """Give an Elastic IP the reverse name `host`, whose A record must be there first."""
        return aws.ec2.EipDomainName(
            f"{self.name}-{label}",
            allocation_id=address.allocation_id,
            domain_name=host,
            opts=ResourceOptions(parent=self, depends_on=[self.records[host, "A"]]),
        )
