"""Functions that look for what there is, and what there may be.

Registry: aws.ec2.{getEips,getInstances,getNatGateways,getRouteTable,getSubnets,
getVpcPeeringConnections,getVpcs},
aws.ec2transitgateway.{getAttachments,getRouteTableRoutes}, aws.route53.{getRecords,getZone},
aws.servicequotas.getServiceQuota.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.provider.aws import Aws, tag_map
from lab.provider.function import Call, Function, filters
from lab.provider.values import Values


def _tagged(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{key}", "Values": [value]} for key, value in tags.items()]


def _instances(aws: Aws, arguments: Values) -> Values:
    states = arguments.get("instanceStateNames") or ["running"]
    wanted = [
        {"Name": "instance-state-name", "Values": states},
        *_tagged(arguments.get("instanceTags", {})),
        *filters(arguments),
    ]
    pages = aws.ec2.get_paginator("describe_instances").paginate(Filters=wanted)
    found = [
        instance
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
    ]
    return {
        "id": aws.region,
        "ids": [instance["InstanceId"] for instance in found],
        "instanceStateNames": arguments.get("instanceStateNames"),
        "instanceTags": arguments.get("instanceTags", {}),
        "ipv6Addresses": [],
        "privateIps": _present(found, "PrivateIpAddress"),
        "publicIps": _present(found, "PublicIpAddress"),
        "region": aws.region,
    }


def _present(items: list[dict[str, Any]], key: str) -> list[str]:
    return [item[key] for item in items if item.get(key)]


def _eips(aws: Aws, arguments: Values) -> Values:
    tags = arguments.get("tags", {})
    found = aws.ec2.describe_addresses(Filters=_tagged(tags) + filters(arguments))["Addresses"]
    return {
        "allocationIds": [address["AllocationId"] for address in found],
        "id": aws.region,
        "publicIps": [address["PublicIp"] for address in found],
        "region": aws.region,
        "tags": tags,
    }


def _listed(operation: str, items: str, identifier: str, *, tells_filters: bool = False) -> Call:
    """Answers with the ids of what a list operation of EC2's finds by tags and filters.

    The answer has its `items`, each with its `identifier`, in pages.
    """

    def call(aws: Aws, arguments: Values) -> Values:
        tags = arguments.get("tags", {})
        wanted = _tagged(tags) + filters(arguments)
        pages = aws.ec2.get_paginator(operation).paginate(Filters=wanted)
        told = {"filters": arguments.get("filters", [])} if tells_filters else {}
        return told | {
            "id": aws.region,
            "ids": [item[identifier] for page in pages for item in page[items]],
            "region": aws.region,
            "tags": tags,
        }

    return call


def _transit_routes(aws: Aws, arguments: Values) -> Values:
    table = arguments["transitGatewayRouteTableId"]
    found = aws.ec2.search_transit_gateway_routes(
        TransitGatewayRouteTableId=table, Filters=filters(arguments)
    )
    return {
        "filters": arguments["filters"],
        "id": table,
        "region": aws.region,
        "routes": [
            {
                "destinationCidrBlock": route["DestinationCidrBlock"],
                "prefixListId": "",
                "state": route["State"],
                "transitGatewayRouteTableAnnouncementId": "",
                "type": route["Type"],
            }
            for route in found["Routes"]
        ],
        "transitGatewayRouteTableId": table,
    }


_ROUTE = {
    "carrierGatewayId": "CarrierGatewayId",
    "cidrBlock": "DestinationCidrBlock",
    "coreNetworkArn": "CoreNetworkArn",
    "destinationPrefixListId": "DestinationPrefixListId",
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
    "gatewayId": "GatewayId",
    "instanceId": "InstanceId",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "localGatewayId": "LocalGatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "odbNetworkArn": "OdbNetworkArn",
    "transitGatewayId": "TransitGatewayId",
    "vpcEndpointId": "VpcEndpointId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}
"""A route's properties and their names in the API; the absent ones are empty."""


def _route_table(aws: Aws, arguments: Values) -> Values:
    identifier = arguments["routeTableId"]
    table = aws.ec2.describe_route_tables(RouteTableIds=[identifier])["RouteTables"][0]
    return {
        "arn": aws.arn("ec2", f"route-table/{identifier}"),
        "associations": [
            {
                "gatewayId": item.get("GatewayId", ""),
                "main": item["Main"],
                "routeTableAssociationId": item["RouteTableAssociationId"],
                "routeTableId": item["RouteTableId"],
                "subnetId": item.get("SubnetId", ""),
            }
            for item in table["Associations"]
        ],
        "id": identifier,
        "ownerId": table["OwnerId"],
        "region": aws.region,
        "routeTableId": identifier,
        "routes": [
            {name: route.get(parameter, "") for name, parameter in _ROUTE.items()}
            for route in table["Routes"]
            if not _left_out(route)
        ],
        "tags": tag_map(table.get("Tags")),
        "vpcId": table["VpcId"],
    }


def _left_out(route: Mapping[str, Any]) -> bool:
    """The real provider tells neither of the local route nor of gateway endpoints' routes."""
    gateway = route.get("GatewayId", "")
    return gateway == "local" or gateway.startswith("vpce-")


