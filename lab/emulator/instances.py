"""Instances: launches checked as RunInstances does, and ended without leftovers."""

from __future__ import annotations

import base64
from typing import Any

from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceBackend
from moto.ec2.responses import EC2Response

from lab import userdata
from lab.emulator import images, interfaces

BURSTABLE_UNLIMITED = ("t3.", "t3a.", "t4g.")
"""Families that start as unlimited ("Unlimited mode concepts", EC2 User Guide)."""


def run_instances(
    moto: Any,
    self: Any,
    image_id: str,
    count: int,
    user_data: Any,
    security_group_names: list[str],
    **named: Any,
) -> Any:
    architecture = images.architecture_of(self, image_id)
    _check_type(named["instance_type"], architecture)
    _check_user_data(user_data)
    if named.get("key_name"):
        self.describe_key_pairs(key_names=[named["key_name"]])
    if named.get("subnet_id"):
        vpc_id = self.get_subnet(named["subnet_id"]).vpc_id
        _check_groups(self, named.get("security_group_ids", []), vpc_id, named["subnet_id"])
    for nic in named.get("nics") or []:
        _check_interface(self, nic)
    reservation = moto(self, image_id, count, user_data, security_group_names, **named)
    given = {nic.get("NetworkInterfaceId") for nic in named.get("nics") or []}
    for instance in reservation.instances:
        _settle_interface(self, instance, given)
    return reservation


def _check_interface(backend: Any, nic: dict[str, Any]) -> None:
    """One that is there must be free, one to be made must have groups of its subnet's VPC."""
    if nic.get("NetworkInterfaceId"):
        interfaces.check_free(backend, nic["NetworkInterfaceId"])
    if nic.get("SubnetId"):
        subnet = backend.get_subnet(nic["SubnetId"])
        _check_groups(backend, nic.get("Groups") or [], subnet.vpc_id, subnet.id)


def _check_type(name: str, architecture: str) -> None:
    if name not in INSTANCE_TYPES:
        raise EC2ClientError("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
    supported = INSTANCE_TYPES[name]["ProcessorInfo"]["SupportedArchitectures"]
    if architecture not in supported:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The architecture '{', '.join(supported)}' of the specified instance type {name} does "
            f"not match the architecture '{architecture}' of the specified AMI.",
        )


def _check_user_data(user_data: Any) -> None:
    if user_data is None:
        return
    size = len(base64.b64decode(str(user_data)))
    if size > userdata.LIMIT:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"User data is limited to {userdata.LIMIT} bytes, got {size}",
        )


def _check_groups(backend: Any, groups: list[str], vpc_id: str, subnet_id: str) -> None:
    if stranger := interfaces.foreign_group(backend, groups, vpc_id):
        raise EC2ClientError(
            "InvalidParameter",
            f"Security group {stranger.id} and subnet {subnet_id} belong to different networks.",
        )


def _settle_interface(backend: Any, instance: Any, given: set[str]) -> None:
    """Groups live on the interface; one that was given keeps its own and outlives the instance."""
    interface = instance.nics[0]
    instance._placement.zone = interface.subnet.availability_zone
    if interface.id in given:
        instance.security_groups = list(interface._group_set)
        return
    interface.delete_on_termination = True
    if not instance.security_groups:
        default = [backend.get_default_security_group(instance.vpc_id)]
        instance.security_groups = list(interface._group_set) or default
    interface._group_set = list(instance.security_groups)


def run_instances_request(moto: Any, self: Any) -> ActionResult:
    """Parameters of RunInstances that moto does not read."""
    result = moto(self)
    credits = self._get_param("CreditSpecification.CpuCredits")
    for instance in result.result.instances:
        instance.disable_api_termination = bool(self._get_param("DisableApiTermination", False))
        instance.cpu_credits = credits or _default_credits(instance.instance_type)
    return result


def _default_credits(instance_type: str) -> str:
    return "unlimited" if instance_type.startswith(BURSTABLE_UNLIMITED) else "standard"


