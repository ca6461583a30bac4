"""The life of every resource type: created, the same, drifted, changed, destroyed."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.engine.deploy import EngineError, Result
from lab.provider.registry import RESOURCES

PROGRAM = Path(__file__).with_name("programs") / "everything.py"
ACLS = {"acl-tcp", "acl-icmp", "acl-all", "acl-subnet"}
ROUTES = {"to-transit", "transit-route"}
REPLACED = {"other", "replaced", "peering", "peered", "kept-address", *ACLS, *ROUTES}
"""Names whose second version forces a replacement; the others are updated in place."""
SIGNING = {
    "aws:route53/keySigningKey:KeySigningKey",
    "aws:route53/hostedZoneDnsSec:HostedZoneDnsSec",
}
"""Types of us-east-1 only; test_zones.py has their life."""
UNCHANGED = {"attachment", "mx", "pointer", "aws", "gatepost-dev"}


def touched(result: Result, *operations: str) -> set[str]:
    return {urn.rpartition("::")[2] for operation, urn in result.changes if operation in operations}


def types(result: Result) -> set[str]:
    return {urn.split("::")[-2] for _, urn in result.changes}


def leftovers(client: Callable[[str], Any]) -> list[Any]:
    """What the account still holds."""
    ec2, s3, ssm = client("ec2"), client("s3"), client("ssm")
    instances = [
        instance
        for reservation in ec2.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    ]
    return [
        *ec2.describe_vpcs()["Vpcs"],
        *ec2.describe_addresses()["Addresses"],
        *ec2.describe_network_interfaces()["NetworkInterfaces"],
        *ec2.describe_internet_gateways()["InternetGateways"],
        *ec2.describe_security_groups()["SecurityGroups"],
        *ec2.describe_network_acls()["NetworkAcls"],
        *ec2.describe_volumes()["Volumes"],
        *ec2.describe_key_pairs()["KeyPairs"],
        *ec2.describe_instance_connect_endpoints()["InstanceConnectEndpoints"],
        *ec2.describe_transit_gateways()["TransitGateways"],
        *ec2.describe_transit_gateway_attachments()["TransitGatewayAttachments"],
        *[g for g in ec2.describe_customer_gateways()["CustomerGateways"] if alive(g)],
        *[v for v in ec2.describe_vpn_connections()["VpnConnections"] if alive(v)],
        *instances,
        *own_keys(client("kms")),
        *client("iam").list_roles()["Roles"],
        *client("iam").list_policies(Scope="Local")["Policies"],
        *client("iam").list_instance_profiles()["InstanceProfiles"],
        *client("route53").list_hosted_zones()["HostedZones"],
        *s3.list_buckets()["Buckets"],
        *ssm.describe_parameters()["Parameters"],
    ]


def alive(item: dict[str, Any]) -> bool:
    return item["State"] != "deleted"


def own_keys(kms: Any) -> list[Any]:
    """The account's keys and aliases but those of AWS itself, and those about to be deleted."""
    keys = [kms.describe_key(KeyId=k["KeyId"])["KeyMetadata"] for k in kms.list_keys()["Keys"]]
    lasting = [k for k in keys if k["KeyState"] != "PendingDeletion"]
    aliases = kms.list_aliases()["Aliases"]
    managed = [a for a in aliases if a["AliasName"].startswith("alias/aws/")]
    ids = {alias["TargetKeyId"] for alias in managed}
    return [k for k in lasting if k["KeyId"] not in ids] + [a for a in aliases if a not in managed]


