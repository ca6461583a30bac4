"""Transit Gateways and site-to-site VPNs.

Registry pages: aws/ec2transitgateway/{transitgateway,vpcattachment,route},
aws/ec2/{customergateway,tag,vpnconnection}.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, ProviderError, retag, specification, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS
from lab.provider.values import Values

_SWITCHES = {
    "autoAcceptSharedAttachments": ("AutoAcceptSharedAttachments", "disable"),
    "defaultRouteTableAssociation": ("DefaultRouteTableAssociation", "enable"),
    "defaultRouteTablePropagation": ("DefaultRouteTablePropagation", "enable"),
    "dnsSupport": ("DnsSupport", "enable"),
    "vpnEcmpSupport": ("VpnEcmpSupport", "enable"),
}
"""Options that are `enable` or `disable`: their names in the API, and the provider's defaults."""
_GONE = ("deleted", "deleting", "failed", "rejected")


def _create_gateway(aws: Aws, new: Values) -> str:
    made = aws.ec2.create_transit_gateway(
        Description=new.get("description", ""),
        Options={parameter: new[name] for name, (parameter, _) in _SWITCHES.items()},
        TagSpecifications=specification("transit-gateway", new.get("tags")),
    )
    return made["TransitGateway"]["TransitGatewayId"]


