"""Every resource type of the provider; the test rewrites VERSION to change each of them."""

import json
from typing import Any

import everything_storage
import everything_transit
import pulumi
import pulumi_aws as aws

VERSION = 1
SECOND = VERSION == 2
WORD = "second" if SECOND else "first"

provider = aws.Provider(
    "aws", region="ap-northeast-1", default_tags={"tags": {"project": "gatepost"}}
)
options = pulumi.ResourceOptions(provider=provider)
TAGS = {"Name": WORD}

vpc = aws.ec2.Vpc(
    "vpc", cidr_block="10.1.0.0/16", enable_dns_hostnames=SECOND, tags=TAGS, opts=options
)
other_vpc = aws.ec2.Vpc(
    "other", cidr_block="10.3.0.0/16" if SECOND else "10.2.0.0/16", tags=TAGS, opts=options
)
default_group = aws.ec2.DefaultSecurityGroup("default", vpc_id=vpc.id, tags=TAGS, opts=options)
subnet = aws.ec2.Subnet(
    "subnet",
    vpc_id=vpc.id,
    cidr_block="10.1.1.0/24",
    availability_zone="ap-northeast-1a",
    map_public_ip_on_launch=SECOND,
    tags=TAGS,
    opts=options,
)
gateway = aws.ec2.InternetGateway("gateway", vpc_id=vpc.id, tags=TAGS, opts=options)
after_gateway = pulumi.ResourceOptions(provider=provider, depends_on=[gateway])

nat_eip = aws.ec2.Eip("nat", domain="vpc", tags=TAGS, opts=after_gateway)
nat = aws.ec2.NatGateway(
    "nat", subnet_id=subnet.id, allocation_id=nat_eip.id, tags=TAGS, opts=after_gateway
)
tables = [
    aws.ec2.RouteTable(f"table-{name}", vpc_id=vpc.id, tags=TAGS, opts=options)
    for name in ("one", "two")
]
association = aws.ec2.RouteTableAssociation(
    "association", subnet_id=subnet.id, route_table_id=tables[SECOND].id, opts=options
)
peering = aws.ec2.VpcPeeringConnection(
    "peering",
    vpc_id=vpc.id,
    peer_vpc_id=other_vpc.id,
    auto_accept=True,
    requester={"allow_remote_vpc_dns_resolution": True},
    tags=TAGS,
    opts=options,
)
outward = {"nat_gateway_id": nat.id} if SECOND else {"gateway_id": gateway.id}
outward_route = aws.ec2.Route(
    "outward",
    route_table_id=tables[0].id,
    destination_cidr_block="0.0.0.0/0",
    opts=options,
    **outward,
)
peered = aws.ec2.Route(
    "peered",
    route_table_id=tables[0].id,
    destination_cidr_block=other_vpc.cidr_block,
    vpc_peering_connection_id=peering.id,
    opts=options,
)
endpoint = aws.ec2.VpcEndpoint(
    "s3",
    vpc_id=vpc.id,
    service_name="com.amazonaws.ap-northeast-1.s3",
    route_table_ids=[table.id for table in (tables if SECOND else tables[:1])],
    policy=json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": "*", "Action": f"s3:{WORD}", "Resource": "*"}
            ],
        }
    ),
    tags=TAGS,
    opts=options,
)
acls = [
    aws.ec2.NetworkAcl(f"acl-{name}", vpc_id=vpc.id, tags=TAGS, opts=options)
    for name in ("one", "two")
]
# All inputs of a rule force its replacement, which has the number of the old one.
in_place = pulumi.ResourceOptions(provider=provider, delete_before_replace=True)
ACL_RULES: dict[str, dict[str, Any]] = {
    "tcp": {"from_port": 25, "to_port": 26 if SECOND else 25},
    "icmp": {"icmp_type": 3, "icmp_code": -1 if SECOND else 4},
    "all": {},
}
for number, (protocol, more) in enumerate(ACL_RULES.items(), start=1):
    aws.ec2.NetworkAclRule(
        f"acl-{protocol}",
        network_acl_id=acls[0].id,
        rule_number=100 * number,
        egress=protocol == "all",
        protocol=protocol,
        rule_action="deny" if SECOND and protocol == "all" else "allow",
        cidr_block="10.0.0.0/8",
        opts=in_place,
        **more,
    )
aws.ec2.NetworkAclAssociation(
    "acl-subnet", network_acl_id=acls[SECOND].id, subnet_id=subnet.id, opts=options
)