def test_every_type_lives_its_whole_life(project: Any, client: Callable[[str], Any]) -> None:
    text = PROGRAM.read_text()
    project.write_file("__main__.py", text)
    for module in ("everything_storage.py", "everything_transit.py"):
        project.write_file(module, PROGRAM.with_name(module).read_text())

    preview = project.engine.preview("dev")
    assert not leftovers(client)
    created = project.engine.up("dev")
    assert created.created == preview.created == len(created.changes)
    assert types(created) >= set(RESOURCES) - SIGNING
    assert created.outputs["account"] == "123456789012"
    assert created.outputs["tags"] == {"Name": "first", "project": "gatepost"}
    assert created.outputs["prefixes"] == {
        "plain": ["203.0.113.128/25"],
        "managed": ["203.0.113.128/25"],
    }
    assert created.outputs["quota"] == 60
    everyone = ["10.1.1.10", "10.1.1.11", "10.1.1.12"]
    assert created.outputs["found"] == {
        "vpcs": True,
        "eips": True,
        "addresses": everyone,
        "peerings": True,
        "routes": [["0.0.0.0/0", True, False], ["10.2.0.0/16", False, True]],
    }
    assert created.outputs["attached"] == 1
    assert set(created.outputs["transit"]) >= {"10.1.0.0/16"}
    assert len(created.outputs["key"]) == 32
    assert created.outputs["key"] not in state_of(project)
    check_instance(client, word="first", address=created.outputs["address"])
    check_records(client, word="first")
    check_acl(client, subnets=1, rules={"6": "25-25", "1": "3/4", "-1": "allow"})

    again = project.engine.up("dev")
    assert (again.same, again.changes) == (created.created, ())
    refreshed = project.engine.up("dev", refresh=True)
    assert (refreshed.same, refreshed.changes) == (created.created, ())

    project.write_file("__main__.py", text.replace("VERSION = 1", "VERSION = 2"))
    changed = project.engine.up("dev")
    assert touched(changed, "replace") == REPLACED
    unchanged = touched(created, "create") - touched(changed, "update", "replace")
    assert unchanged <= UNCHANGED
    check_instance(client, word="second", address=created.outputs["address"])
    check_records(client, word="second")
    check_acl(client, subnets=0, rules={"6": "25-26", "1": "3/-1", "-1": "deny"})
    assert project.engine.up("dev", refresh=True).changes == ()

    destroyed = project.engine.destroy("dev")
    assert destroyed.deleted == created.created
    assert leftovers(client) == []


def state_of(project: Any) -> str:
    """What Pulumi keeps of the stack, secrets encrypted."""
    [file] = (project.state / "pulumi" / ".pulumi" / "stacks").rglob("dev.json")
    return file.read_text()


def check_instance(client: Callable[[str], Any], word: str, address: str) -> None:
    ec2 = client("ec2")
    running = [
        {"Name": "private-ip-address", "Values": ["10.1.1.10"]},
        {"Name": "instance-state-name", "Values": ["running"]},
    ]
    [reservation] = ec2.describe_instances(Filters=running)["Reservations"]
    instance = reservation["Instances"][0]
    assert instance["PublicIpAddress"] == address
    assert instance["InstanceType"] == {"first": "t4g.nano", "second": "t4g.micro"}[word]
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert instance["MetadataOptions"]["HttpPutResponseHopLimit"] == 1 + (word == "second")
    groups = [g["GroupName"] for g in instance["NetworkInterfaces"][0]["Groups"]]
    assert sorted(groups) == {"first": ["relay"], "second": ["hub", "relay"]}[word]
    assert instance["NetworkInterfaces"][0]["SourceDestCheck"] is (word == "first")
    assert {t["Key"]: t["Value"] for t in instance["Tags"]} == {
        "Name": word,
        "project": "gatepost",
    }
    pointers = ec2.describe_addresses_attribute(Attribute="domain-name")["Addresses"]
    assert {a["PublicIp"]: a.get("PtrRecord") for a in pointers}[address] == "mx.example.org."
    rules = ec2.describe_security_group_rules()["SecurityGroupRules"]
    described = Counter(rule.get("Description") for rule in rules)
    assert all(described[f"{word} {peer}"] == 2 for peer in ("block", "group", "prefix"))


def check_records(client: Callable[[str], Any], word: str) -> None:
    route53 = client("route53")
    zones = {z["Name"]: z["Id"] for z in route53.list_hosted_zones()["HostedZones"]}
    records = {
        (r["Name"], r["Type"]): [v["Value"] for v in r["ResourceRecords"]]
        for r in route53.list_resource_record_sets(HostedZoneId=zones["example.org."])[
            "ResourceRecordSets"
        ]
    }
    assert f'"v=spf1 -all {word}"' in records["example.org.", "TXT"]
    assert records["example.org.", "MX"] == ["10 mx.example.org"]
    private = route53.get_hosted_zone(Id=zones["mail.internal."])
    assert len(private["VPCs"]) == {"first": 1, "second": 2}[word]


