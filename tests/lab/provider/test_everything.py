"""The life of every resource type: created, the same, drifted, changed, destroyed."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.engine.deploy import Result
from lab.provider.registry import RESOURCES

PROGRAM = Path(__file__).with_name("programs") / "everything.py"
ACLS = {"acl-tcp", "acl-icmp", "acl-all", "acl-subnet"}
ROUTES = {"to-transit", "transit-route"}
REPLACED = {"other", "replaced", "peering", "peered", "kept-address", "customer", *ACLS, *ROUTES}
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
