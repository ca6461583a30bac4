"""Network interfaces that a client makes and deletes: moto takes any address and any groups."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.exceptions import EC2ClientError, InvalidSecurityGroupNotFoundError
from moto.ec2.responses import EC2Response


def create_network_interface(moto: Any, self: Any) -> ActionResult:
    """The address is free and of the subnet ("Subnet sizing", VPC User Guide), as are the groups.

    moto draws an address at random where the request names none.
    """
    subnet = self.ec2_backend.get_subnet(self._get_param("SubnetId"))
    _check_groups(self.ec2_backend, self._get_param("Groups", []), subnet.vpc_id)
    wanted = self._get_param("PrivateIpAddress")
    if wanted:
        subnet.request_ip(wanted, instance=None)
    elif not self._get_param("PrivateIpAddresses", []):
        self.params["PrivateIpAddress"] = subnet.get_available_subnet_ip(instance=None)
    return moto(self)


def modify_network_interface_attribute(moto: Any, self: Any) -> ActionResult:
    interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    _check_groups(self.ec2_backend, self._get_param("Groups", []), interface.vpc_id)
    return moto(self)


def _check_groups(backend: Any, groups: list[str], vpc_id: str) -> None:
    """EC2 error codes, InvalidGroup.NotFound: there is no such group, or not in this VPC."""
    if stranger := foreign_group(backend, groups, vpc_id):
        raise EC2ClientError(
            "InvalidGroup.NotFound",
            "You have specified two resources that belong to different networks "
            f"({stranger.id} of {stranger.vpc_id}, {vpc_id}).",
        )


def foreign_group(backend: Any, groups: list[str], vpc_id: str) -> Any:
    """The first of the groups that is another VPC's, or None; raises EC2's error if one is none."""
    for identifier in groups:
        group = backend.get_security_group_from_id(identifier)
        if group is None:
            raise InvalidSecurityGroupNotFoundError(identifier)
        if group.vpc_id != vpc_id:
            return group
    return None


def delete_network_interface(_moto: Any, self: Any) -> EmptyResult:
    """API reference, DeleteNetworkInterface: it must be detached. Its address is free again."""
    interface = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    if interface.status == "in-use":
        raise EC2ClientError(
            "InvalidParameterValue", f"Network interface '{interface.id}' is currently in use."
        )
    interface.delete()
    return EmptyResult()


def check_free(backend: Any, identifier: str) -> None:
    """EC2 error codes, InvalidNetworkInterface.InUse: an interface has one instance at a time.

    Raises:
        EC2ClientError: it has one, or is AWS's own.
    """
    if backend.get_network_interface(identifier).status == "in-use":
        raise EC2ClientError("InvalidNetworkInterface.InUse", f"Interface: [{identifier}] in use.")


CORRECTIONS = (
    (EC2Response, "create_network_interface", create_network_interface),
    (EC2Response, "modify_network_interface_attribute", modify_network_interface_attribute),
    (EC2Response, "delete_network_interface", delete_network_interface),
)
