"""VPCs, subnets, peerings and endpoints.

Registry pages: aws/ec2/{vpc,subnet,vpcpeeringconnection,vpcendpoint},
aws/ec2transitgateway/instanceconnectendpoint.
"""

from __future__ import annotations

from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, ProviderError, retag, specification, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS, TIMEOUTS
from lab.provider.values import Values

VPC_ATTRIBUTES = {
    "enableDnsSupport": "EnableDnsSupport",
    "enableDnsHostnames": "EnableDnsHostnames",
}


def _create_vpc(aws: Aws, new: Values) -> str:
    made = aws.ec2.create_vpc(
        CidrBlock=new["cidrBlock"],
        InstanceTenancy=new["instanceTenancy"],
        TagSpecifications=specification("vpc", new.get("tags")),
    )
    return made["Vpc"]["VpcId"]


def _settle_vpc(aws: Aws, identifier: str, new: Values) -> None:
    # API reference, ModifyVpcAttribute: one attribute in each request.
    for name, attribute in VPC_ATTRIBUTES.items():
        value = {"Value": bool(new.get(name, False))}
        aws.ec2.modify_vpc_attribute(VpcId=identifier, **{attribute: value})


def _read_vpc(aws: Aws, identifier: str, _state: Values) -> Values | None:
    vpc = aws.ec2.describe_vpcs(VpcIds=[identifier])["Vpcs"][0]
    of_vpc = [{"Name": "vpc-id", "Values": [identifier]}]
    groups = aws.ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    tables = aws.ec2.describe_route_tables(
        Filters=[*of_vpc, {"Name": "association.main", "Values": ["true"]}]
    )["RouteTables"]
    acls = aws.ec2.describe_network_acls(Filters=[*of_vpc, {"Name": "default", "Values": ["true"]}])
    attributes = {
        name: aws.ec2.describe_vpc_attribute(
            VpcId=identifier, Attribute=attribute[0].lower() + attribute[1:]
        )[attribute]["Value"]
        for name, attribute in VPC_ATTRIBUTES.items()
    }
    return {
        **attributes,
        "arn": aws.arn("ec2", f"vpc/{identifier}"),
        "cidrBlock": vpc["CidrBlock"],
        "instanceTenancy": vpc["InstanceTenancy"],
        "ownerId": vpc["OwnerId"],
        "dhcpOptionsId": vpc.get("DhcpOptionsId"),
        "mainRouteTableId": tables[0]["RouteTableId"],
        "defaultRouteTableId": tables[0]["RouteTableId"],
        "defaultSecurityGroupId": _default_group(groups),
        "defaultNetworkAclId": acls["NetworkAcls"][0]["NetworkAclId"],
        "tags": tag_map(vpc.get("Tags")),
    }


def _default_group(groups: list[dict[str, Any]]) -> str | None:
    return next((g["GroupId"] for g in groups if g["GroupName"] == "default"), None)


def _update_vpc(aws: Aws, identifier: str, old: Values, new: Values, _changed: set[str]) -> None:
    _settle_vpc(aws, identifier, new)
    retag(aws, identifier, old, new)


VPC = Resource(
    token="aws:ec2/vpc:Vpc",
    inputs={
        # "VPC CIDR blocks", VPC User Guide: between /28 and /16.
        "cidrBlock": Property(required=True, replaces=True, check=checks.cidr(16, 28)),
        "enableDnsHostnames": Property(default=False),
        "enableDnsSupport": Property(
            default=True, check=checks.only(True, "its resolver serves every VPC")
        ),
        "instanceTenancy": Property(default="default", check=checks.one_of("default", "dedicated")),
        "tags": TAGS,
    },
    outputs=(
        "arn",
        "defaultNetworkAclId",
        "defaultRouteTableId",
        "defaultSecurityGroupId",
        "dhcpOptionsId",
        "mainRouteTableId",
        "ownerId",
    ),
    create=_create_vpc,
    settle=_settle_vpc,
    read=_read_vpc,
    update=_update_vpc,
    delete=lambda aws, identifier, _state: aws.ec2.delete_vpc(VpcId=identifier),
)