def _service_quota(aws: Aws, arguments: Values) -> Values:
    asked = {"ServiceCode": arguments["serviceCode"], "QuotaCode": arguments["quotaCode"]}
    api = aws.client("service-quotas")
    quota = api.get_service_quota(**asked)["Quota"]
    default = api.get_aws_default_service_quota(**asked)["Quota"]
    return {
        "adjustable": quota["Adjustable"],
        "arn": quota["QuotaArn"],
        "defaultValue": default["Value"],
        "globalQuota": quota["GlobalQuota"],
        "id": quota["QuotaArn"],
        "quotaCode": quota["QuotaCode"],
        "quotaName": quota["QuotaName"],
        "region": aws.region,
        "serviceCode": quota["ServiceCode"],
        "serviceName": quota["ServiceName"],
        "usageMetrics": [],
        "value": quota["Value"],
    }


def _zone(aws: Aws, arguments: Values) -> Values:
    identifier = arguments["zoneId"]
    found = aws.route53.get_hosted_zone(Id=identifier)
    zone = found["HostedZone"]
    servers = found.get("DelegationSet", {}).get("NameServers", [])
    tags = aws.route53.list_tags_for_resource(ResourceType="hostedzone", ResourceId=identifier)
    return {
        "arn": f"arn:aws:route53:::hostedzone/{identifier}",
        "callerReference": zone["CallerReference"],
        "comment": zone["Config"].get("Comment", ""),
        "enableAcceleratedRecovery": False,
        "id": identifier,
        "linkedServiceDescription": "",
        "linkedServicePrincipal": "",
        "name": zone["Name"].rstrip("."),
        "nameServers": servers,
        "primaryNameServer": servers[0] if servers else "",
        "privateZone": zone["Config"]["PrivateZone"],
        "resourceRecordSetCount": zone["ResourceRecordSetCount"],
        "tags": tag_map(tags["ResourceTagSet"].get("Tags")),
        "vpcId": "",
        "zoneId": identifier,
    }


def _records(aws: Aws, arguments: Values) -> Values:
    zone = arguments["zoneId"]
    pages = aws.route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
    return {
        "resourceRecordSets": [
            _record_set(item) for page in pages for item in page["ResourceRecordSets"]
        ],
        "zoneId": zone,
    }


def _record_set(item: Mapping[str, Any]) -> Values:
    """Names and values as the API has them: with final dots, octal escapes and quotes."""
    alias = item.get("AliasTarget")
    return {
        "aliasTarget": alias
        and {
            "dnsName": alias["DNSName"],
            "evaluateTargetHealth": alias["EvaluateTargetHealth"],
            "hostedZoneId": alias["HostedZoneId"],
        },
        "name": item["Name"],
        "resourceRecords": [{"value": one["Value"]} for one in item.get("ResourceRecords", [])],
        "setIdentifier": item.get("SetIdentifier"),
        "ttl": item.get("TTL"),
        "type": item["Type"],
    }


FUNCTIONS: Mapping[str, Function] = {
    "aws:ec2/getEips:getEips": Function(arguments=("filters", "region", "tags"), call=_eips),
    "aws:ec2/getInstances:getInstances": Function(
        arguments=("filters", "instanceStateNames", "instanceTags", "region"), call=_instances
    ),
    # Not the registry's argument of the VPC, which filters can name.
    "aws:ec2/getNatGateways:getNatGateways": Function(
        arguments=("filters", "region", "tags"),
        call=_listed("describe_nat_gateways", "NatGateways", "NatGatewayId", tells_filters=True),
    ),
    # The registry's other ways to name the table (by subnet, tags...) are not there.
    "aws:ec2/getRouteTable:getRouteTable": Function(
        arguments=("region", "routeTableId"), required=("routeTableId",), call=_route_table
    ),
    "aws:ec2/getSubnets:getSubnets": Function(
        arguments=("filters", "region", "tags"),
        call=_listed("describe_subnets", "Subnets", "SubnetId", tells_filters=True),
    ),
    "aws:ec2/getVpcPeeringConnections:getVpcPeeringConnections": Function(
        arguments=("filters", "region", "tags"),
        call=_listed(
            "describe_vpc_peering_connections", "VpcPeeringConnections", "VpcPeeringConnectionId"
        ),
    ),
    "aws:ec2/getVpcs:getVpcs": Function(
        arguments=("filters", "region", "tags"), call=_listed("describe_vpcs", "Vpcs", "VpcId")
    ),
    "aws:ec2transitgateway/getAttachments:getAttachments": Function(
        arguments=("filters", "region", "tags"),
        call=_listed(
            "describe_transit_gateway_attachments",
            "TransitGatewayAttachments",
            "TransitGatewayAttachmentId",
        ),
    ),
    "aws:ec2transitgateway/getRouteTableRoutes:getRouteTableRoutes": Function(
        arguments=("filters", "region", "transitGatewayRouteTableId"),
        required=("filters", "transitGatewayRouteTableId"),
        call=_transit_routes,
    ),
    # Neither the registry's other ways to name the zone, nor its filter of records by name.
    "aws:route53/getRecords:getRecords": Function(
        arguments=("zoneId",), required=("zoneId",), call=_records
    ),
    "aws:route53/getZone:getZone": Function(
        arguments=("zoneId",), required=("zoneId",), call=_zone
    ),
    "aws:servicequotas/getServiceQuota:getServiceQuota": Function(
        arguments=("quotaCode", "region", "serviceCode"),
        required=("quotaCode", "serviceCode"),
        call=_service_quota,
    ),
}