def describe_credits(_moto: Any, self: Any) -> ActionResult:
    found = self.ec2_backend.get_multi_instances_by_id(self._get_param("InstanceIds", []))
    specifications = [{"InstanceId": i.id, "CpuCredits": i.cpu_credits} for i in found]
    return ActionResult({"InstanceCreditSpecifications": specifications})


def modify_credits(_moto: Any, self: Any) -> ActionResult:
    done = []
    for request in self._get_param("InstanceCreditSpecifications", []):
        instance = self.ec2_backend.get_instance(request["InstanceId"])
        instance.cpu_credits = request["CpuCredits"]
        done.append({"InstanceId": instance.id})
    return ActionResult({"SuccessfulInstanceCreditSpecifications": done})


def monitor_instances(_moto: Any, self: Any) -> ActionResult:
    return _set_monitoring(self, "enabled")


def unmonitor_instances(_moto: Any, self: Any) -> ActionResult:
    return _set_monitoring(self, "disabled")


def _set_monitoring(response: Any, state: str) -> ActionResult:
    done = []
    for identifier in response._get_param("InstanceIds", []):
        response.ec2_backend.get_instance(identifier).monitoring_state = state
        done.append({"InstanceId": identifier, "Monitoring": {"State": state}})
    return ActionResult({"InstanceMonitorings": done})


def modify_instance_attribute(moto: Any, self: Any, instance_id: str, key: str, value: Any) -> Any:
    """The source check is the interface's; a changed user data or type needs a stopped instance.

    API reference, ModifyInstanceAttribute and error code IncorrectInstanceState.
    """
    instance = self.get_instance(instance_id)
    if key in ("user_data", "instance_type", "ebs_optimized") and instance.state != "stopped":
        raise EC2ClientError(
            "IncorrectInstanceState",
            f"The instance '{instance_id}' is not in the 'stopped' state.",
        )
    if key == "user_data":
        _check_user_data(value)
    if key == "source_dest_check":
        instance.nics[0].source_dest_check = value
    return moto(self, instance_id, key, value)


def modify_user_data(moto: Any, self: Any) -> bool:
    """moto takes the request's bytes, which are decoded already, for base64."""
    value = self._get_param("UserData.Value")
    if not isinstance(value, bytes):
        return moto(self)
    encoded = Base64EncodedString(base64.b64encode(value).decode()) if value else None
    self.ec2_backend.modify_instance_attribute(self._get_param("InstanceId"), "user_data", encoded)
    return True


def modify_instance_security_groups(
    moto: Any, self: Any, instance_id: str, new_group_id_list: list[str]
) -> Any:
    """moto keeps the interface's old groups beside the new ones."""
    instance = self.get_instance(instance_id)
    _check_groups(self, new_group_id_list, instance.vpc_id, instance.subnet_id)
    moto(self, instance_id, new_group_id_list)
    instance.nics[0]._group_set = list(instance.security_groups)
    return instance


def terminate(moto: Any, self: Any) -> Any:
    """Elastic IPs are disassociated; the interface goes and its address can be used again."""
    for address in self.ec2_backend.addresses:
        interface = address.eni
        if interface and interface.instance is self and interface.delete_on_termination:
            self.ec2_backend.disassociate_address(address=address.public_ip)
    interfaces = list(self.nics.values()) if self.state != "terminated" else []
    previous = moto(self) if interfaces else self._state
    for interface in interfaces:
        if interface.delete_on_termination:
            self._private_ips.discard(interface.private_ip_address)
        else:
            interface.instance = interface.attachment_id = interface.device_index = None
            interface.status = "available"
    return previous


CORRECTIONS = (
    (InstanceBackend, "run_instances", run_instances),
    (InstanceBackend, "modify_instance_attribute", modify_instance_attribute),
    (InstanceBackend, "modify_instance_security_groups", modify_instance_security_groups),
    (Instance, "terminate", terminate),
    (EC2Response, "run_instances", run_instances_request),
    (EC2Response, "_dot_value_instance_attribute_handler", modify_user_data),
    (EC2Response, "describe_instance_credit_specifications", describe_credits),
    (EC2Response, "modify_instance_credit_specification", modify_credits),
    (EC2Response, "monitor_instances", monitor_instances),
    (EC2Response, "unmonitor_instances", unmonitor_instances),
)