groups = [
    aws.ec2.SecurityGroup(
        name,
        name=name,
        vpc_id=vpc.id,
        description=f"{WORD} {name}" if name == "replaced" else name,
        tags=TAGS,
        opts=options,
    )
    for name in ("relay", "hub", "replaced")
]
relay, hub, _ = groups
PEERS: dict[str, dict[str, Any]] = {
    "block": {"cidr_ipv4": "10.8.0.0/16" if SECOND else "10.7.0.0/16"},
    "group": {"referenced_security_group_id": hub.id},
    "prefix": {"prefix_list_id": endpoint.prefix_list_id},
}
for name, peer in PEERS.items():
    aws.vpc.SecurityGroupIngressRule(
        f"in-{name}",
        security_group_id=relay.id,
        ip_protocol="tcp",
        from_port=25,
        to_port=26 if SECOND else 25,
        description=f"{WORD} {name}",
        tags=TAGS,
        opts=options,
        **peer,
    )
    aws.vpc.SecurityGroupEgressRule(
        f"out-{name}",
        security_group_id=relay.id,
        ip_protocol="-1",
        description=f"{WORD} {name}",
        tags=TAGS,
        opts=options,
        **peer,
    )

aws.ec2transitgateway.InstanceConnectEndpoint(
    "door",
    subnet_id=subnet.id,
    security_group_ids=[hub.id],
    preserve_client_ip=False,
    tags=TAGS,
    opts=options,
)
key = aws.ec2.KeyPair(
    "key",
    public_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIyXzGkBFbZyzUj5JGvrWEIZcqm7A8J9JGNo7G3mVlVe a",
    tags=TAGS,
    opts=options,
)
role = aws.iam.Role(
    "role",
    path="/mail/",
    description=WORD,
    assume_role_policy=json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    ),
    tags=TAGS,
    opts=options,
)
aws.iam.RolePolicy(
    "policy",
    role=role.name,
    policy=json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "ssm:GetParameter", "Resource": f"arn:aws:ssm:{WORD}"}
            ],
        }
    ),
    opts=options,
)
profile = aws.iam.InstanceProfile("profile", role=role.name, tags=TAGS, opts=options)

instance = aws.ec2.Instance(
    "relay",
    ami="ami-0123456789abcdef0",
    instance_type="t4g.micro" if SECOND else "t4g.nano",
    subnet_id=subnet.id,
    private_ip="10.1.1.10",
    vpc_security_group_ids=[relay.id, hub.id] if SECOND else [relay.id],
    iam_instance_profile=profile.name,
    key_name=key.key_name,
    user_data=f"#cloud-config\n# {WORD}\n",
    metadata_options={"http_tokens": "required", "http_put_response_hop_limit": 1 + SECOND},
    root_block_device={
        "volume_size": 9 if SECOND else 8,
        "volume_type": "gp3",
        "encrypted": True,
        "tags": TAGS,
    },
    credit_specification={"cpu_credits": "unlimited" if SECOND else "standard"},
    ebs_optimized=True,
    disable_api_termination=False,
    monitoring=SECOND,
    source_dest_check=not SECOND,
    instance_initiated_shutdown_behavior="stop",
    tags=TAGS,
    opts=options,
)
replaced = aws.ec2.Instance(
    "replaced",
    ami="ami-0123456789abcdef0",
    instance_type="t4g.nano",
    subnet_id=subnet.id,
    private_ip="10.1.1.11",
    user_data_base64="H4sIAAAAAAAC/0sCAA==" if SECOND else "H4sIAAAAAAAC/0tMAgA=",
    user_data_replace_on_change=True,
    tags=TAGS,
    opts=pulumi.ResourceOptions(provider=provider, delete_before_replace=True),
)
interface = aws.ec2.NetworkInterface(
    "interface",
    subnet_id=subnet.id,
    private_ips=["10.1.1.12"],
    security_groups=[relay.id, hub.id] if SECOND else [hub.id],
    description=WORD,
    source_dest_check=not SECOND,
    tags=TAGS,
    opts=options,
)
kept = aws.ec2.Instance(
    "kept-address",
    ami="ami-0123456789abcdef0",
    instance_type="t4g.nano",
    primary_network_interface={"network_interface_id": interface.id},
    user_data=WORD,
    user_data_replace_on_change=True,
    tags=TAGS,
    opts=pulumi.ResourceOptions(provider=provider, delete_before_replace=True),
)
disk_keys = [
    aws.kms.Key(
        f"key-{name}",
        description=WORD,
        enable_key_rotation=not SECOND,
        is_enabled=not (SECOND and name == "spare"),
        deletion_window_in_days=8 if SECOND else 7,
        policy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [
                    {
                        "Sid": WORD,
                        "Effect": "Allow",
                        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                        "Action": "kms:*",
                        "Resource": "*",
                    }
                ],
            }
        ),
        tags=TAGS,
        opts=options,
    )
    for name in ("disks", "spare")
]
aws.kms.Alias("alias", name="alias/disks", target_key_id=disk_keys[SECOND].key_id, opts=options)
volume = aws.ebs.Volume(
    "volume",
    availability_zone="ap-northeast-1a",
    size=20 if SECOND else 10,
    type="gp3",
    encrypted=True,
    kms_key_id=disk_keys[0].arn,
    tags=TAGS,
    opts=options,
)
aws.ec2.VolumeAttachment(
    "attachment",
    device_name="/dev/sdf",
    volume_id=volume.id,
    instance_id=instance.id,
    stop_instance_before_detaching=True,
    opts=options,
)
eip = aws.ec2.Eip("mx", domain="vpc", tags=TAGS, opts=after_gateway)
aws.ec2.EipAssociation("mx", allocation_id=eip.id, instance_id=instance.id, opts=after_gateway)

