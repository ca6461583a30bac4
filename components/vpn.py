"""A site-to-site VPN from an office that is not on AWS to the environment's Transit Gateway."""

from __future__ import annotations

import pulumi_aws as aws
from pulumi import ComponentResource, Input, ResourceOptions

from components.tags import STACK, named

PRIVATE_ASN = 65000
"""A customer gateway must name one, BGP or not; this is for private use (RFC 6996)."""

SECRETS = ["tunnel1PresharedKey", "tunnel2PresharedKey", "customerGatewayConfiguration"]
"""Outputs that hold the keys, which AWS makes: encrypted in the stack's state."""


class Vpn(ComponentResource):
    """Two IPsec tunnels (IKEv2) to `gateway`, the office's public address, without BGP.

    Its one static route is for the office's `network`: an office announces nothing of its own
    accord. `stack` is the name that its attachment is tagged with. `tunnels` are the public
    addresses of AWS's ends.
    """

    def __init__(
        self,
        name: str,
        *,
        gateway: str,
        network: str,
        stack: str,
        transit_gateway: Input[str],
        routes: Input[str],
        opts: ResourceOptions,
    ) -> None:
        super().__init__("gatepost:vpn:Vpn", name, None, opts)
        child = ResourceOptions(parent=self)
        customer = aws.ec2.CustomerGateway(
            name,
            type="ipsec.1",
            bgp_asn=str(PRIVATE_ASN),
            ip_address=gateway,
            tags=named(name),
            opts=child,
        )
        self.connection = aws.ec2.VpnConnection(
            name,
            customer_gateway_id=customer.id,
            transit_gateway_id=transit_gateway,
            type="ipsec.1",
            static_routes_only=True,
            tunnel1_ike_versions=["ikev2"],
            tunnel2_ike_versions=["ikev2"],
            tags=named(name),
            opts=ResourceOptions(parent=self, additional_secret_outputs=SECRETS),
        )
        aws.ec2transitgateway.Route(
            name,
            destination_cidr_block=network,
            transit_gateway_attachment_id=self.connection.transit_gateway_attachment_id,
            transit_gateway_route_table_id=routes,
            opts=child,
        )
        # It comes without tags, and without one nobody could tell whose route this is.
        aws.ec2.Tag(
            name,
            resource_id=self.connection.transit_gateway_attachment_id,
            key=STACK,
            value=stack,
            opts=child,
        )
        self.tunnels = [self.connection.tunnel1_address, self.connection.tunnel2_address]
        self.register_outputs({"connection": self.connection.id})
