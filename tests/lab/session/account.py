"""What an emulated account holds, asked of AWS's own APIs."""

from __future__ import annotations

from tests.lab.session.bench import Bench


def left(bench: Bench) -> dict[str, list[str]]:
    """What an account still has, by kind; a key that is to be deleted is gone but for the wait."""
    ec2, kms, iam = bench.client("ec2"), bench.client("kms"), bench.client("iam")
    reservations = ec2.describe_instances()["Reservations"]
    instances = [item for found in reservations for item in found["Instances"]]
    aliases = {item["TargetKeyId"]: item["AliasName"] for item in kms.list_aliases()["Aliases"]}
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    # AWS's own key for volumes (the machines' root volumes) is the account's, and stays.
    keys = [key for key in keys if aliases.get(key["KeyId"]) != "alias/aws/ebs"]
    route53, s3, ssm = bench.client("route53"), bench.client("s3"), bench.client("ssm")
    nats = ec2.describe_nat_gateways()["NatGateways"]
    found = {
        "vpcs": [item["VpcId"] for item in ec2.describe_vpcs()["Vpcs"]],
        "subnets": [item["SubnetId"] for item in ec2.describe_subnets()["Subnets"]],
        "groups": [item["GroupId"] for item in ec2.describe_security_groups()["SecurityGroups"]],
        "acls": [item["NetworkAclId"] for item in ec2.describe_network_acls()["NetworkAcls"]],
        "instances": [i["InstanceId"] for i in instances if i["State"]["Name"] != "terminated"],
        "volumes": [item["VolumeId"] for item in ec2.describe_volumes()["Volumes"]],
        "addresses": [item["PublicIp"] for item in ec2.describe_addresses()["Addresses"]],
        "nats": [item["NatGatewayId"] for item in nats if item["State"] != "deleted"],
        "key pairs": [item["KeyName"] for item in ec2.describe_key_pairs()["KeyPairs"]],
        "zones": [item["Name"] for item in route53.list_hosted_zones()["HostedZones"]],
        "buckets": [item["Name"] for item in s3.list_buckets()["Buckets"]],
        "parameters": [item["Name"] for item in ssm.describe_parameters()["Parameters"]],
        "roles": [item["RoleName"] for item in iam.list_roles()["Roles"]],
        "keys": [key["KeyId"] for key in keys if key["KeyState"] != "PendingDeletion"],
    }
    return {kind: names for kind, names in found.items() if names}