def _create_subnet(aws: Aws, new: Values) -> str:
    zone = {
        parameter: new[name]
        for name, parameter in (
            ("availabilityZone", "AvailabilityZone"),
            ("availabilityZoneId", "AvailabilityZoneId"),
        )
        if name in new
    }
    made = aws.ec2.create_subnet(
        VpcId=new["vpcId"],
        CidrBlock=new["cidrBlock"],
        TagSpecifications=specification("subnet", new.get("tags")),
        **zone,
    )
    return made["Subnet"]["SubnetId"]


def _settle_subnet(aws: Aws, identifier: str, new: Values) -> None:
    value = {"Value": bool(new.get("mapPublicIpOnLaunch", False))}
    aws.ec2.modify_subnet_attribute(SubnetId=identifier, MapPublicIpOnLaunch=value)


def _read_subnet(aws: Aws, identifier: str, _state: Values) -> Values | None:
    subnet = aws.ec2.describe_subnets(SubnetIds=[identifier])["Subnets"][0]
    return {
        "arn": aws.arn("ec2", f"subnet/{identifier}"),
        "availabilityZone": subnet["AvailabilityZone"],
        "availabilityZoneId": subnet.get("AvailabilityZoneId"),
        "cidrBlock": subnet["CidrBlock"],
        "mapPublicIpOnLaunch": subnet["MapPublicIpOnLaunch"],
        "ownerId": subnet["OwnerId"],
        "tags": tag_map(subnet.get("Tags")),
        "vpcId": subnet["VpcId"],
    }


def _update_subnet(aws: Aws, identifier: str, old: Values, new: Values, _changed: set[str]) -> None:
    _settle_subnet(aws, identifier, new)
    retag(aws, identifier, old, new)


SUBNET = Resource(
    token="aws:ec2/subnet:Subnet",
    inputs={
        "availabilityZone": Property(computed=True, replaces=True),
        "availabilityZoneId": Property(computed=True, replaces=True),
        "cidrBlock": Property(required=True, replaces=True, check=checks.cidr(16, 28)),
        "mapPublicIpOnLaunch": Property(default=False),
        "tags": TAGS,
        "vpcId": Property(required=True, replaces=True),
    },
    outputs=("arn", "ownerId"),
    create=_create_subnet,
    settle=_settle_subnet,
    read=_read_subnet,
    update=_update_subnet,
    delete=lambda aws, identifier, _state: aws.ec2.delete_subnet(SubnetId=identifier),
)


PEERING_SIDE = {"allowRemoteVpcDnsResolution": Property(default=False)}


def _create_peering(aws: Aws, new: Values) -> str:
    _refuse_second_peering(aws, new)
    made = aws.ec2.create_vpc_peering_connection(
        VpcId=new["vpcId"],
        PeerVpcId=new["peerVpcId"],
        TagSpecifications=specification("vpc-peering-connection", new.get("tags")),
    )
    return made["VpcPeeringConnection"]["VpcPeeringConnectionId"]


def _refuse_second_peering(aws: Aws, new: Values) -> None:
    ends = {new["vpcId"], new["peerVpcId"]}
    for peering in aws.ec2.describe_vpc_peering_connections()["VpcPeeringConnections"]:
        between = {peering["RequesterVpcInfo"]["VpcId"], peering["AccepterVpcInfo"]["VpcId"]}
        if between == ends and peering["Status"]["Code"] in ("pending-acceptance", "active"):
            raise ProviderError(
                f"{' and '.join(sorted(ends))} are peered by "
                f"{peering['VpcPeeringConnectionId']} already; AWS would silently return that one"
            )


def _settle_peering(aws: Aws, identifier: str, new: Values) -> None:
    status = _peering(aws, identifier)["Status"]
    if status["Code"] == "failed":
        raise ProviderError(f"{identifier}: {status['Message']}")
    if new.get("autoAccept") and status["Code"] == "pending-acceptance":
        aws.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=identifier)
    options = {
        parameter: {"AllowDnsResolutionFromRemoteVpc": new[name]["allowRemoteVpcDnsResolution"]}
        for name, parameter in (
            ("accepter", "AccepterPeeringConnectionOptions"),
            ("requester", "RequesterPeeringConnectionOptions"),
        )
        if "allowRemoteVpcDnsResolution" in new.get(name, {})
    }
    if options:
        aws.ec2.modify_vpc_peering_connection_options(VpcPeeringConnectionId=identifier, **options)


