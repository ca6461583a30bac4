"""Public names: Route 53 zones with their records, and the reverse names of Elastic IPs."""

from __future__ import annotations

import pulumi_aws as aws
from pulumi import ComponentResource, Output, ResourceOptions

from components.tags import named
from model.dns import TTL, Record


class Zones(ComponentResource):
    """A public zone for each mail domain; `zones` by domain, `records` by (name, type)."""

    def __init__(
        self, name: str, *, domains: tuple[str, ...], protect: bool, opts: ResourceOptions
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
        }
        self.records: dict[tuple[str, str], aws.route53.Record] = {}
        self.register_outputs({})

    def add(self, records: list[tuple[Record, Output[list[str]]]]) -> None:
        """Put record sets into their zones; the values may come from resources."""
        for record, values in records:
            self.records[record.name, record.type] = aws.route53.Record(
                f"{self.name}-{record.name}-{record.type}",
                zone_id=self.zones[record.domain].zone_id,
                name=record.name,
                type=record.type,
                ttl=TTL,
                records=values,
                opts=ResourceOptions(parent=self),
            )

    def reverse(self, label: str, address: aws.ec2.Eip, host: str) -> None:
        """Give an Elastic IP the reverse name `host`, whose A record must be there first."""
        aws.ec2.EipDomainName(
            f"{self.name}-{label}",
            allocation_id=address.allocation_id,
            domain_name=host,
            opts=ResourceOptions(parent=self, depends_on=[self.records[host, "A"]]),
        )
