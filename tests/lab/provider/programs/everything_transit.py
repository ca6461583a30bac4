"""Transit Gateways and VPNs, for everything.py."""

from typing import Any

import pulumi
import pulumi_aws as aws


def declare(
    word: str, second: bool, options: pulumi.ResourceOptions, vpc: aws.ec2.Vpc, table: Any
) -> aws.ec2.VpnConnection:
    """The first or the second version of each; returns the VPN connection."""
    tags: dict[str, Any] = {"Name": word}
    subnet = aws.ec2.Subnet(
        "transit", vpc_id=vpc.id, cidr_block="10.1.30.0/24", tags=tags, opts=options
    )
    gateway = aws.ec2transitgateway.TransitGateway(
        "transit", description=word, dns_support="enable", tags=tags, opts=options
    )
    attachment = aws.ec2transitgateway.VpcAttachment(
        "attached",
        transit_gateway_id=gateway.id,
        vpc_id=vpc.id,
        subnet_ids=[subnet.id],
        tags=tags,
        opts=options,
    )
    aws.ec2.Route(
        "to-transit",
        route_table_id=table,
        destination_cidr_block="10.31.0.0/16" if second else "10.30.0.0/16",
        transit_gateway_id=gateway.id,
        opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(depends_on=[attachment])),
    )
    customer = aws.ec2.CustomerGateway(
        "customer",
        type="ipsec.1",
        bgp_asn="65000",
        ip_address="192.0.2.202" if second else "192.0.2.201",
        tags=tags,
        opts=options,
    )
    vpn = aws.ec2.VpnConnection(
        "vpn",
        customer_gateway_id=customer.id,
        transit_gateway_id=gateway.id,
        type="ipsec.1",
        static_routes_only=True,
        tunnel1_ike_versions=["ikev2"],
        tags=tags,
        opts=options,
    )
    aws.ec2transitgateway.Route(
        "transit-route",
        destination_cidr_block="10.41.0.0/16" if second else "10.40.0.0/16",
        transit_gateway_attachment_id=vpn.transit_gateway_attachment_id,
        transit_gateway_route_table_id=gateway.association_default_route_table_id,
        opts=options,
    )
    aws.ec2.Tag(
        "tag",
        resource_id=vpn.transit_gateway_attachment_id,
        key="word",
        value=word,
        opts=options,
    )
    invoke = pulumi.InvokeOptions(provider=options.provider)

    def look(table: str) -> list[str]:
        found = aws.ec2transitgateway.get_route_table_routes(
            transit_gateway_route_table_id=table,
            filters=[{"name": "state", "values": ["active"]}],
            opts=invoke,
        )
        return sorted(route.destination_cidr_block for route in found.routes)

    known = pulumi.Output.all(gateway.association_default_route_table_id, vpn.id, attachment.id)
    pulumi.export("transit", known.apply(lambda made: look(made[0])))
    pulumi.export(
        "attached",
        known.apply(
            lambda made: len(aws.ec2transitgateway.get_attachments(tags=tags, opts=invoke).ids)
        ),
    )
    pulumi.export("key", vpn.tunnel1_preshared_key)
    return vpn
