"""What whoever deploys a branch may do in the environment's account, as IAM policy documents.

AWS gives everything that a stack makes the stack's tag, and lets most calls be narrowed by it:
`aws:RequestTag` on what is made, `aws:ResourceTag` on what is there. What has no such key is
narrowed by its name or id. docs/decisions/branch-principal.md says what that still allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model import contract, directory
from model.contract import Contract
from model.neighbours import disk_key_name, server_name, stack_name
from model.settings import TRANSIT_GATEWAY

STACK = "gatepost:stack"
"""The tag, on everything, that tells whose it is."""

Document = dict[str, Any]

BRANCH = "gatepost-branch"
"""The tag, on the role of a branch's machine, that tells which branch's it is. Without a colon,
as it stands in a policy variable."""

LIMIT = 6_144
"""Characters of a managed policy, white space not counted ("IAM and AWS STS quotas")."""

MADE = (
    "AllocateAddress",
    "AuthorizeSecurityGroupEgress",
    "AuthorizeSecurityGroupIngress",
    "CreateInstanceConnectEndpoint",
    "CreateInternetGateway",
    "CreateNatGateway",
    "CreateRouteTable",
    "CreateSecurityGroup",
    "CreateSubnet",
    "CreateVolume",
    "CreateVpc",
    "CreateVpcEndpoint",
    "ImportKeyPair",
    "RunInstances",
)
"""What a branch calls to make its own network and server, each with the stack's tag."""
PEERING_MADE = ("CreateVpcPeeringConnection",)
TRANSIT_MADE = ("CreateTransitGatewayVpcAttachment",)
OFFICE_MADE = ("CreateCustomerGateway", "CreateVpnConnection")

LOOKS = (
    "ec2:Describe*",
    "ec2:GetManagedPrefixListEntries",
    "ec2:SearchTransitGatewayRoutes",
    "kms:ListAliases",
    "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota",
    "sts:GetCallerIdentity",
)
"""Calls that only read, and that AWS does not narrow to a resource, or that a branch makes before
it knows one."""


def branch_policy(terms: Contract, name: str) -> Document:
    """The policy of the principal that deploys the branch `name`."""
    stack = stack_name(terms.environment, name)
    transit = terms.branch_link == TRANSIT_GATEWAY
    made = [*MADE, *(TRANSIT_MADE if transit else PEERING_MADE)]
    return _document(
        *_common(terms, name),
        *_own(terms, stack, made),
        # A VPC comes with a default group without tags, which the stack takes over and empties; a
        # root volume is tagged once its instance is there.
        _adopted(terms, stack, "security-group", "volume"),
        _statement(
            "Empty",
            ["ec2:RevokeSecurityGroup*gress"],
            [_ec2(terms, "security-group*/*")],
            _UNTAGGED,
        ),
        _statement("Launch", ["ec2:RunInstances"], [_ec2(terms, "network-interface/*"), _IMAGES]),
        *(_transit(terms) if transit else _peering(terms)),
        *_roles(terms, name),
        *_keys(terms, stack),
    )


def office_policy(terms: Contract, name: str) -> Document:
    """The policy of the principal that deploys the office `name`, which is not on AWS."""
    hub_key = directory.identity_key(directory.environment_owner(), terms.hub)
    stack = stack_name(terms.environment, name)
    return _document(
        *_common(terms, name),
        *_own(terms, stack, OFFICE_MADE),
        # A VPN comes with an attachment without tags.
        _adopted(terms, stack, "transit-gateway-attachment"),
        # For its administrator's files.
        _statement("Hub", ["s3:GetObject"], [f"arn:aws:s3:::{terms.directory}/{hub_key}"]),
        _statement(
            "Join",
            ["ec2:CreateVpnConnection"],
            [_ec2(terms, f"transit-gateway/{terms.transit_gateway}")],
        ),
        _statement(
            "Route",
            ["ec2:CreateTransitGatewayRoute", "ec2:DeleteTransitGatewayRoute"],
            [
                _ec2(terms, f"transit-gateway-route-table/{terms.transit_routes}"),
                _ec2(terms, "transit-gateway-attachment/*"),
            ],
        ),
    )


def machine_boundary(bucket: str) -> Document:
    """What the role of a branch's machine can be allowed at most, whatever its own policy says.

    Which branch is told by the role's tag, and by that alone: not by a session's tag of the same
    name, which whoever assumes a role may choose, since what an instance has been given bears none.
    """
    owner = directory.branch_owner(f"${{aws:PrincipalTag/{BRANCH}}}")
    keys = [
        directory.people_key(owner),
        f"{directory.SOFTWARE}{owner}/*",
        f"{directory.IDENTITIES}{directory.environment_owner()}/*",
    ]
    written = f"arn:aws:s3:::{bucket}/{directory.IDENTITIES}{owner}/*"
    machine = {"Null": {"aws:Ec2InstanceSourceVpc": "false"}}
    readable = [f"arn:aws:s3:::{bucket}/{key}" for key in keys]
    return _document(
        _statement("Read", ["s3:GetObject"], readable, machine),
        _statement("Identity", ["s3:PutObject"], [written], machine),
    )


_IMAGES = "arn:aws:ec2:*::image/*"
_UNTAGGED: Document = {"Null": {f"aws:ResourceTag/{STACK}": "true"}}