def _read_gateway(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.ec2.describe_transit_gateways(TransitGatewayIds=[identifier])["TransitGateways"]
    if not found or found[0]["State"] in _GONE:
        return None
    gateway, options = found[0], found[0]["Options"]
    return {
        **{name: options[parameter] for name, (parameter, _) in _SWITCHES.items()},
        "arn": gateway["TransitGatewayArn"],
        "associationDefaultRouteTableId": options["AssociationDefaultRouteTableId"],
        "description": gateway.get("Description"),
        "ownerId": gateway["OwnerId"],
        "propagationDefaultRouteTableId": options["PropagationDefaultRouteTableId"],
        "tags": tag_map(gateway.get("Tags")),
    }


def _update_gateway(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if changed & {"description", *_SWITCHES}:
        aws.ec2.modify_transit_gateway(
            TransitGatewayId=identifier,
            Description=new.get("description", ""),
            Options={_SWITCHES[name][0]: new[name] for name in changed & set(_SWITCHES)},
        )
    retag(aws, identifier, old, new)


TRANSIT_GATEWAY = Resource(
    token="aws:ec2transitgateway/transitGateway:TransitGateway",
    inputs={
        **{
            name: Property(default=default, check=checks.one_of("enable", "disable"))
            for name, (_, default) in _SWITCHES.items()
        },
        "description": Property(),
        "tags": TAGS,
    },
    outputs=(
        "arn",
        "associationDefaultRouteTableId",
        "ownerId",
        "propagationDefaultRouteTableId",
    ),
    create=_create_gateway,
    read=_read_gateway,
    update=_update_gateway,
    delete=lambda aws, identifier, _state: aws.ec2.delete_transit_gateway(
        TransitGatewayId=identifier
    ),
)


def _create_attachment(aws: Aws, new: Values) -> str:
    made = aws.ec2.create_transit_gateway_vpc_attachment(
        TransitGatewayId=new["transitGatewayId"],
        VpcId=new["vpcId"],
        SubnetIds=new["subnetIds"],
        TagSpecifications=specification("transit-gateway-attachment", new.get("tags")),
    )
    return made["TransitGatewayVpcAttachment"]["TransitGatewayAttachmentId"]


def _read_attachment(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.ec2.describe_transit_gateway_vpc_attachments(
        TransitGatewayAttachmentIds=[identifier]
    )["TransitGatewayVpcAttachments"]
    if not found or found[0]["State"] in _GONE:
        return None
    attachment = found[0]
    _look_at_table(aws, attachment["TransitGatewayId"])
    return {
        "arn": aws.arn("ec2", f"transit-gateway-attachment/{identifier}"),
        "subnetIds": attachment["SubnetIds"],
        "tags": tag_map(attachment.get("Tags")),
        "transitGatewayId": attachment["TransitGatewayId"],
        "vpcId": attachment["VpcId"],
        "vpcOwnerId": attachment["VpcOwnerId"],
    }


def _look_at_table(aws: Aws, gateway: str) -> None:
    """Ask what the provider asks after each attachment, so that whoever may not is refused here.

    Its upstream does so at creation and at each reading (internal/service/ec2,
    transitgateway_vpc_attachment.go, of terraform-provider-aws).
    """
    [found] = aws.ec2.describe_transit_gateways(TransitGatewayIds=[gateway])["TransitGateways"]
    table = found["Options"]["AssociationDefaultRouteTableId"]
    aws.ec2.get_transit_gateway_route_table_associations(TransitGatewayRouteTableId=table)
    aws.ec2.get_transit_gateway_route_table_propagations(TransitGatewayRouteTableId=table)


VPC_ATTACHMENT = Resource(
    token="aws:ec2transitgateway/vpcAttachment:VpcAttachment",
    inputs={
        # The API can add and remove subnets; the program never does.
        "subnetIds": Property(required=True, replaces=True, unordered=True),
        "tags": TAGS,
        "transitGatewayId": Property(required=True, replaces=True),
        "vpcId": Property(required=True, replaces=True),
    },
    outputs=("arn", "vpcOwnerId"),
    create=_create_attachment,
    read=_read_attachment,
    update=lambda aws, identifier, old, new, _changed: retag(aws, identifier, old, new),
    delete=lambda aws, identifier, _state: aws.ec2.delete_transit_gateway_vpc_attachment(
        TransitGatewayAttachmentId=identifier
    ),
)


def _create_route(aws: Aws, new: Values) -> str:
    table, destination = new["transitGatewayRouteTableId"], new["destinationCidrBlock"]
    target = (
        {"Blackhole": True}
        if new.get("blackhole")
        else {"TransitGatewayAttachmentId": new["transitGatewayAttachmentId"]}
    )
    aws.ec2.create_transit_gateway_route(
        TransitGatewayRouteTableId=table, DestinationCidrBlock=destination, **target
    )
    return f"{table}_{destination}"


def _read_route(aws: Aws, _identifier: str, state: Values) -> Values | None:
    found = aws.ec2.search_transit_gateway_routes(
        TransitGatewayRouteTableId=state["transitGatewayRouteTableId"],
        Filters=[
            {"Name": "type", "Values": ["static"]},
            {"Name": "route-search.exact-match", "Values": [state["destinationCidrBlock"]]},
        ],
    )["Routes"]
    if not found:
        return None
    [target] = found[0].get("TransitGatewayAttachments") or [{}]
    return {
        "destinationCidrBlock": found[0]["DestinationCidrBlock"],
        "transitGatewayAttachmentId": target.get("TransitGatewayAttachmentId"),
    }


def _route_rules(new: Values) -> Iterable[str]:
    if bool(new.get("blackhole")) == ("transitGatewayAttachmentId" in new):
        yield "either blackhole or a transitGatewayAttachmentId is needed"


TRANSIT_ROUTE = Resource(
    token="aws:ec2transitgateway/route:Route",
    inputs={
        "blackhole": Property(replaces=True),
        "destinationCidrBlock": Property(required=True, replaces=True, check=checks.cidr()),
        "transitGatewayAttachmentId": Property(replaces=True),
        "transitGatewayRouteTableId": Property(required=True, replaces=True),
    },
    create=_create_route,
    read=_read_route,
    delete=lambda aws, _identifier, state: aws.ec2.delete_transit_gateway_route(
        TransitGatewayRouteTableId=state["transitGatewayRouteTableId"],
        DestinationCidrBlock=state["destinationCidrBlock"],
    ),
    check=_route_rules,
)


def _create_customer_gateway(aws: Aws, new: Values) -> str:
    made = aws.ec2.create_customer_gateway(
        Type=new["type"],
        BgpAsn=int(new["bgpAsn"]),
        PublicIp=new["ipAddress"],
        TagSpecifications=specification("customer-gateway", new.get("tags")),
    )
    return made["CustomerGateway"]["CustomerGatewayId"]


def _read_customer_gateway(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.ec2.describe_customer_gateways(CustomerGatewayIds=[identifier])["CustomerGateways"]
    if not found or found[0]["State"] in _GONE:
        return None
    gateway = found[0]
    return {
        "arn": aws.arn("ec2", f"customer-gateway/{identifier}"),
        "bgpAsn": str(gateway["BgpAsn"]),
        "ipAddress": gateway["IpAddress"],
        "tags": tag_map(gateway.get("Tags")),
        "type": gateway["Type"],
    }


CUSTOMER_GATEWAY = Resource(
    token="aws:ec2/customerGateway:CustomerGateway",
    inputs={
        "bgpAsn": Property(required=True, replaces=True),
        "ipAddress": Property(required=True, replaces=True, check=checks.address),
        "tags": TAGS,
        "type": Property(required=True, replaces=True, check=checks.one_of("ipsec.1")),
    },
    outputs=("arn",),
    create=_create_customer_gateway,
    read=_read_customer_gateway,
    update=lambda aws, identifier, old, new, _changed: retag(aws, identifier, old, new),
    delete=lambda aws, identifier, _state: aws.ec2.delete_customer_gateway(
        CustomerGatewayId=identifier
    ),
)


def _create_connection(aws: Aws, new: Values) -> str:
    tunnels = [
        {"IKEVersions": [{"Value": version} for version in new.get(f"tunnel{n}IkeVersions", [])]}
        for n in (1, 2)
    ]
    made = aws.ec2.create_vpn_connection(
        CustomerGatewayId=new["customerGatewayId"],
        TransitGatewayId=new["transitGatewayId"],
        Type=new["type"],
        Options={"StaticRoutesOnly": new["staticRoutesOnly"], "TunnelOptions": tunnels},
        TagSpecifications=specification("vpn-connection", new.get("tags")),
    )
    return made["VpnConnection"]["VpnConnectionId"]


def _read_connection(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.ec2.describe_vpn_connections(VpnConnectionIds=[identifier])["VpnConnections"]
    if not found or found[0]["State"] in _GONE:
        return None
    connection = found[0]
    return {
        "arn": aws.arn("ec2", f"vpn-connection/{identifier}"),
        "customerGatewayConfiguration": connection["CustomerGatewayConfiguration"],
        "customerGatewayId": connection["CustomerGatewayId"],
        "staticRoutesOnly": connection["Options"]["StaticRoutesOnly"],
        "tags": tag_map(connection.get("Tags")),
        "transitGatewayAttachmentId": _attachment_of(aws, identifier),
        "transitGatewayId": connection["TransitGatewayId"],
        "type": connection["Type"],
        **_read_tunnel(1, connection["Options"]["TunnelOptions"][0]),
        **_read_tunnel(2, connection["Options"]["TunnelOptions"][1]),
    }


def _read_tunnel(number: int, tunnel: dict[str, Any]) -> Values:
    return {
        f"tunnel{number}Address": tunnel["OutsideIpAddress"],
        f"tunnel{number}IkeVersions": [each["Value"] for each in tunnel["IkeVersions"]],
        f"tunnel{number}InsideCidr": tunnel["TunnelInsideCidr"],
        f"tunnel{number}PresharedKey": tunnel["PreSharedKey"],
    }


def _attachment_of(aws: Aws, connection: str) -> str:
    only = [{"Name": "resource-id", "Values": [connection]}]
    [found] = aws.ec2.describe_transit_gateway_attachments(Filters=only)[
        "TransitGatewayAttachments"
    ]
    return found["TransitGatewayAttachmentId"]


def _connection_rules(new: Values) -> Iterable[str]:
    if not new.get("staticRoutesOnly"):
        yield "staticRoutesOnly must be true: the lab speaks no BGP"


def _update_connection(
    aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]
) -> None:
    """As the real provider, in place (API reference, ModifyVpnConnection)."""
    fixed = sorted(changed & {"transitGatewayId", "tunnel1IkeVersions", "tunnel2IkeVersions"})
    if fixed:
        raise ProviderError(
            f"{identifier}: the lab cannot change {', '.join(fixed)} of a VPN connection in place; "
            "take it out, apply, and put it in again"
        )
    if "customerGatewayId" in changed:
        aws.ec2.modify_vpn_connection(
            VpnConnectionId=identifier, CustomerGatewayId=new["customerGatewayId"]
        )
    retag(aws, identifier, old, new)


VPN_CONNECTION = Resource(
    token="aws:ec2/vpnConnection:VpnConnection",
    inputs={
        "customerGatewayId": Property(required=True),
        "staticRoutesOnly": Property(default=False, replaces=True),
        "tags": TAGS,
        "transitGatewayId": Property(required=True),
        "tunnel1IkeVersions": Property(unordered=True),
        "tunnel1InsideCidr": Property(computed=True, refused="the lab lets AWS choose it"),
        "tunnel1PresharedKey": Property(computed=True, refused="AWS makes the keys", secret=True),
        "tunnel2IkeVersions": Property(unordered=True),
        "tunnel2InsideCidr": Property(computed=True, refused="the lab lets AWS choose it"),
        "tunnel2PresharedKey": Property(computed=True, refused="AWS makes the keys", secret=True),
        "type": Property(required=True, replaces=True, check=checks.one_of("ipsec.1")),
    },
    outputs=(
        "arn",
        "customerGatewayConfiguration",
        "transitGatewayAttachmentId",
        "tunnel1Address",
        "tunnel2Address",
    ),
    create=_create_connection,
    read=_read_connection,
    update=_update_connection,
    delete=lambda aws, identifier, _state: aws.ec2.delete_vpn_connection(
        VpnConnectionId=identifier
    ),
    check=_connection_rules,
)


def _create_tag(aws: Aws, new: Values) -> str:
    tag = {"Key": new["key"], "Value": new["value"]}
    aws.ec2.create_tags(Resources=[new["resourceId"]], Tags=[tag])
    return f"{new['resourceId']},{new['key']}"


def _update_tag(aws: Aws, _identifier: str, _old: Values, new: Values, _changed: set[str]) -> None:
    _create_tag(aws, new)


def _read_tag(aws: Aws, _identifier: str, state: Values) -> Values | None:
    only = [
        {"Name": "resource-id", "Values": [state["resourceId"]]},
        {"Name": "key", "Values": [state["key"]]},
    ]
    found = aws.ec2.describe_tags(Filters=only)["Tags"]
    return {"value": found[0]["Value"]} if found else None


TAG = Resource(
    token="aws:ec2/tag:Tag",
    inputs={
        "key": Property(required=True, replaces=True),
        "resourceId": Property(required=True, replaces=True),
        "value": Property(required=True),
    },
    create=_create_tag,
    read=_read_tag,
    update=_update_tag,
    delete=lambda aws, _identifier, state: aws.ec2.delete_tags(
        Resources=[state["resourceId"]], Tags=[{"Key": state["key"]}]
    ),
)

TYPES = (TRANSIT_GATEWAY, VPC_ATTACHMENT, TRANSIT_ROUTE, CUSTOMER_GATEWAY, VPN_CONNECTION, TAG)
