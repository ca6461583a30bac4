"""Network ACLs as EC2 checks them, seen through boto3."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import pytest
from botocore.exceptions import ClientError

ENTRY = {
    "RuleNumber": 100,
    "Egress": False,
    "RuleAction": "allow",
    "Protocol": "6",
    "CidrBlock": "10.9.0.0/16",
    "PortRange": {"From": 25, "To": 25},
}


@contextlib.contextmanager
def refused(code: str) -> Generator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code


@pytest.fixture
def vpc(ec2: Any) -> str:
    return ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]


@pytest.fixture
def acl(ec2: Any, vpc: str) -> str:
    return ec2.create_network_acl(VpcId=vpc)["NetworkAcl"]["NetworkAclId"]


@pytest.fixture
def subnet(ec2: Any, vpc: str) -> str:
    return ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]


def described(ec2: Any, acl: str) -> dict[str, Any]:
    return ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"][0]


def entries(ec2: Any, acl: str) -> list[dict[str, Any]]:
    """Those of an ACL but its final ones."""
    return [entry for entry in described(ec2, acl)["Entries"] if entry["RuleNumber"] != 32767]


def association(ec2: Any, subnet: str) -> dict[str, str]:
    only = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (acl,) = ec2.describe_network_acls(Filters=only)["NetworkAcls"]
    return next(item for item in acl["Associations"] if item["SubnetId"] == subnet)


def default_acl(ec2: Any, vpc: str) -> str:
    only = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "default", "Values": ["true"]}]
    (acl,) = ec2.describe_network_acls(Filters=only)["NetworkAcls"]
    return acl["NetworkAclId"]


def test_a_new_acl_denies_and_the_default_one_lets_pass(ec2: Any, vpc: str, acl: str) -> None:
    for identifier, numbers in ((acl, [32767]), (default_acl(ec2, vpc), [100, 32767])):
        found = described(ec2, identifier)["Entries"]
        for egress in (True, False):
            assert [e["RuleNumber"] for e in found if e["Egress"] is egress] == numbers
        assert {e["RuleAction"] for e in found if e["RuleNumber"] == 32767} == {"deny"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"RuleNumber": 0}, "InvalidParameterValue"),
        ({"RuleNumber": 32767}, "NetworkAclEntryAlreadyExists"),
        ({"RuleNumber": 40000}, "InvalidParameterValue"),
        ({"RuleAction": "maybe"}, "InvalidParameterValue"),
        ({"Protocol": "tcp"}, "InvalidParameterValue"),
        ({"Protocol": "256"}, "InvalidParameterValue"),
        ({"CidrBlock": "10.9.0.0"}, None),
        ({"CidrBlock": "somewhere"}, "InvalidParameterValue"),
        ({"Ipv6CidrBlock": "::/0"}, "InvalidParameterValue"),
        ({"CidrBlock": None}, "InvalidParameterValue"),
        ({"PortRange": None}, "MissingParameter"),
        ({"PortRange": {"From": 26, "To": 25}}, "InvalidParameterValue"),
        ({"PortRange": {"From": 1, "To": 70000}}, "InvalidParameterValue"),
        ({"Protocol": "1"}, "MissingParameter"),
    ],
)
def test_entries_are_checked(ec2: Any, acl: str, change: dict[str, Any], code: str | None) -> None:
    entry = {name: value for name, value in (ENTRY | change).items() if value is not None}
    with refused(code) if code else contextlib.nullcontext():
        ec2.create_network_acl_entry(NetworkAclId=acl, **entry)
    assert len(entries(ec2, acl)) == (code is None)


def test_entries_are_kept_as_ec2_keeps_them(ec2: Any, acl: str) -> None:
    pings = {"Protocol": "1", "IcmpTypeCode": {"Type": 8, "Code": -1}, "RuleNumber": 110}
    every = {"Protocol": "-1", "RuleNumber": 120, "CidrBlock": "10.9.1.7/24"}
    for entry in (ENTRY, ENTRY | pings, ENTRY | every):
        ec2.create_network_acl_entry(NetworkAclId=acl, **entry)
    tcp, icmp, everything = sorted(entries(ec2, acl), key=lambda entry: entry["RuleNumber"])
    assert tcp["PortRange"] == {"From": 25, "To": 25}
    assert icmp["IcmpTypeCode"] == {"Type": 8, "Code": -1}
    assert "PortRange" not in icmp
    assert "PortRange" not in everything
    assert everything["CidrBlock"] == "10.9.1.0/24"


def test_a_number_is_taken_once_in_each_direction(ec2: Any, acl: str) -> None:
    ec2.create_network_acl_entry(NetworkAclId=acl, **ENTRY)
    ec2.create_network_acl_entry(NetworkAclId=acl, **ENTRY | {"Egress": True})
    with refused("NetworkAclEntryAlreadyExists"):
        ec2.create_network_acl_entry(NetworkAclId=acl, **ENTRY)
    ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=True)
    assert [entry["Egress"] for entry in entries(ec2, acl)] == [False]
    with refused("InvalidNetworkAclEntry.NotFound"):
        ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=True)
    with refused("InvalidParameterValue"):
        ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=32767, Egress=True)


def test_twenty_rules_for_each_direction_the_final_one_among_them(ec2: Any, acl: str) -> None:
    for number in range(1, 20):
        ec2.create_network_acl_entry(NetworkAclId=acl, **ENTRY | {"RuleNumber": number})
    with refused("NetworkAclEntryLimitExceeded"):
        ec2.create_network_acl_entry(NetworkAclId=acl, **ENTRY | {"RuleNumber": 20})
    ec2.create_network_acl_entry(NetworkAclId=acl, **ENTRY | {"Egress": True})


def test_an_association_gets_a_new_id_with_each_change(
    ec2: Any, vpc: str, acl: str, subnet: str
) -> None:
    first = association(ec2, subnet)
    assert first["NetworkAclId"] == default_acl(ec2, vpc)
    old = first["NetworkAclAssociationId"]
    new = ec2.replace_network_acl_association(AssociationId=old, NetworkAclId=acl)
    assert new["NewAssociationId"] != old
    assert association(ec2, subnet)["NetworkAclId"] == acl
    assert association(ec2, subnet)["NetworkAclAssociationId"] == new["NewAssociationId"]
    with refused("InvalidAssociationID.NotFound"):
        ec2.replace_network_acl_association(AssociationId=old, NetworkAclId=acl)


def test_an_acl_is_for_its_own_vpc(ec2: Any, subnet: str) -> None:
    other = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    foreign = ec2.create_network_acl(VpcId=other)["NetworkAcl"]["NetworkAclId"]
    current = association(ec2, subnet)["NetworkAclAssociationId"]
    with refused("InvalidParameterValue"):
        ec2.replace_network_acl_association(AssociationId=current, NetworkAclId=foreign)


def test_deletes(ec2: Any, vpc: str, acl: str, subnet: str) -> None:
    current = association(ec2, subnet)["NetworkAclAssociationId"]
    ec2.replace_network_acl_association(AssociationId=current, NetworkAclId=acl)
    with refused("DependencyViolation"):
        ec2.delete_network_acl(NetworkAclId=acl)
    with refused("InvalidParameterValue"):
        ec2.delete_network_acl(NetworkAclId=default_acl(ec2, vpc))
    ec2.delete_subnet(SubnetId=subnet)
    with refused("DependencyViolation"):
        ec2.delete_vpc(VpcId=vpc)
    ec2.delete_network_acl(NetworkAclId=acl)
    with refused("InvalidNetworkAclID.NotFound"):
        ec2.describe_network_acls(NetworkAclIds=[acl])
    default = default_acl(ec2, vpc)
    ec2.delete_vpc(VpcId=vpc)
    with refused("InvalidNetworkAclID.NotFound"):
        ec2.describe_network_acls(NetworkAclIds=[default])


def test_a_subnet_is_nobodys_default(ec2: Any, vpc: str) -> None:
    zone = {"AvailabilityZone": "ap-northeast-1d"}
    made = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.2.0/24", **zone)["Subnet"]
    found = ec2.describe_subnets(SubnetIds=[made["SubnetId"]])["Subnets"][0]
    assert (found["DefaultForAz"], found["MapPublicIpOnLaunch"]) == (False, False)
