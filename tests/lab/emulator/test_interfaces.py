"""Network interfaces that outlive their instances: what EC2 refuses of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.emulator.steps import IMAGE, launch, make_group, make_subnet, make_vpc, refused

ADDRESS = "10.9.1.10"


def make_interface(ec2: Any, subnet: str, **more: Any) -> dict[str, Any]:
    return ec2.create_network_interface(SubnetId=subnet, **more)["NetworkInterface"]


def launch_on(ec2: Any, interface: str) -> str:
    given = {"DeviceIndex": 0, "NetworkInterfaceId": interface, "DeleteOnTermination": False}
    made = ec2.run_instances(
        ImageId=IMAGE,
        InstanceType="t4g.nano",
        MinCount=1,
        MaxCount=1,
        NetworkInterfaces=[given],
    )
    return made["Instances"][0]["InstanceId"]


def test_an_interface_has_one_instance_at_a_time(ec2: Any) -> None:
    subnet = make_subnet(ec2, make_vpc(ec2))
    interface = make_interface(ec2, subnet, PrivateIpAddress=ADDRESS)["NetworkInterfaceId"]
    first = launch_on(ec2, interface)
    with refused("InvalidNetworkInterface.InUse"):
        launch_on(ec2, interface)
    with refused("InvalidParameterValue"):
        ec2.delete_network_interface(NetworkInterfaceId=interface)
    ec2.stop_instances(InstanceIds=[first])
    with refused("InvalidNetworkInterface.InUse"):
        launch_on(ec2, interface)
    ec2.terminate_instances(InstanceIds=[first])
    second = launch_on(ec2, interface)
    found = ec2.describe_instances(InstanceIds=[second])["Reservations"][0]["Instances"][0]
    assert found["PrivateIpAddress"] == ADDRESS
    ec2.terminate_instances(InstanceIds=[second])
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    ec2.delete_subnet(SubnetId=subnet)


def test_an_address_has_one_interface_at_a_time(ec2: Any) -> None:
    subnet = make_subnet(ec2, make_vpc(ec2))
    interface = make_interface(ec2, subnet, PrivateIpAddress=ADDRESS)["NetworkInterfaceId"]
    with refused("InvalidIPAddress.InUse"):
        make_interface(ec2, subnet, PrivateIpAddress=ADDRESS)
    with refused("InvalidIPAddress.InUse"):
        launch(ec2, subnet, PrivateIpAddress=ADDRESS)
    ec2.delete_network_interface(NetworkInterfaceId=interface)
    again = make_interface(ec2, subnet, PrivateIpAddress=ADDRESS)["NetworkInterfaceId"]
    ec2.delete_network_interface(NetworkInterfaceId=again)
    instance = launch(ec2, subnet, PrivateIpAddress=ADDRESS)["InstanceId"]
    with refused("InvalidIPAddress.InUse"):
        make_interface(ec2, subnet, PrivateIpAddress=ADDRESS)
    ec2.terminate_instances(InstanceIds=[instance])
    make_interface(ec2, subnet, PrivateIpAddress=ADDRESS)


@pytest.mark.parametrize("address", ["10.9.2.10", "10.9.1.3", "10.9.1.255"])
def test_an_address_is_of_the_subnet_and_not_reserved(ec2: Any, address: str) -> None:
    subnet = make_subnet(ec2, make_vpc(ec2))
    with refused("InvalidParameterValue"):
        make_interface(ec2, subnet, PrivateIpAddress=address)


def test_addresses_that_nobody_asks_for_are_free_ones(ec2: Any) -> None:
    subnet = make_subnet(ec2, make_vpc(ec2), "10.9.1.0/28")
    made = [make_interface(ec2, subnet)["PrivateIpAddress"] for _ in range(11)]
    assert sorted(made) == sorted(f"10.9.1.{last}" for last in range(4, 15))


def test_groups_are_of_the_vpc(ec2: Any) -> None:
    vpc = make_vpc(ec2)
    subnet, own = make_subnet(ec2, vpc), make_group(ec2, vpc)
    stranger = make_group(ec2, make_vpc(ec2, "10.8.0.0/16"))
    for groups in ([own, stranger], ["sg-0123456789abcdef0"]):
        with refused("InvalidGroup.NotFound"):
            make_interface(ec2, subnet, Groups=groups)
    interface = make_interface(ec2, subnet, Groups=[own])
    assert [group["GroupId"] for group in interface["Groups"]] == [own]
    for groups in ([stranger], ["sg-0123456789abcdef0"]):
        with refused("InvalidGroup.NotFound"):
            ec2.modify_network_interface_attribute(
                NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=groups
            )


def test_groups_of_an_interface_to_be_made_are_of_the_vpc(ec2: Any) -> None:
    subnet = make_subnet(ec2, make_vpc(ec2))
    stranger = make_group(ec2, make_vpc(ec2, "10.8.0.0/16"))
    for group, code in (
        (stranger, "InvalidParameter"),
        ("sg-0123456789abcdef0", "InvalidGroup.NotFound"),
    ):
        with refused(code):
            ec2.run_instances(
                ImageId=IMAGE,
                InstanceType="t4g.nano",
                MinCount=1,
                MaxCount=1,
                NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet, "Groups": [group]}],
            )