def _peering(aws: Aws, identifier: str) -> dict[str, Any]:
    found = aws.ec2.describe_vpc_peering_connections(VpcPeeringConnectionIds=[identifier])
    return next(iter(found["VpcPeeringConnections"]), {"Status": {"Code": "deleted"}})


def _read_peering(aws: Aws, identifier: str, _state: Values) -> Values | None:
    peering = _peering(aws, identifier)
    if peering["Status"]["Code"] in ("deleted", "deleting", "expired", "failed", "rejected"):
        return None
    requester, accepter = peering["RequesterVpcInfo"], peering["AccepterVpcInfo"]
    return {
        "acceptStatus": peering["Status"]["Code"],
        "accepter": _peering_side(accepter),
        "requester": _peering_side(requester),
        "peerOwnerId": accepter["OwnerId"],
        "peerRegion": accepter.get("Region"),
        "peerVpcId": accepter["VpcId"],
        "tags": tag_map(peering.get("Tags")),
        "vpcId": requester["VpcId"],
    }


def _peering_side(info: dict[str, Any]) -> Values:
    options = info.get("PeeringOptions", {})
    allowed = options.get("AllowDnsResolutionFromRemoteVpc", False)
    return {"allowRemoteVpcDnsResolution": allowed}


def _update_peering(aws: Aws, identifier: str, old: Values, new: Values, _c: set[str]) -> None:
    _settle_peering(aws, identifier, new)
    retag(aws, identifier, old, new)


PEERING = Resource(
    token="aws:ec2/vpcPeeringConnection:VpcPeeringConnection",
    inputs={
        "accepter": Property(computed=True, fields=PEERING_SIDE),
        "autoAccept": Property(computed=True),
        "peerOwnerId": Property(computed=True, replaces=True),
        "peerRegion": Property(computed=True, replaces=True),
        "peerVpcId": Property(required=True, replaces=True),
        "requester": Property(computed=True, fields=PEERING_SIDE),
        "tags": TAGS,
        "vpcId": Property(required=True, replaces=True),
    },
    outputs=("acceptStatus",),
    create=_create_peering,
    settle=_settle_peering,
    read=_read_peering,
    update=_update_peering,
    delete=lambda aws, identifier, _state: aws.ec2.delete_vpc_peering_connection(
        VpcPeeringConnectionId=identifier
    ),
)


def _create_endpoint(aws: Aws, new: Values) -> str:
    more = {"PolicyDocument": new["policy"]} if "policy" in new else {}
    made = aws.ec2.create_vpc_endpoint(
        VpcId=new["vpcId"],
        ServiceName=new["serviceName"],
        VpcEndpointType=new["vpcEndpointType"],
        RouteTableIds=new.get("routeTableIds", []),
        TagSpecifications=specification("vpc-endpoint", new.get("tags")),
        **more,
    )
    return made["VpcEndpoint"]["VpcEndpointId"]


def _read_endpoint(aws: Aws, identifier: str, _state: Values) -> Values | None:
    endpoint = aws.ec2.describe_vpc_endpoints(VpcEndpointIds=[identifier])["VpcEndpoints"][0]
    if endpoint["State"] in ("deleted", "deleting"):
        return None
    service = [{"Name": "prefix-list-name", "Values": [endpoint["ServiceName"]]}]
    prefix_list = aws.ec2.describe_managed_prefix_lists(Filters=service)["PrefixLists"][0]
    entries = aws.ec2.get_managed_prefix_list_entries(PrefixListId=prefix_list["PrefixListId"])
    return {
        "arn": aws.arn("ec2", f"vpc-endpoint/{identifier}"),
        "cidrBlocks": [entry["Cidr"] for entry in entries["Entries"]],
        "ownerId": aws.account,
        "policy": endpoint["PolicyDocument"],
        "prefixListId": prefix_list["PrefixListId"],
        "routeTableIds": endpoint.get("RouteTableIds", []),
        "serviceName": endpoint["ServiceName"],
        "state": endpoint["State"],
        "tags": tag_map(endpoint.get("Tags")),
        "vpcEndpointType": endpoint["VpcEndpointType"],
        "vpcId": endpoint["VpcId"],
    }