def _common(terms: Contract, name: str) -> list[Document]:
    owner = directory.branch_owner(name)
    objects = [
        f"{directory.ADDRESSES}{owner}.json",
        directory.people_key(owner),
        f"{directory.IDENTITIES}{owner}/*",
        f"{directory.SOFTWARE}{owner}/*",
    ]
    parameter = contract.parameter_name(terms.environment)
    bucket = f"arn:aws:s3:::{terms.directory}"
    return [
        _statement("Look", LOOKS, ["*"]),
        _statement("Contract", ["ssm:GetParameter"], [_arn(terms, "ssm", f"parameter{parameter}")]),
        _statement(
            "Directory",
            [f"s3:{verb}Object{what}" for verb in ("Get", "Put") for what in ("", "Tagging")]
            + ["s3:DeleteObject", "s3:DeleteObjectVersion"],
            [f"{bucket}/{key}" for key in objects],
        ),
        # The provider takes an object of a versioned bucket away version by version.
        _statement(
            "Versions",
            ["s3:ListBucketVersions"],
            [bucket],
            {"StringLike": {"s3:prefix": objects}},
        ),
    ]


def _own(terms: Contract, stack: str, made: Sequence[str]) -> list[Document]:
    """To make what bears the stack's tag, and to do with that whatever one likes."""
    requested = {"StringEquals": {f"aws:RequestTag/{STACK}": stack}}
    return [
        _statement("Make", [f"ec2:{call}" for call in made], ["*"], requested),
        _statement(
            "Tag",
            ["ec2:CreateTags"],
            [_ec2(terms, "*")],
            {"StringEquals": {f"aws:RequestTag/{STACK}": stack, "ec2:CreateAction": list(made)}},
        ),
        _statement(
            "Own",
            ["ec2:*"],
            [_ec2(terms, "*")],
            {"StringEquals": {f"aws:ResourceTag/{STACK}": stack}},
        ),
    ]


def _adopted(terms: Contract, stack: str, *kinds: str) -> Document:
    """To put the stack's tag on what has come without one."""
    requested = {"StringEquals": {f"aws:RequestTag/{STACK}": stack}}
    resources = [_ec2(terms, f"{kind}/*") for kind in kinds]
    return _statement("Adopt", ["ec2:CreateTags"], resources, _UNTAGGED | requested)


def _peering(terms: Contract) -> list[Document]:
    """The environment's side of a peering, and the routes of the one table."""
    return [
        _statement(
            "Peer",
            ["ec2:CreateVpcPeeringConnection", "ec2:AcceptVpcPeeringConnection"],
            [_ec2(terms, f"vpc/{terms.vpc}")],
        ),
        _statement(
            "Route",
            ["ec2:CreateRoute", "ec2:DeleteRoute", "ec2:ReplaceRoute"],
            [_ec2(terms, f"route-table/{terms.route_table}")],
        ),
    ]


def _transit(terms: Contract) -> list[Document]:
    """To attach a VPC: its route follows by itself, which the provider looks after."""
    gateway = _ec2(terms, f"transit-gateway/{terms.transit_gateway}")
    table = _ec2(terms, f"transit-gateway-route-table/{terms.transit_routes}")
    looks = [f"ec2:GetTransitGatewayRouteTable{what}s" for what in ("Association", "Propagation")]
    return [
        _statement("Join", ["ec2:CreateTransitGatewayVpcAttachment"], [gateway]),
        _statement("Joined", looks, [table]),
    ]


def _roles(terms: Contract, name: str) -> list[Document]:
    """The server's role, within the environment's boundary and with the branch's name on it.

    Without the boundary whoever may write a role's policy and give the role to an instance could
    do anything in the account. By its whole name: what begins like it may be a relay's, or that of
    a branch whose name begins with this one's.
    """
    server = server_name(stack_name(terms.environment, name))
    mine = {f"aws:RequestTag/{BRANCH}": name}
    role = f"arn:aws:iam::{terms.account}:role/{server}"
    profile = f"arn:aws:iam::{terms.account}:instance-profile/{server}"
    bounded = {"StringEquals": {"iam:PermissionsBoundary": terms.boundary}}
    passed = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    return [
        _statement(
            "Role", ["iam:CreateRole"], [role], {"StringEquals": bounded["StringEquals"] | mine}
        ),
        _statement("Rights", ["iam:PutRolePolicy"], [role], bounded),
        _statement("RoleTags", ["iam:TagRole"], [role], {"StringEqualsIfExists": mine}),
        _statement(
            "RoleUpkeep",
            [
                "iam:DeleteRole",
                "iam:DeleteRolePolicy",
                "iam:Get*",
                "iam:List*",
                "iam:UntagRole",
                "iam:UpdateAssumeRolePolicy",
            ],
            [role],
        ),
        _statement("Pass", ["iam:PassRole"], [role], passed),
        _statement("Profile", ["iam:*InstanceProfile*"], [profile]),
    ]


def _keys(terms: Contract, stack: str) -> list[Document]:
    """The key of its volumes."""
    keys, alias = _arn(terms, "kms", "key/*"), _arn(terms, "kms", f"alias/{disk_key_name(stack)}")
    tagged = {"StringEquals": {f"aws:ResourceTag/{STACK}": stack}}
    requested = {"StringEquals": {f"aws:RequestTag/{STACK}": stack}}
    return [
        _statement("Key", ["kms:CreateKey", "kms:TagResource"], ["*"], requested),
        _statement("OwnKey", ["kms:*"], [keys], tagged),
        _statement("Alias", ["kms:*Alias"], [alias]),
    ]


def _document(*statements: Document) -> Document:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _statement(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str],
    condition: Document | None = None,
) -> Document:
    statement: Document = {
        "Sid": sid,
        "Effect": "Allow",
        "Action": sorted(actions),
        "Resource": list(resources),
    }
    return statement | ({"Condition": condition} if condition else {})


def _ec2(terms: Contract, resource: str) -> str:
    return _arn(terms, "ec2", resource)


def _arn(terms: Contract, service: str, resource: str) -> str:
    return f"arn:aws:{service}:{terms.region}:{terms.account}:{resource}"
