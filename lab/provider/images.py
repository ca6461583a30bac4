"""Functions that look for images and instance types.

Registry: aws.ec2.{getAmi,getInstanceType,getInstanceTypeOfferings,getInstanceTypes}. Of a type the
registry has more, which nobody asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.provider.aws import Aws, ProviderError, tag_map
from lab.provider.function import Function, filters
from lab.provider.values import Values

_IMAGE = {
    "architecture": "Architecture",
    "creationDate": "CreationDate",
    "description": "Description",
    "hypervisor": "Hypervisor",
    "imageId": "ImageId",
    "imageLocation": "ImageLocation",
    "imageType": "ImageType",
    "name": "Name",
    "ownerId": "OwnerId",
    "public": "Public",
    "rootDeviceName": "RootDeviceName",
    "rootDeviceType": "RootDeviceType",
    "state": "State",
    "virtualizationType": "VirtualizationType",
}
"""An image's properties and their names in the API; the registry has more that nobody asks for."""


def _ami(aws: Aws, arguments: Values) -> Values:
    # The emulator knows of no deprecation, so that all images are offered.
    found = aws.ec2.describe_images(Filters=filters(arguments))["Images"]
    if not found:
        raise ProviderError(
            "Your query returned no results. Please change your search criteria and try again."
        )
    if len(found) > 1:
        raise ProviderError(
            "Your query returned more than one result. Please try a more specific search criteria"
        )
    [image] = found
    return {
        "arn": aws.arn("ec2", f"image/{image['ImageId']}"),
        "filters": arguments.get("filters", []),
        "id": image["ImageId"],
        "includeDeprecated": arguments.get("includeDeprecated", False),
        "region": aws.region,
        "tags": tag_map(image.get("Tags")),
        **{name: image.get(parameter) for name, parameter in _IMAGE.items()},
    }


def _instance_types(aws: Aws, arguments: Values) -> Values:
    pages = aws.ec2.get_paginator("describe_instance_types").paginate(Filters=filters(arguments))
    found: list[Any] = [item["InstanceType"] for page in pages for item in page["InstanceTypes"]]
    return {
        "filters": arguments.get("filters", []),
        "id": aws.region,
        "instanceTypes": found,
        "region": aws.region,
    }


def _instance_type(aws: Aws, arguments: Values) -> Values:
    name = arguments["instanceType"]
    [found] = aws.ec2.describe_instance_types(InstanceTypes=[name])["InstanceTypes"]
    return {
        "defaultVcpus": found["VCpuInfo"]["DefaultVCpus"],
        "id": name,
        "instanceType": name,
        "region": aws.region,
        "supportedArchitectures": found["ProcessorInfo"]["SupportedArchitectures"],
    }


def _offerings(aws: Aws, arguments: Values) -> Values:
    kind = arguments.get("locationType", "region")
    pages = aws.ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType=kind, Filters=filters(arguments)
    )
    found = [item for page in pages for item in page["InstanceTypeOfferings"]]
    return {
        "filters": arguments.get("filters", []),
        "id": aws.region,
        "instanceTypes": [item["InstanceType"] for item in found],
        "locationType": kind,
        "locationTypes": [item["LocationType"] for item in found],
        "locations": [item["Location"] for item in found],
        "region": aws.region,
    }


FUNCTIONS: Mapping[str, Function] = {
    # Neither owners nor names: an image is looked for by its id.
    "aws:ec2/getAmi:getAmi": Function(
        arguments=("filters", "includeDeprecated", "region"), required=("filters",), call=_ami
    ),
    "aws:ec2/getInstanceTypes:getInstanceTypes": Function(
        arguments=("filters", "region"), call=_instance_types
    ),
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": Function(
        arguments=("filters", "locationType", "region"), call=_offerings
    ),
    "aws:ec2/getInstanceType:getInstanceType": Function(
        arguments=("instanceType", "region"), required=("instanceType",), call=_instance_type
    ),
}