def _update_endpoint(
    aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]
) -> None:
    request: dict[str, Any] = {}
    if "policy" in changed:
        request["PolicyDocument"] = new["policy"]
    if "routeTableIds" in changed:
        before, after = set(old.get("routeTableIds", [])), set(new["routeTableIds"])
        request["AddRouteTableIds"] = sorted(after - before)
        request["RemoveRouteTableIds"] = sorted(before - after)
    if request:
        aws.ec2.modify_vpc_endpoint(VpcEndpointId=identifier, **request)
    retag(aws, identifier, old, new)


ENDPOINT = Resource(
    token="aws:ec2/vpcEndpoint:VpcEndpoint",
    inputs={
        "policy": Property(computed=True, check=checks.policy, normal=checks.same_json),
        "routeTableIds": Property(computed=True, unordered=True),
        "serviceName": Property(required=True, replaces=True),
        "tags": TAGS,
        "vpcEndpointType": Property(
            default="Gateway", replaces=True, check=checks.one_of("Gateway")
        ),
        "vpcId": Property(required=True, replaces=True),
    },
    outputs=("arn", "cidrBlocks", "ownerId", "prefixListId", "state"),
    create=_create_endpoint,
    read=_read_endpoint,
    update=_update_endpoint,
    delete=lambda aws, identifier, _state: aws.ec2.delete_vpc_endpoints(
        VpcEndpointIds=[identifier]
    ),
)


def _create_connect_endpoint(aws: Aws, new: Values) -> str:
    more = {"PreserveClientIp": new["preserveClientIp"]} if "preserveClientIp" in new else {}
    made = aws.ec2.create_instance_connect_endpoint(
        SubnetId=new["subnetId"],
        SecurityGroupIds=new.get("securityGroupIds", []),
        TagSpecifications=specification("instance-connect-endpoint", new.get("tags")),
        **more,
    )
    return made["InstanceConnectEndpoint"]["InstanceConnectEndpointId"]


def _read_connect_endpoint(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.ec2.describe_instance_connect_endpoints(InstanceConnectEndpointIds=[identifier])
    endpoint = found["InstanceConnectEndpoints"][0]
    return {
        "arn": endpoint["InstanceConnectEndpointArn"],
        "availabilityZone": endpoint["AvailabilityZone"],
        "dnsName": endpoint["DnsName"],
        "networkInterfaceIds": endpoint["NetworkInterfaceIds"],
        "ownerId": endpoint["OwnerId"],
        "preserveClientIp": endpoint["PreserveClientIp"],
        "securityGroupIds": endpoint["SecurityGroupIds"],
        "subnetId": endpoint["SubnetId"],
        "tags": tag_map(endpoint.get("Tags")),
        "vpcId": endpoint["VpcId"],
    }


def _update_tags(aws: Aws, identifier: str, old: Values, new: Values, _changed: set[str]) -> None:
    retag(aws, identifier, old, new)


CONNECT_ENDPOINT = Resource(
    token="aws:ec2transitgateway/instanceConnectEndpoint:InstanceConnectEndpoint",
    inputs={
        "preserveClientIp": Property(computed=True, replaces=True),
        "securityGroupIds": Property(computed=True, replaces=True, unordered=True),
        "subnetId": Property(required=True, replaces=True),
        "tags": TAGS,
        "timeouts": TIMEOUTS,
    },
    outputs=("arn", "availabilityZone", "dnsName", "networkInterfaceIds", "ownerId", "vpcId"),
    create=_create_connect_endpoint,
    read=_read_connect_endpoint,
    update=_update_tags,
    delete=lambda aws, identifier, _state: aws.ec2.delete_instance_connect_endpoint(
        InstanceConnectEndpointId=identifier
    ),
)

TYPES = (VPC, SUBNET, PEERING, ENDPOINT, CONNECT_ENDPOINT)
