"""Security groups, one resource for each rule, and key pairs.

Registry pages: aws/ec2/{securitygroup,defaultsecuritygroup,keypair},
aws/vpc/{securitygroupingressrule,securitygroupegressrule}.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, ProviderError, retag, specification, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS
from lab.provider.values import Values

INLINE = "inline rules delete what others add: use one aws.vpc.SecurityGroup{}Rule for each rule"


def _create_group(aws: Aws, new: Values) -> str:
    more = {"VpcId": new["vpcId"]} if "vpcId" in new else {}
    made = aws.ec2.create_security_group(
        GroupName=new["name"],
        Description=new["description"],
        TagSpecifications=specification("security-group", new.get("tags")),
        **more,
    )
    return made["GroupId"]


def _group(aws: Aws, identifier: str) -> dict[str, Any]:
    return aws.ec2.describe_security_groups(GroupIds=[identifier])["SecurityGroups"][0]


def _rules(aws: Aws, identifier: str, egress: bool) -> list[str]:
    only = [{"Name": "group-id", "Values": [identifier]}]
    found = aws.ec2.describe_security_group_rules(Filters=only)["SecurityGroupRules"]
    return [rule["SecurityGroupRuleId"] for rule in found if rule["IsEgress"] is egress]


def _revoke(aws: Aws, identifier: str, *, ingress: bool = True) -> None:
    if ingress and (rules := _rules(aws, identifier, egress=False)):
        aws.ec2.revoke_security_group_ingress(GroupId=identifier, SecurityGroupRuleIds=rules)
    if rules := _rules(aws, identifier, egress=True):
        aws.ec2.revoke_security_group_egress(GroupId=identifier, SecurityGroupRuleIds=rules)


def _settle_group(aws: Aws, identifier: str, _new: Values) -> None:
    # Registry, SecurityGroup: AWS's default rule that allows all egress is removed.
    _revoke(aws, identifier, ingress=False)


def _read_group(aws: Aws, identifier: str, _state: Values) -> Values | None:
    group = _group(aws, identifier)
    return {
        "arn": aws.arn("ec2", f"security-group/{identifier}"),
        "description": group["Description"],
        "name": group["GroupName"],
        "ownerId": group["OwnerId"],
        "tags": tag_map(group.get("Tags")),
        "vpcId": group.get("VpcId"),
    }


def _delete_group(aws: Aws, identifier: str, state: Values) -> None:
    if state.get("revokeRulesOnDelete"):
        _revoke(aws, identifier)
    aws.ec2.delete_security_group(GroupId=identifier)


SECURITY_GROUP = Resource(
    token="aws:ec2/securityGroup:SecurityGroup",
    named="name",
    inputs={
        "description": Property(
            default="Managed by Pulumi", replaces=True, check=checks.group_text
        ),
        "egress": Property(refused=INLINE.format("Egress")),
        "ingress": Property(refused=INLINE.format("Ingress")),
        "name": Property(computed=True, replaces=True, check=checks.group_name),
        "revokeRulesOnDelete": Property(default=False),
        "tags": TAGS,
        "vpcId": Property(computed=True, replaces=True),
    },
    outputs=("arn", "ownerId"),
    create=_create_group,
    settle=_settle_group,
    read=_read_group,
    update=lambda aws, identifier, old, new, _changed: retag(aws, identifier, old, new),
    delete=_delete_group,
)


def _adopt_default_group(aws: Aws, new: Values) -> str:
    of_vpc = [
        {"Name": "vpc-id", "Values": [new["vpcId"]]},
        {"Name": "group-name", "Values": ["default"]},
    ]
    found = aws.ec2.describe_security_groups(Filters=of_vpc)["SecurityGroups"]
    if not found:
        raise ProviderError(f"{new['vpcId']} has no default security group")
    return found[0]["GroupId"]


def _settle_default_group(aws: Aws, identifier: str, new: Values) -> None:
    _revoke(aws, identifier)
    retag(aws, identifier, {}, new)


def _read_default_group(aws: Aws, identifier: str, state: Values) -> Values | None:
    rules = {
        "ingress": _rules(aws, identifier, egress=False),
        "egress": _rules(aws, identifier, egress=True),
    }
    return {**(_read_group(aws, identifier, state) or {}), **rules}


def _update_default_group(
    aws: Aws, identifier: str, old: Values, new: Values, _changed: set[str]
) -> None:
    _revoke(aws, identifier)
    retag(aws, identifier, old, new)


def _no_rules(value: Any) -> str | None:
    return "the lab supports a default group without rules only" if value else None


DEFAULT_SECURITY_GROUP = Resource(
    token="aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    inputs={
        "egress": Property(check=_no_rules),
        "ingress": Property(check=_no_rules),
        "revokeRulesOnDelete": Property(default=False),
        "tags": TAGS,
        "vpcId": Property(required=True, replaces=True),
    },
    outputs=("arn", "description", "name", "ownerId"),
    create=_adopt_default_group,
    settle=_settle_default_group,
    read=_read_default_group,
    update=_update_default_group,
    # Registry, DefaultSecurityGroup: it cannot be deleted; the resource only leaves the state.
    delete=lambda _aws, _identifier, _state: None,
)

PEERS = {
    "cidrIpv4": "CidrIpv4",
    "cidrIpv6": "CidrIpv6",
    "prefixListId": "PrefixListId",
    "referencedSecurityGroupId": "ReferencedGroupId",
}
PROTOCOL_NUMBERS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "all": "-1"}


def _protocol(value: Any) -> str:
    text = str(value).lower()
    return PROTOCOL_NUMBERS.get(text, text)


def _permission(new: Values) -> dict[str, Any]:
    """The IpPermission of one rule (AuthorizeSecurityGroupIngress and …Egress)."""
    description = {"Description": new["description"]} if new.get("description") else {}
    permission: dict[str, Any] = {"IpProtocol": _protocol(new["ipProtocol"]), **_ports(new)}
    if "cidrIpv4" in new:
        permission["IpRanges"] = [{"CidrIp": new["cidrIpv4"], **description}]
    elif "cidrIpv6" in new:
        permission["Ipv6Ranges"] = [{"CidrIpv6": new["cidrIpv6"], **description}]
    elif "prefixListId" in new:
        permission["PrefixListIds"] = [{"PrefixListId": new["prefixListId"], **description}]
    else:
        pair = {"GroupId": new["referencedSecurityGroupId"], **description}
        permission["UserIdGroupPairs"] = [pair]
    return permission


def _ports(new: Values) -> dict[str, int]:
    ports = (("fromPort", "FromPort"), ("toPort", "ToPort"))
    return {parameter: new[name] for name, parameter in ports if name in new}


def _read_rule(aws: Aws, identifier: str, _state: Values) -> Values | None:
    found = aws.ec2.describe_security_group_rules(SecurityGroupRuleIds=[identifier])
    rule = found["SecurityGroupRules"][0]
    peers = {name: rule.get(parameter) for name, parameter in PEERS.items()}
    peers["referencedSecurityGroupId"] = rule.get("ReferencedGroupInfo", {}).get("GroupId")
    has_ports = rule["IpProtocol"] != "-1"
    return {
        **peers,
        "arn": aws.arn("ec2", f"security-group-rule/{identifier}"),
        "description": rule.get("Description"),
        "fromPort": rule["FromPort"] if has_ports else None,
        "ipProtocol": rule["IpProtocol"],
        "securityGroupId": rule["GroupId"],
        "securityGroupRuleId": identifier,
        "tags": tag_map(rule.get("Tags")),
        "toPort": rule["ToPort"] if has_ports else None,
    }


def _update_rule(aws: Aws, identifier: str, old: Values, new: Values, changed: set[str]) -> None:
    if changed - {"tags"}:
        peer = {parameter: new[name] for name, parameter in PEERS.items() if name in new}
        request = {"IpProtocol": _protocol(new["ipProtocol"]), **_ports(new), **peer}
        request["Description"] = new.get("description", "")
        change = {"SecurityGroupRuleId": identifier, "SecurityGroupRule": request}
        aws.ec2.modify_security_group_rules(
            GroupId=new["securityGroupId"], SecurityGroupRules=[change]
        )
    retag(aws, identifier, old, new)


def _rule_rules(new: Values) -> Iterable[str]:
    given = [name for name in PEERS if name in new]
    if len(given) != 1:
        yield f"exactly one of {', '.join(PEERS)} is needed, got {', '.join(given) or 'none'}"
    protocol = _protocol(new.get("ipProtocol", ""))
    first, last = new.get("fromPort"), new.get("toPort")
    if protocol in ("tcp", "udp") and (first is None or last is None):
        yield f"{protocol} needs both fromPort and toPort, got {first} and {last}"
    if protocol == "-1" and (first is not None or last is not None):
        yield "ipProtocol -1 is all protocols and ports: leave fromPort and toPort out"
    in_order = not isinstance(first, int) or not isinstance(last, int) or first <= last
    if protocol in ("tcp", "udp") and not in_order:
        yield f"fromPort {first} is greater than toPort {last}"


def _rule_type(direction: str) -> Resource:
    egress = direction == "Egress"

    def create(aws: Aws, new: Values) -> str:
        authorize = (
            aws.ec2.authorize_security_group_egress
            if egress
            else aws.ec2.authorize_security_group_ingress
        )
        made = authorize(
            GroupId=new["securityGroupId"],
            IpPermissions=[_permission(new)],
            TagSpecifications=specification("security-group-rule", new.get("tags")),
        )
        return made["SecurityGroupRules"][0]["SecurityGroupRuleId"]

    def delete(aws: Aws, identifier: str, state: Values) -> None:
        revoke = (
            aws.ec2.revoke_security_group_egress
            if egress
            else aws.ec2.revoke_security_group_ingress
        )
        revoke(GroupId=state["securityGroupId"], SecurityGroupRuleIds=[identifier])

    return Resource(
        token=f"aws:vpc/securityGroup{direction}Rule:SecurityGroup{direction}Rule",
        inputs={
            "cidrIpv4": Property(check=checks.cidr()),
            "cidrIpv6": Property(),
            "description": Property(check=checks.group_text),
            "fromPort": Property(check=checks.port),
            "ipProtocol": Property(required=True, normal=_protocol),
            "prefixListId": Property(),
            "referencedSecurityGroupId": Property(),
            "securityGroupId": Property(required=True, replaces=True),
            "tags": TAGS,
            "toPort": Property(check=checks.port),
        },
        outputs=("arn", "securityGroupRuleId"),
        create=create,
        read=_read_rule,
        update=_update_rule,
        delete=delete,
        check=_rule_rules,
    )


INGRESS_RULE = _rule_type("Ingress")
EGRESS_RULE = _rule_type("Egress")


def _create_key_pair(aws: Aws, new: Values) -> str:
    made = aws.ec2.import_key_pair(
        KeyName=new["keyName"],
        PublicKeyMaterial=new["publicKey"].encode(),
        TagSpecifications=specification("key-pair", new.get("tags")),
    )
    return made["KeyName"]


def _read_key_pair(aws: Aws, identifier: str, _state: Values) -> Values | None:
    pair = aws.ec2.describe_key_pairs(KeyNames=[identifier])["KeyPairs"][0]
    return {
        "arn": aws.arn("ec2", f"key-pair/{identifier}"),
        "fingerprint": pair["KeyFingerprint"],
        "keyName": pair["KeyName"],
        "keyPairId": pair["KeyPairId"],
        "keyType": pair.get("KeyType"),
        "tags": tag_map(pair.get("Tags")),
    }


KEY_PAIR = Resource(
    token="aws:ec2/keyPair:KeyPair",
    named="keyName",
    inputs={
        "keyName": Property(computed=True, replaces=True),
        "publicKey": Property(required=True, replaces=True, normal=str.strip),
        "tags": TAGS,
    },
    outputs=("arn", "fingerprint", "keyPairId", "keyType"),
    create=_create_key_pair,
    read=_read_key_pair,
    update=lambda aws, _identifier, old, new, _changed: retag(aws, old["keyPairId"], old, new),
    delete=lambda aws, identifier, _state: aws.ec2.delete_key_pair(KeyName=identifier),
)

TYPES = (SECURITY_GROUP, DEFAULT_SECURITY_GROUP, INGRESS_RULE, EGRESS_RULE, KEY_PAIR)
