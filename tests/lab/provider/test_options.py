"""What the engine promises with this provider: resource options, replacements, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lab.engine.deploy import EngineError
from tests.lab.provider.test_everything import touched

OPTIONS = """
first = {first}
vpc = aws.ec2.Vpc("vpc", cidr_block="10.30.0.0/16", opts=options)
merged = pulumi.ResourceOptions.merge
groups = [
    aws.ec2.SecurityGroup(
        "named", name="fixed", vpc_id=vpc.id, description="one" if first else "two", opts=options
    ),
    aws.ec2.SecurityGroup(
        "free", vpc_id=vpc.id, description="one" if first else "two", opts=options
    ),
]
if first:
    aws.ssm.Parameter(
        "kept", name="/kept", type="String", insecure_value="x",
        opts=merged(options, pulumi.ResourceOptions(retain_on_delete=True)),
    )
aws.ssm.Parameter(
    "ignored", name="/ignored", type="String", insecure_value="x" if first else "y",
    opts=merged(options, pulumi.ResourceOptions(ignore_changes=["insecureValue"])),
)
"""


def test_resource_options_are_the_engines(project: Any, client: Callable[[str], Any]) -> None:
    ssm = client("ssm")
    project.program(OPTIONS.format(first=True))
    project.engine.up("dev")
    project.program(OPTIONS.format(first=False))
    result = project.engine.up("dev")
    order = [
        (operation, urn.rpartition("::")[2])
        for operation, urn in result.changes
        if operation in ("create-replacement", "delete-replaced")
    ]
    # A chosen name exists until the old group is gone; a generated one is made beforehand.
    named = [operation for operation, name in order if name == "named"]
    free = [operation for operation, name in order if name == "free"]
    assert named == ["delete-replaced", "create-replacement"]
    assert free == ["create-replacement", "delete-replaced"]
    assert touched(result, "update") == set()
    assert ssm.get_parameter(Name="/kept")["Parameter"]["Value"] == "x"
    assert ssm.get_parameter(Name="/ignored")["Parameter"]["Value"] == "x"
    ssm.delete_parameter(Name="/kept")


def test_a_protected_resource_is_not_deleted(project: Any, client: Callable[[str], Any]) -> None:
    guarded = """
aws.ssm.Parameter(
    "guarded", name="/guarded", type="String", insecure_value="x",
    opts=pulumi.ResourceOptions.merge(options, pulumi.ResourceOptions(protect=PROTECT)),
)
"""
    project.program(guarded.replace("PROTECT", "True"))
    project.engine.up("dev")
    with pytest.raises(EngineError, match="protect"):
        project.engine.destroy("dev")
    assert client("ssm").get_parameter(Name="/guarded")["Parameter"]["Value"] == "x"
    project.program(guarded.replace("PROTECT", "False"))
    project.engine.up("dev")


ACL = """
vpc = aws.ec2.Vpc("vpc", cidr_block="10.60.0.0/16", opts=options)
subnet = aws.ec2.Subnet("subnet", vpc_id=vpc.id, cidr_block="10.60.1.0/24", opts=options)
acl = aws.ec2.NetworkAcl("acl", vpc_id=vpc.id, opts=options)
aws.ec2.NetworkAclRule(
    "mail", network_acl_id=acl.id, rule_number=100, protocol="tcp", rule_action="allow",
    cidr_block="0.0.0.0/0", from_port=25, to_port=PORT, opts=options,
)
association = aws.ec2.NetworkAclAssociation(
    "association", network_acl_id=acl.id, subnet_id=subnet.id, opts=options
)
pulumi.export("acl", acl.id)
pulumi.export("association", association.id)
"""


def test_a_rule_of_an_acl_meets_the_one_that_it_replaces(
    project: Any, client: Callable[[str], Any]
) -> None:
    project.program(ACL.replace("PORT", "25"))
    outputs = project.engine.up("dev").outputs
    # Only delete_before_replace makes room for a new rule of the same number.
    project.program(ACL.replace("PORT", "26"))
    with pytest.raises(EngineError, match=r"rule 100 already: .* delete_before_replace"):
        project.engine.up("dev")
    # An association that was replaced by hand is another one, and is made again.
    project.program(ACL.replace("PORT", "25"))
    ec2, acl = client("ec2"), outputs["acl"]
    ec2.replace_network_acl_association(AssociationId=outputs["association"], NetworkAclId=acl)
    ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=100, Egress=False)
    mended = project.engine.up("dev", refresh=True)
    assert touched(mended, "create") == {"mail", "association"}
    assert mended.outputs["association"] != outputs["association"]
    project.program("")
    project.engine.up("dev")
    assert ec2.describe_network_acls()["NetworkAcls"] == []


def test_half_a_resource_is_taken_back(project: Any, client: Callable[[str], Any]) -> None:
    project.program(
        """
one = aws.ec2.Vpc("one", cidr_block="10.40.0.0/16", opts=options)
two = aws.ec2.Vpc("two", cidr_block="10.40.0.0/20", opts=options)
aws.ec2.VpcPeeringConnection(
    "peering", vpc_id=one.id, peer_vpc_id=two.id, auto_accept=True, opts=options
)
"""
    )
    with pytest.raises(EngineError, match=r"overlapping CIDR range.*10\.40\.0\.0/20"):
        project.engine.up("dev")
    found = client("ec2").describe_vpc_peering_connections()["VpcPeeringConnections"]
    assert [p for p in found if p["Status"]["Code"] not in ("deleted", "failed")] == []


def test_what_is_not_supported_fails_in_the_preview(project: Any) -> None:
    project.program(
        """
vpc = aws.ec2.Vpc("vpc", cidr_block="10.50.0.0/16", ipv4_ipam_pool_id="x", opts=options)
"""
    )
    with pytest.raises(EngineError) as caught:
        project.engine.preview("dev")
    assert "aws:ec2/vpc:Vpc vpc" in str(caught.value)
    assert "does not support the property ipv4IpamPoolId" in str(caught.value)
    assert "Traceback" not in str(caught.value)