zone = aws.route53.Zone("zone", name="example.org", comment=WORD, tags=TAGS, opts=options)
private = aws.route53.Zone(
    "private",
    name="mail.internal",
    vpcs=[{"vpc_id": v.id} for v in ((vpc, other_vpc) if SECOND else (vpc,))],
    opts=options,
)
RECORDS = {
    ("mx", "A"): [eip.public_ip],
    ("example.org", "MX"): ["10 mx.example.org"],
    ("example.org", "TXT"): [f"v=spf1 -all {WORD}", 'k=1; p="part" ""rest'.replace('"', "")],
    ("www.example.org", "CNAME"): ["mx.example.org"],
    ("ca.example.org", "CAA"): ['0 issue "letsencrypt.org"'],
    ("six", "AAAA"): ["2001:db8::1"],
}
records = {
    (name, kind): aws.route53.Record(
        f"{name}-{kind}",
        zone_id=zone.zone_id,
        name=name,
        type=kind,
        ttl=300 if SECOND else 60,
        records=values,
        opts=options,
    )
    for (name, kind), values in RECORDS.items()
}
aws.ec2.EipDomainName(
    "pointer",
    allocation_id=eip.id,
    domain_name="mx.example.org",
    opts=pulumi.ResourceOptions(provider=provider, depends_on=[records["mx", "A"]]),
)

stored = everything_storage.declare(WORD, SECOND, options)
everything_transit.declare(WORD, SECOND, options, vpc, tables[1].id)
invoke = pulumi.InvokeOptions(provider=provider)
pulumi.export("account", aws.get_caller_identity(opts=invoke).account_id)
pulumi.export("region", aws.get_region(opts=invoke).region)
pulumi.export("address", eip.public_ip)
pulumi.export("etag", stored.etag)
pulumi.export("tags", vpc.tags_all)
S3_LIST = "com.amazonaws.ap-northeast-1.s3"
pulumi.export(
    "prefixes",
    {
        "plain": aws.ec2.get_prefix_list(name=S3_LIST, opts=invoke).cidr_blocks,
        "managed": [
            entry.cidr
            for entry in aws.ec2.get_managed_prefix_list(name=S3_LIST, opts=invoke).entries
        ],
    },
)
pulumi.export(
    "quota",
    aws.servicequotas.get_service_quota(
        service_code="vpc", quota_code="L-0EA8095F", opts=invoke
    ).value,
)
NAMED = {"Name": WORD}
pulumi.export(
    "found",
    pulumi.Output.all(
        vpc.id, instance.id, eip.id, peering.id, tables[0].id, outward_route.id, peered.id
    ).apply(
        lambda made: {
            "vpcs": made[0] in aws.ec2.get_vpcs(tags=NAMED, opts=invoke).ids,
            "peerings": made[3]
            in aws.ec2.get_vpc_peering_connections(
                tags=NAMED, filters=[{"name": "status-code", "values": ["active"]}], opts=invoke
            ).ids,
            "routes": sorted(
                (route.cidr_block, bool(route.gateway_id), bool(route.vpc_peering_connection_id))
                for route in aws.ec2.get_route_table(route_table_id=made[4], opts=invoke).routes
            ),
            "eips": made[2] in aws.ec2.get_eips(tags=NAMED, opts=invoke).allocation_ids,
            "addresses": sorted(
                aws.ec2.get_instances(
                    filters=[{"name": "vpc-id", "values": [made[0]]}],
                    instance_tags=NAMED,
                    opts=invoke,
                ).private_ips
            ),
        }
    ),
)
