"""Network ACLs, one resource for each rule and each subnet.

Registry pages: aws/ec2/{networkacl,networkaclrule,networkaclassociation}.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

from lab.provider import checks
from lab.provider.aws import Aws, ProviderError, retag, specification, tag_map
from lab.provider.resource import Property, Resource
from lab.provider.types.common import TAGS, exactly_one
from lab.provider.values import UNKNOWN, Values

INLINE = "inline rules delete what others add: use one aws.ec2.NetworkAclRule for each rule"
SUBNETS = "use one aws.ec2.NetworkAclAssociation for each subnet"
PROTOCOLS = {"all": "-1", "icmp": "1", "tcp": "6", "udp": "17", "icmpv6": "58"}
"""The API knows protocols by number only."""
TCP_AND_UDP = ("6", "17")
ICMP = "1"


def _acls(aws: Aws, **only: str) -> list[dict[str, Any]]:
    """The ACLs that pass these filters; `__` stands for a dot and `_` for a hyphen."""
    filters = [
        {"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]}
        for name, value in only.items()
    ]
    return aws.ec2.describe_network_acls(Filters=filters)["NetworkAcls"]


def _acl(aws: Aws, identifier: str) -> dict[str, Any]:
    return aws.ec2.describe_network_acls(NetworkAclIds=[identifier])["NetworkAcls"][0]


def _create_acl(aws: Aws, new: Values) -> str:
    made = aws.ec2.create_network_acl(
        VpcId=new["vpcId"], TagSpecifications=specification("network-acl", new.get("tags"))
    )
    return made["NetworkAcl"]["NetworkAclId"]


def _read_acl(aws: Aws, identifier: str, _state: Values) -> Values | None:
    acl = _acl(aws, identifier)
    return {
        "arn": aws.arn("ec2", f"network-acl/{identifier}"),
        "ownerId": acl["OwnerId"],
        "subnetIds": sorted(association["SubnetId"] for association in acl["Associations"]),
        "tags": tag_map(acl.get("Tags")),
        "vpcId": acl["VpcId"],
    }


def _delete_acl(aws: Aws, identifier: str, _state: Values) -> None:
    """As the real provider: subnets that still have the ACL get the VPC's default one."""
    for association in _acl(aws, identifier)["Associations"]:
        _to_default(aws, association["NetworkAclAssociationId"])
    aws.ec2.delete_network_acl(NetworkAclId=identifier)


NETWORK_ACL = Resource(
    token="aws:ec2/networkAcl:NetworkAcl",
    inputs={
        "egress": Property(refused=INLINE),
        "ingress": Property(refused=INLINE),
        "subnetIds": Property(computed=True, refused=SUBNETS),
        "tags": TAGS,
        "vpcId": Property(required=True, replaces=True),
    },
    outputs=("arn", "ownerId"),
    create=_create_acl,
    read=_read_acl,
    update=lambda aws, identifier, old, new, _changed: retag(aws, identifier, old, new),
    delete=_delete_acl,
)


def _protocol(value: Any) -> str:
    text = str(value).lower()
    return PROTOCOLS.get(text, text)


def _known_protocol(value: Any) -> str | None:
    text = _protocol(value)
    if text == "-1" or (text.isdecimal() and int(text) <= 255):
        return None
    return f"{value!r} is neither a protocol number nor one of {', '.join(PROTOCOLS)}"


def _entry_key(values: Values) -> dict[str, Any]:
    """What names an entry: its ACL, direction and number."""
    return {
        "NetworkAclId": values["networkAclId"],
        "Egress": bool(values.get("egress")),
        "RuleNumber": values["ruleNumber"],
    }


def _entry(aws: Aws, values: Values) -> dict[str, Any] | None:
    key = _entry_key(values)
    for entry in _acl(aws, key["NetworkAclId"])["Entries"]:
        if (entry["Egress"], entry["RuleNumber"]) == (key["Egress"], key["RuleNumber"]):
            return entry
    return None


def _create_rule(aws: Aws, new: Values) -> str:
    if _entry(aws, new) is not None:
        # A replacement that is made before the old rule is gone meets the old rule here.
        raise ProviderError(
            f"network ACL {new['networkAclId']} has a rule {new['ruleNumber']} already: choose "
            "another number, or set delete_before_replace on the resource"
        )
    protocol = _protocol(new["protocol"])
    request = {**_entry_key(new), "Protocol": protocol, "RuleAction": new["ruleAction"]}
    for name, parameter in (("cidrBlock", "CidrBlock"), ("ipv6CidrBlock", "Ipv6CidrBlock")):
        if name in new:
            request[parameter] = new[name]
    if protocol in TCP_AND_UDP:
        request["PortRange"] = {"From": new["fromPort"], "To": new["toPort"]}
    if protocol == ICMP:
        request["IcmpTypeCode"] = {"Type": new["icmpType"], "Code": new["icmpCode"]}
    aws.ec2.create_network_acl_entry(**request)
    # The API gives a rule no id; the real provider makes one of its key as well.
    words = (new["networkAclId"], new["ruleNumber"], bool(new.get("egress")), new["protocol"])
    return f"nacl-{zlib.crc32('-'.join(map(str, words)).encode())}"


