"""Site-to-site VPN connections to a Transit Gateway: two tunnels, their keys, their attachment.

moto makes a connection without tunnels. Nothing answers at the other end here: both tunnels stay
down, as they do in AWS until the office's gateway is set up.
"""

from __future__ import annotations

import ipaddress
import secrets
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.customer_gateways import CustomerGatewayBackend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import add_tag_specification

from lab.emulator import quotas, transit
from lab.internet import plan

INSIDE = "169.254."
"""Each tunnel's own /30 ("Tunnel options", Site-to-Site VPN guide)."""
KEY_LETTERS = 32
"""AWS makes keys of 32 letters; 8 to 64 are allowed ("Tunnel options")."""


def create_vpn_connection(_moto: Any, self: Any) -> ActionResult:
    """CreateVpnConnection, for static routes over a Transit Gateway: all that the lab knows."""
    backend, gateway = self.ec2_backend, self._get_param("TransitGatewayId")
    options = self._get_param("Options", {})
    static = str(options.get("StaticRoutesOnly", "false")).lower() == "true"
    if gateway is None or not static:
        raise EC2ClientError(
            "InvalidParameterCombination",
            "the lab knows VPN connections with static routes to a transit gateway only",
        )
    transit.gateway_of(backend, gateway)
    transit.check_attachments(backend, gateway)
    alive = [item for item in backend.vpn_connections.values() if item.state != "deleted"]
    quotas.check("vpn_connections", len(alive))
    connection = backend.create_vpn_connection(
        self._get_param("Type"),
        self._get_param("CustomerGatewayId"),
        transit_gateway_id=gateway,
        tags=add_tag_specification(self._get_param("TagSpecifications", [])),
    )
    number = len(backend.vpn_connections) - 1
    tunnels = _tunnels(number, options.get("TunnelOptions", []))
    connection.category = "VPN"
    connection.options = {"StaticRoutesOnly": True, "TunnelOptions": tunnels}
    connection.static_routes = []
    connection.vgw_telemetry = [
        {"OutsideIpAddress": tunnel["OutsideIpAddress"], "Status": "DOWN"} for tunnel in tunnels
    ]
    attachment = backend.create_transit_gateway_vpn_attachment(
        vpn_id=connection.id, transit_gateway_id=gateway
    )
    backend.set_route_table_association(
        transit_gateway_attachment_id=attachment.id,
        transit_gateway_route_table_id=attachment.transit_gateway_route_table.id,
    )
    return ActionResult({"VpnConnection": connection})


def _tunnels(number: int, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The two tunnels of the `number`th connection: addresses of their own, and a key each."""
    outside = ipaddress.ip_network(plan.VPN_ENDPOINTS)
    if 2 * number + 1 >= outside.num_addresses:
        raise EC2ClientError(
            "InsufficientAddressCapacity", f"all of {outside} was given to VPN connections"
        )
    return [
        {
            "OutsideIpAddress": str(outside[2 * number + index]),
            "TunnelInsideCidr": f"{INSIDE}{number}.{4 * (index + 2)}/30",
            "PreSharedKey": secrets.token_hex(KEY_LETTERS // 2),
            "IkeVersions": (wanted[index] if index < len(wanted) else {}).get("IKEVersions", []),
        }
        for index in range(2)
    ]


def modify_vpn_connection(_moto: Any, self: Any) -> ActionResult:
    """ModifyVpnConnection, for another customer gateway: AWS keeps the tunnels and their keys."""
    backend, gateway = self.ec2_backend, self._get_param("CustomerGatewayId")
    if gateway is None:
        raise EC2ClientError(
            "InvalidParameterCombination",
            "the lab can change the customer gateway of a VPN connection only",
        )
    found = backend.get_customer_gateway(gateway)
    connection = backend.describe_vpn_connections([self._get_param("VpnConnectionId")])[0]
    connection.customer_gateway_id = found.id
    return ActionResult({"VpnConnection": connection})


def delete_vpn_connection(moto: Any, self: Any) -> Any:
    """Its attachment is gone with it."""
    backend, identifier = self.ec2_backend, self._get_param("VpnConnectionId")
    answer = moto(self)
    for attachment in list(backend.transit_gateway_attachments.values()):
        if attachment.resource_id == identifier:
            transit.forget(backend, attachment.id)
            del backend.transit_gateway_attachments[attachment.id]
    return answer


def create_customer_gateway(
    moto: Any, self: Any, gateway_type: str, ip_address: str, bgp_asn: str, tags: Any = None
) -> Any:
    """API reference: the same type, address and ASN give the gateway that is there."""
    alive = [item for item in self.customer_gateways.values() if item.state != "deleted"]
    for other in alive:
        if (other.type, other.ip_address, other.bgp_asn) == (gateway_type, ip_address, bgp_asn):
            return other
    quotas.check("customer_gateways", len(alive))
    return moto(self, gateway_type, ip_address, bgp_asn, tags=tags)


def delete_customer_gateway(moto: Any, self: Any, customer_gateway_id: str) -> None:
    for connection in self.vpn_connections.values():
        if connection.state != "deleted" and connection.customer_gateway_id == customer_gateway_id:
            raise EC2ClientError(
                "IncorrectState",
                f"The customer gateway {customer_gateway_id} is in use by {connection.id}",
            )
    moto(self, customer_gateway_id)


CORRECTIONS = (
    (EC2Response, "create_vpn_connection", create_vpn_connection),
    (EC2Response, "modify_vpn_connection", modify_vpn_connection),
    (EC2Response, "delete_vpn_connection", delete_vpn_connection),
    (CustomerGatewayBackend, "create_customer_gateway", create_customer_gateway),
    (CustomerGatewayBackend, "delete_customer_gateway", delete_customer_gateway),
)