def check_acl(client: Callable[[str], Any], subnets: int, rules: dict[str, str]) -> None:
    """The first ACL's number of subnets, and what its rules say by protocol."""
    ec2 = client("ec2")
    acls = ec2.describe_network_acls()["NetworkAcls"]
    (acl,) = [acl for acl in acls if any(e["RuleNumber"] == 300 for e in acl["Entries"])]
    assert len(acl["Associations"]) == subnets
    found = {}
    for entry in acl["Entries"]:
        ports, icmp = entry.get("PortRange"), entry.get("IcmpTypeCode")
        if entry["RuleNumber"] == 32767:
            continue
        assert entry["Egress"] is (entry["RuleNumber"] == 300)
        found[entry["Protocol"]] = (
            f"{ports['From']}-{ports['To']}"
            if ports
            else f"{icmp['Type']}/{icmp['Code']}"
            if icmp
            else entry["RuleAction"]
        )
    assert found == rules
    associated = [a["SubnetId"] for acl in acls for a in acl["Associations"]]
    assert sorted(associated) == sorted(s["SubnetId"] for s in ec2.describe_subnets()["Subnets"])


DRIFTING = """
vpc = aws.ec2.Vpc("vpc", cidr_block="10.20.0.0/16", tags={"Name": "v"}, opts=options)
group = aws.ec2.SecurityGroup("group", name="g", description="g", vpc_id=vpc.id, opts=options)
for port in (25, 587):
    aws.vpc.SecurityGroupIngressRule(
        f"port-{port}", security_group_id=group.id, ip_protocol="tcp", from_port=port,
        to_port=port, cidr_ipv4="10.0.0.0/8", opts=options,
    )
zone = aws.route53.Zone("zone", name="drift.test", opts=options)
aws.route53.Record(
    "a", zone_id=zone.zone_id, name="a", type="A", ttl=60, records=["192.0.2.1"], opts=options
)
pulumi.export("vpc", vpc.id)
pulumi.export("group", group.id)
"""


def test_drift_is_seen_and_mended(project: Any, client: Callable[[str], Any]) -> None:
    project.program(DRIFTING)
    outputs = project.engine.up("dev").outputs
    ec2 = client("ec2")
    vpc_id, group_id = outputs["vpc"], outputs["group"]
    of_group = [{"Name": "group-id", "Values": [group_id]}]
    rules = ec2.describe_security_group_rules(Filters=of_group)["SecurityGroupRules"]
    gone = next(r["SecurityGroupRuleId"] for r in rules if r["FromPort"] == 587)
    ec2.revoke_security_group_ingress(GroupId=group_id, SecurityGroupRuleIds=[gone])
    ec2.create_tags(Resources=[vpc_id], Tags=[{"Key": "Name", "Value": "stranger"}])
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsSupport={"Value": False})

    assert project.engine.up("dev").changes == (), "without a refresh nobody looks"
    mended = project.engine.up("dev", refresh=True)
    assert touched(mended, "create") == {"port-587"}
    assert touched(mended, "update") == {"vpc"}
    [vpc] = ec2.describe_vpcs(VpcIds=[vpc_id])["Vpcs"]
    assert {"Key": "Name", "Value": "v"} in vpc["Tags"]
    support = ec2.describe_vpc_attribute(VpcId=vpc_id, Attribute="enableDnsSupport")
    assert support["EnableDnsSupport"]["Value"] is True
    assert project.engine.up("dev", refresh=True).changes == ()


SECRET = """
secret = aws.ssm.Parameter(
    "secret", name="/s", type="SecureString", value=pulumi.Output.secret("hunter2"), opts=options
)
pulumi.export("value", secret.value)
"""


def test_secrets_are_encrypted_in_the_state(project: Any, client: Callable[[str], Any]) -> None:
    project.program(SECRET)
    assert project.engine.up("dev").outputs["value"] == "hunter2"
    parameter = client("ssm").get_parameter(Name="/s", WithDecryption=True)["Parameter"]
    assert (parameter["Type"], parameter["Value"]) == ("SecureString", "hunter2")
    project.engine.up("dev", refresh=True)
    files = [file for file in project.state.rglob("*") if file.is_file()]
    texts = [read(file) for file in files if "project" not in file.relative_to(project.state).parts]
    assert not [text for text in texts if b"hunter2" in text]
    assert "hunter2" not in "\n".join(project.lines)


def read(file: Path) -> bytes:
    content = file.read_bytes()
    return gzip.decompress(content) if file.suffix == ".gz" else content


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