def _read_rule(aws: Aws, _identifier: str, state: Values) -> Values | None:
    entry = _entry(aws, state)
    if entry is None:
        return None
    ports, icmp = entry.get("PortRange", {}), entry.get("IcmpTypeCode", {})
    return {
        "cidrBlock": entry.get("CidrBlock"),
        "egress": entry["Egress"],
        "fromPort": ports.get("From"),
        "icmpCode": icmp.get("Code"),
        "icmpType": icmp.get("Type"),
        "ipv6CidrBlock": entry.get("Ipv6CidrBlock"),
        "protocol": entry["Protocol"],
        "ruleAction": entry["RuleAction"],
        "toPort": ports.get("To"),
    }


def _rule_rules(new: Values) -> Iterable[str]:
    yield from exactly_one(new, "cidrBlock", "ipv6CidrBlock")
    protocol = _protocol(new["protocol"])
    if protocol == UNKNOWN:
        return
    yield from _only_for(new, ("fromPort", "toPort"), protocol in TCP_AND_UDP, "tcp and udp")
    yield from _only_for(new, ("icmpType", "icmpCode"), protocol == ICMP, "icmp")
    first, last = new.get("fromPort"), new.get("toPort")
    if isinstance(first, int) and isinstance(last, int) and first > last:
        yield f"fromPort {first} is greater than toPort {last}"


def _only_for(new: Values, names: tuple[str, str], needed: bool, whose: str) -> Iterable[str]:
    given = [name for name in names if name in new]
    if needed and len(given) < len(names):
        yield f"protocol {new['protocol']} needs {' and '.join(names)}, got {given or 'neither'}"
    if given and not needed:
        yield (
            f"{' and '.join(given)} are for {whose} only: EC2 ignores them with protocol "
            f"{new['protocol']}, leave them out"
        )


NETWORK_ACL_RULE = Resource(
    token="aws:ec2/networkAclRule:NetworkAclRule",
    inputs={
        "cidrBlock": Property(replaces=True, check=checks.cidr()),
        "egress": Property(default=False, replaces=True),
        "fromPort": Property(replaces=True, check=checks.port),
        "icmpCode": Property(replaces=True, check=checks.between(-1, 255)),
        "icmpType": Property(replaces=True, check=checks.between(-1, 255)),
        "ipv6CidrBlock": Property(replaces=True),
        "networkAclId": Property(required=True, replaces=True),
        "protocol": Property(required=True, replaces=True, check=_known_protocol, normal=_protocol),
        "ruleAction": Property(required=True, replaces=True, check=checks.one_of("allow", "deny")),
        # API reference, CreateNetworkAclEntry.
        "ruleNumber": Property(required=True, replaces=True, check=checks.between(1, 32766)),
        "toPort": Property(replaces=True, check=checks.port),
    },
    create=_create_rule,
    read=_read_rule,
    delete=lambda aws, _identifier, state: aws.ec2.delete_network_acl_entry(**_entry_key(state)),
    check=_rule_rules,
)


def _association(acls: list[dict[str, Any]], key: str, value: str) -> dict[str, Any] | None:
    """The association of these ACLs whose `key` is `value`."""
    found = (item for acl in acls for item in acl["Associations"] if item[key] == value)
    return next(found, None)


def _create_association(aws: Aws, new: Values) -> str:
    subnet = new["subnetId"]
    current = _association(_acls(aws, association__subnet_id=subnet), "SubnetId", subnet)
    if current is None:
        raise ProviderError(f"subnet {subnet} does not exist: no network ACL is associated with it")
    made = aws.ec2.replace_network_acl_association(
        AssociationId=current["NetworkAclAssociationId"], NetworkAclId=new["networkAclId"]
    )
    return made["NewAssociationId"]


def _read_association(aws: Aws, identifier: str, _state: Values) -> Values | None:
    acls = _acls(aws, association__association_id=identifier)
    found = _association(acls, "NetworkAclAssociationId", identifier)
    return found and {"networkAclId": found["NetworkAclId"], "subnetId": found["SubnetId"]}


def _to_default(aws: Aws, identifier: str) -> None:
    """Give the association's subnet its VPC's default ACL; an id that was replaced is gone."""
    found = _acls(aws, association__association_id=identifier)
    if not found:
        return
    (default,) = _acls(aws, vpc_id=found[0]["VpcId"], default="true")
    aws.ec2.replace_network_acl_association(
        AssociationId=identifier, NetworkAclId=default["NetworkAclId"]
    )


NETWORK_ACL_ASSOCIATION = Resource(
    token="aws:ec2/networkAclAssociation:NetworkAclAssociation",
    inputs={
        "networkAclId": Property(required=True, replaces=True),
        "subnetId": Property(required=True, replaces=True),
    },
    create=_create_association,
    read=_read_association,
    delete=lambda aws, identifier, _state: _to_default(aws, identifier),
)

TYPES = (NETWORK_ACL, NETWORK_ACL_RULE, NETWORK_ACL_ASSOCIATION)
