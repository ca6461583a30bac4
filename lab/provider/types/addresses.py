"""Elastic IPs. Registry pages: aws/ec2/{eip,eipassociation,eipdomainname}."""

from __future__ import annotations

from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, retag, specification, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS, TIMEOUTS, exactly_one
from lab.provider.values import Values


def _create_eip(aws: Aws, new: Values) -> str:
    tags = specification("elastic-ip", new.get("tags"))
    return aws.ec2.allocate_address(Domain="vpc", TagSpecifications=tags)["AllocationId"]


def _associate_eip(aws: Aws, identifier: str, new: Values) -> None:
    if "instance" in new:
        aws.ec2.associate_address(AllocationId=identifier, InstanceId=new["instance"])


def _address(aws: Aws, identifier: str) -> dict[str, Any]:
    return aws.ec2.describe_addresses(AllocationIds=[identifier])["Addresses"][0]


def _read_eip(aws: Aws, identifier: str, _state: Values) -> Values | None:
    address = _address(aws, identifier)
    return {
        "allocationId": identifier,
        "arn": aws.arn("ec2", f"elastic-ip/{identifier}"),
        "associationId": address.get("AssociationId") or None,
        "domain": address["Domain"],
        "instance": address.get("InstanceId") or None,
        "networkInterface": address.get("NetworkInterfaceId") or None,
        "privateIp": address.get("PrivateIpAddress") or None,
        "ptrRecord": _pointer(aws, identifier),
        "publicIp": address["PublicIp"],
        "tags": tag_map(address.get("Tags")),
    }


def _pointer(aws: Aws, identifier: str) -> str | None:
    found = aws.ec2.describe_addresses_attribute(
        AllocationIds=[identifier], Attribute="domain-name"
    )
    return found["Addresses"][0].get("PtrRecord")


def _disassociate_eip(aws: Aws, identifier: str) -> None:
    association = _address(aws, identifier).get("AssociationId")
    if association:
        aws.ec2.disassociate_address(AssociationId=association)


def _update_eip(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if "instance" in changed:
        _disassociate_eip(aws, identifier)
        _associate_eip(aws, identifier, new)
    retag(aws, identifier, old, new)


def _delete_eip(aws: Aws, identifier: str, _state: Values) -> None:
    _disassociate_eip(aws, identifier)
    aws.ec2.release_address(AllocationId=identifier)


EIP = Resource(
    token="aws:ec2/eip:Eip",
    inputs={
        "domain": Property(computed=True, replaces=True, check=checks.one_of("vpc")),
        "instance": Property(computed=True),
        "tags": TAGS,
    },
    outputs=(
        "allocationId",
        "arn",
        "associationId",
        "networkInterface",
        "privateIp",
        "ptrRecord",
        "publicIp",
    ),
    create=_create_eip,
    settle=_associate_eip,
    read=_read_eip,
    update=_update_eip,
    delete=_delete_eip,
)

ASSOCIATION_PARAMETERS = {
    "allocationId": "AllocationId",
    "instanceId": "InstanceId",
    "networkInterfaceId": "NetworkInterfaceId",
    "privateIpAddress": "PrivateIpAddress",
    "allowReassociation": "AllowReassociation",
}


def _create_association(aws: Aws, new: Values) -> str:
    request = {p: new[name] for name, p in ASSOCIATION_PARAMETERS.items() if name in new}
    return aws.ec2.associate_address(**request)["AssociationId"]


def _read_association(aws: Aws, identifier: str, _state: Values) -> Values | None:
    only = [{"Name": "association-id", "Values": [identifier]}]
    for address in aws.ec2.describe_addresses(Filters=only)["Addresses"]:
        return {
            "allocationId": address["AllocationId"],
            "instanceId": address.get("InstanceId") or None,
            "networkInterfaceId": address.get("NetworkInterfaceId") or None,
            "privateIpAddress": address.get("PrivateIpAddress") or None,
            "publicIp": address["PublicIp"],
        }
    return None


EIP_ASSOCIATION = Resource(
    token="aws:ec2/eipAssociation:EipAssociation",
    inputs={
        "allocationId": Property(required=True, replaces=True),
        "allowReassociation": Property(computed=True, replaces=True),
        "instanceId": Property(computed=True, replaces=True),
        "networkInterfaceId": Property(computed=True, replaces=True),
        "privateIpAddress": Property(computed=True, replaces=True, check=checks.address),
    },
    outputs=("publicIp",),
    create=_create_association,
    read=_read_association,
    delete=lambda aws, identifier, _state: aws.ec2.disassociate_address(AssociationId=identifier),
    check=lambda new: exactly_one(new, "instanceId", "networkInterfaceId"),
)


def _create_domain_name(aws: Aws, new: Values) -> str:
    aws.ec2.modify_address_attribute(AllocationId=new["allocationId"], DomainName=new["domainName"])
    return new["allocationId"]


def _update_domain_name(aws: Aws, _id: str, _old: Values, new: Values, _changed: set[str]) -> None:
    _create_domain_name(aws, new)


def _read_domain_name(aws: Aws, identifier: str, _state: Values) -> Values | None:
    pointer = _pointer(aws, identifier)
    if pointer is None:
        return None
    return {"allocationId": identifier, "domainName": pointer, "ptrRecord": pointer}


EIP_DOMAIN_NAME = Resource(
    token="aws:ec2/eipDomainName:EipDomainName",
    inputs={
        "allocationId": Property(required=True, replaces=True),
        "domainName": Property(required=True, normal=lambda name: name.lower().rstrip(".")),
        "timeouts": TIMEOUTS,
    },
    outputs=("ptrRecord",),
    create=_create_domain_name,
    read=_read_domain_name,
    update=_update_domain_name,
    delete=lambda aws, identifier, _state: aws.ec2.reset_address_attribute(
        AllocationId=identifier, Attribute="domain-name"
    ),
)

TYPES = (EIP, EIP_ASSOCIATION, EIP_DOMAIN_NAME)
