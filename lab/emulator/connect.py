"""EC2 Instance Connect Endpoints, which moto lacks: one network interface in a subnet."""

from __future__ import annotations

import secrets
from typing import Any

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError, InvalidSecurityGroupNotFoundError
from moto.ec2.responses import EC2Response
from moto.ec2.utils import EC2_RESOURCE_TO_PREFIX, generic_filter

from lab.emulator import networks

PREFIX, KIND = "eice", "instance-connect-endpoint"
INTERFACE_TYPE = "ec2_instance_connect_endpoint"


class ConnectEndpoint:
    """The InstanceConnectEndpoint object of the EC2 API."""

    def __init__(self, response: Any, interface: Any, preserve_client_ip: bool) -> None:
        region = response.region
        self.id = f"{PREFIX}-{secrets.token_hex(8) + '0'}"
        self.interface = interface
        self.data = {
            "OwnerId": response.current_account,
            "InstanceConnectEndpointId": self.id,
            "InstanceConnectEndpointArn": f"arn:aws:ec2:{region}:{response.current_account}:"
            f"instance-connect-endpoint/{self.id}",
            "State": "create-complete",
            "DnsName": f"{self.id}.ec2-instance-connect-endpoint.{region}.amazonaws.com",
            "NetworkInterfaceIds": [interface.id],
            "VpcId": interface.vpc_id,
            "SubnetId": interface.subnet_id,
            "AvailabilityZone": interface.availability_zone,
            "CreatedAt": utcnow(),
            "PreserveClientIp": preserve_client_ip,
            "SecurityGroupIds": [group.id for group in interface._group_set],
        }

    def get_filter_value(self, name: str, _method: str | None = None) -> Any:
        """The value that a filter of DescribeInstanceConnectEndpoints compares."""
        return {
            "instance-connect-endpoint-id": self.id,
            "state": self.data["State"],
            "subnet-id": self.data["SubnetId"],
            "vpc-id": self.data["VpcId"],
        }[name]

    def describe(self, backend: Any) -> dict[str, Any]:
        """The object with its present tags."""
        tags = backend.describe_tags(filters={"resource-id": [self.id]})
        return {
            **self.data,
            "Tags": [{"Key": tag["key"], "Value": tag["value"]} for tag in tags],
        }


def endpoints(backend: Any) -> dict[str, ConnectEndpoint]:
    """The endpoints of one Region by their id."""
    return backend.__dict__.setdefault("instance_connect_endpoints", {})


def create_instance_connect_endpoint(_moto: Any, self: Any) -> ActionResult:
    backend = self.ec2_backend
    subnet = backend.get_subnet(self._get_param("SubnetId"))
    # "Quotas for EC2 Instance Connect Endpoint", EC2 User Guide: one for each VPC.
    for other in endpoints(backend).values():
        if other.data["VpcId"] == subnet.vpc_id:
            raise EC2ClientError(
                "InstanceConnectEndpointLimitExceeded",
                f"{subnet.vpc_id} has {other.id} and may have one endpoint only.",
            )
    groups = self._get_param("SecurityGroupIds", [])
    for group in groups:
        if backend.get_security_group_from_id(group) is None:
            raise InvalidSecurityGroupNotFoundError(group)
    interface = networks.create_interface(
        backend, subnet, INTERFACE_TYPE, "EC2 Instance Connect Endpoint", groups
    )
    endpoint = ConnectEndpoint(self, interface, self._get_param("PreserveClientIp", False) is True)
    endpoints(backend)[endpoint.id] = endpoint
    tags = self._parse_tag_specification().get(KIND, {})
    if tags:
        backend.create_tags([endpoint.id], tags)
    return ActionResult({"InstanceConnectEndpoint": endpoint.describe(backend)})


def describe_instance_connect_endpoints(_moto: Any, self: Any) -> ActionResult:
    backend = self.ec2_backend
    found = list(endpoints(backend).values())
    for identifier in self._get_param("InstanceConnectEndpointIds", []):
        _endpoint(backend, identifier)
        found = [endpoint for endpoint in found if endpoint.id == identifier]
    found = generic_filter(self._filters_from_querystring(), found)
    return ActionResult({"InstanceConnectEndpoints": [e.describe(backend) for e in found]})


def delete_instance_connect_endpoint(_moto: Any, self: Any) -> ActionResult:
    backend = self.ec2_backend
    endpoint = _endpoint(backend, self._get_param("InstanceConnectEndpointId"))
    description = {**endpoint.describe(backend), "State": "delete-complete"}
    endpoint.interface.delete()
    del endpoints(backend)[endpoint.id]
    return ActionResult({"InstanceConnectEndpoint": description})


def _endpoint(backend: Any, identifier: str) -> ConnectEndpoint:
    if identifier not in endpoints(backend):
        raise EC2ClientError(
            "InvalidInstanceConnectEndpointId.NotFound",
            f"The instance connect endpoint ID '{identifier}' does not exist",
        )
    return endpoints(backend)[identifier]


def register_prefix() -> None:
    """Let CreateTags and DeleteTags know the ids of endpoints."""
    EC2_RESOURCE_TO_PREFIX[KIND] = PREFIX


CORRECTIONS = (
    (EC2Response, "create_instance_connect_endpoint", create_instance_connect_endpoint),
    (EC2Response, "describe_instance_connect_endpoints", describe_instance_connect_endpoints),
    (EC2Response, "delete_instance_connect_endpoint", delete_instance_connect_endpoint),
)
