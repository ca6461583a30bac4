"""Network interfaces of their own. Registry page: aws/ec2/networkinterface."""

from __future__ import annotations

from collections.abc import Iterable

from lab.provider import checks
from lab.provider.aws import Aws, retag, specification, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS
from lab.provider.values import Values


def _create(aws: Aws, new: Values) -> str:
    request = {}
    if "privateIps" in new:
        request["PrivateIpAddress"] = new["privateIps"][0]
    if "securityGroups" in new:
        request["Groups"] = new["securityGroups"]
    made = aws.ec2.create_network_interface(
        SubnetId=new["subnetId"],
        Description=new.get("description", ""),
        TagSpecifications=specification("network-interface", new.get("tags")),
        **request,
    )
    return made["NetworkInterface"]["NetworkInterfaceId"]


def _settle(aws: Aws, identifier: str, new: Values) -> None:
    if new["sourceDestCheck"] is False:
        aws.ec2.modify_network_interface_attribute(
            NetworkInterfaceId=identifier, SourceDestCheck={"Value": False}
        )


def _read(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.ec2.describe_network_interfaces(NetworkInterfaceIds=[identifier])
    interface = found["NetworkInterfaces"][0]
    return {
        "arn": aws.arn("ec2", f"network-interface/{identifier}"),
        "description": interface.get("Description"),
        "macAddress": interface["MacAddress"],
        "ownerId": interface.get("OwnerId", aws.account),
        "privateIp": interface["PrivateIpAddress"],
        "privateIps": [interface["PrivateIpAddress"]],
        "securityGroups": [group["GroupId"] for group in interface["Groups"]],
        "sourceDestCheck": interface["SourceDestCheck"],
        "subnetId": interface["SubnetId"],
        "tags": tag_map(interface.get("TagSet")),
    }


def _update(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    modify = aws.ec2.modify_network_interface_attribute
    if "securityGroups" in changed:
        modify(NetworkInterfaceId=identifier, Groups=new["securityGroups"])
    if "sourceDestCheck" in changed:
        modify(NetworkInterfaceId=identifier, SourceDestCheck={"Value": new["sourceDestCheck"]})
    if "description" in changed:
        modify(NetworkInterfaceId=identifier, Description={"Value": new.get("description", "")})
    retag(aws, identifier, old, new)


def _rules(new: Values) -> Iterable[str]:
    addresses = new.get("privateIps")
    if isinstance(addresses, list) and len(addresses) != 1:
        yield f"privateIps: the lab knows interfaces with one address, got {len(addresses)}"


def _addresses(value: object) -> str | None:
    problems = (checks.address(item) for item in value) if isinstance(value, list) else ()
    return next((problem for problem in problems if problem), None)


NETWORK_INTERFACE = Resource(
    token="aws:ec2/networkInterface:NetworkInterface",
    inputs={
        "description": Property(),
        # The API can assign more addresses; it cannot change the primary one.
        "privateIps": Property(computed=True, replaces=True, check=_addresses),
        "securityGroups": Property(computed=True, unordered=True),
        "sourceDestCheck": Property(default=True),
        "subnetId": Property(required=True, replaces=True),
        "tags": TAGS,
    },
    outputs=("arn", "macAddress", "ownerId", "privateIp"),
    create=_create,
    settle=_settle,
    read=_read,
    update=_update,
    delete=lambda aws, identifier, _state: aws.ec2.delete_network_interface(
        NetworkInterfaceId=identifier
    ),
    check=_rules,
)

TYPES = (NETWORK_INTERFACE,)
