"""Elastic IPs: allocated from the lab's range, with reverse names, freed with their instance."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_ip_addresses import ElasticAddress, ElasticAddressBackend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.ec2.responses import EC2Response

from lab.emulator import dns, quotas
from lab.faults import read_faults
from lab.internet import plan


def allocate_address(
    moto: Any, self: Any, domain: str, address: str | None = None, tags: Any = None
) -> ElasticAddress:
    quotas.check("elastic_ips", len(self.addresses))
    return moto(self, domain, address=address or next_free(self), tags=tags)


def next_free(backend: Any) -> str:
    """The lowest address of the range that no Elastic IP and no interface holds."""
    taken = {address.public_ip for address in backend.addresses}
    taken |= {interface.public_ip for interface in backend.enis.values()}
    for host in ipaddress.ip_network(plan.ELASTIC_IPS).hosts():
        if str(host) not in taken:
            return str(host)
    raise EC2ClientError(
        "InsufficientAddressCapacity", f"all of {plan.ELASTIC_IPS} is in use, release some"
    )


def check_auto_public_ip(_moto: Any, self: Any) -> None:
    """The address that MapPublicIpOnLaunch gives comes from the same range."""
    if str(self.public_ip_auto_assign).lower() == "true" and not self.public_ip:
        self.public_ip = next_free(self.ec2_backend)


def associate_address(
    moto: Any,
    self: Any,
    instance: Any = None,
    eni: Any = None,
    address: str | None = None,
    allocation_id: str | None = None,
    reassociate: bool = False,
) -> ElasticAddress:
    """Free what the address and the interface had before: an interface has one public address.

    API reference, AssociateAddress: an address that is in use elsewhere is moved, and an
    interface that has an address gets the new one.
    """
    found = (
        self.address_by_ip([address]) if address else self.address_by_allocation([allocation_id])
    )
    target = eni or instance.nics[0]
    if _gateway_of(self, target.subnet.vpc_id) is None:
        raise EC2ClientError(
            "Gateway.NotAttached",
            f"Network {target.subnet.vpc_id} is not attached to any internet gateway",
        )
    if found[0].eni not in (None, target):
        self.disassociate_address(address=found[0].public_ip)
    for other in self.addresses:
        if other.eni is target and other is not found[0]:
            self.disassociate_address(address=other.public_ip)
    return moto(self, instance, eni, address, allocation_id, reassociate)


def _gateway_of(backend: Any, vpc_id: str) -> Any:
    attached = (g for g in backend.internet_gateways.values() if g.vpc and g.vpc.id == vpc_id)
    return next(attached, None)


def release_address(
    moto: Any, self: Any, address: str | None = None, allocation_id: str | None = None
) -> None:
    """EC2 error codes: InvalidIPAddress.InUse, InvalidAddress.Locked (a reverse name is set)."""
    found = (
        self.address_by_ip([address]) if address else self.address_by_allocation([allocation_id])
    )
    elastic_ip = found[0]
    if elastic_ip.association_id:
        raise EC2ClientError(
            "InvalidIPAddress.InUse",
            f"Address {elastic_ip.public_ip} is in use by {elastic_ip.network_interface_id}.",
        )
    if pointer(elastic_ip):
        raise EC2ClientError(
            "InvalidAddress.Locked",
            f"Address {elastic_ip.public_ip} has the reverse name {pointer(elastic_ip)} and "
            "cannot be released before that is reset.",
        )
    moto(self, address=address, allocation_id=allocation_id)


def pointer(address: ElasticAddress) -> str | None:
    """The reverse name (PTR) with its final dot, None without one."""
    return getattr(address, "ptr_record", None)


def modify_address_attribute(self: Any, *, delegated: bool) -> ActionResult:
    """Set the reverse name; "Using reverse DNS for email applications", EC2 User Guide.

    AWS requires a forward record: an A record of that name which is the address, and which the
    Internet finds. Nobody does unless the registrar has `delegated` the account's zones.
    """
    address = _address_of(self)
    name = self._get_param("DomainName").rstrip(".").lower()
    found = dns.public_addresses(name, self.current_account) if delegated else []
    if address.public_ip not in found:
        raise EC2ClientError(
            "InvalidParameterValue",
            f"The domain name {name} does not resolve to {address.public_ip} from the Internet "
            f"(which finds {', '.join(found) or 'no A record'}): create its A record, in a zone "
            "that is delegated, first.",
        )
    address.ptr_record = f"{name}."
    return ActionResult({"Address": _attribute(address)})


def reset_address_attribute(_moto: Any, self: Any) -> ActionResult:
    address = _address_of(self)
    address.ptr_record = None
    return ActionResult({"Address": _attribute(address)})


def describe_addresses_attribute(_moto: Any, self: Any) -> ActionResult:
    found = self.ec2_backend.describe_addresses(self._get_param("AllocationIds", []))
    return ActionResult({"Addresses": [_attribute(address) for address in found]})


def _address_of(response: Any) -> Any:
    return response.ec2_backend.address_by_allocation([response._get_param("AllocationId")])[0]


def _attribute(address: Any) -> dict[str, str]:
    attribute = {"PublicIp": address.public_ip, "AllocationId": address.allocation_id}
    if pointer(address):
        attribute["PtrRecord"] = address.ptr_record
    return attribute


def corrections(faults: Path | None) -> tuple[tuple[type, str, Callable[..., Any]], ...]:
    """All of this module; the file `faults` tells whether zones are delegated (`lab.faults`)."""

    def modify(_moto: Any, self: Any) -> ActionResult:
        return modify_address_attribute(
            self, delegated=not (faults and read_faults(faults).undelegated)
        )

    return (*_CORRECTIONS, (EC2Response, "modify_address_attribute", modify))


_CORRECTIONS = (
    (ElasticAddressBackend, "allocate_address", allocate_address),
    (ElasticAddressBackend, "associate_address", associate_address),
    (ElasticAddressBackend, "release_address", release_address),
    (NetworkInterface, "check_auto_public_ip", check_auto_public_ip),
    (EC2Response, "reset_address_attribute", reset_address_attribute),
    (EC2Response, "describe_addresses_attribute", describe_addresses_attribute),
)
