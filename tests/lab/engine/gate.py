"""A gate before the emulator that lets through what one IAM policy allows, and names the rest.

Which resources a call is about, and which condition keys each has, follows the Service
Authorization Reference (EC2, IAM, KMS, S3, Systems Manager) for the calls that stacks make. Tags
are those that the emulator holds at that moment.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import boto3

from lab.internet.policy import Request, evaluate
from model.principal import BRANCH, STACK

ACCOUNT = "123456789012"
KINDS = {
    "ami": "image",
    "cgw": "customer-gateway",
    "eice": "instance-connect-endpoint",
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "i": "instance",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "pcx": "vpc-peering-connection",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "subnet": "subnet",
    "tgw": "transit-gateway",
    "tgw-attach": "transit-gateway-attachment",
    "tgw-rtb": "transit-gateway-route-table",
    "vol": "volume",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
    "vpn": "vpn-connection",
}
"""The ARN's word for each prefix of an id."""
ID = re.compile(rf"({'|'.join(sorted(KINDS, key=len, reverse=True))})-[0-9a-f]{{8,}}")
NO_RESOURCE = re.compile(
    r".*(GatewayId|PeeringConnectionId|IpPermissions.*|Filter.*|AssociationId)"
)
"""Parameters of routes and rules that name no resource in IAM's sense."""
KEYS = (
    f"aws:requesttag/{STACK}",
    f"aws:requesttag/{BRANCH}",
    f"aws:resourcetag/{STACK}",
    f"aws:principaltag/{BRANCH}",
    "aws:ec2instancesourcevpc",
    "ec2:createaction",
    "iam:passedtoservice",
    "iam:permissionsboundary",
    "s3:prefix",
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One thing that a call needs to be allowed; `keys` are condition keys in lower case."""

    action: str
    resource: str
    keys: Mapping[str, str] = field(default_factory=dict)


class Gate(ThreadingHTTPServer):
    """Serves on `endpoint`; `denied` has what the policy did not allow, in order."""

    def __init__(self, emulator: str, region: str, policy: Mapping[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.emulator, self.region, self.policy = emulator, region, policy
        self.denied: list[Asked] = []
        self.allowed: set[str] = set()
        session = boto3.Session("x", "y", region_name=region)
        self.ec2, self.iam, self.kms = (
            session.client(name, endpoint_url=emulator) for name in ("ec2", "iam", "kms")
        )
        self._one = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def open(self) -> Generator[Gate]:
        """Serve for a while."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self.shutdown()
            self.server_close()

    def judge(self, asked: Asked) -> bool:
        """Whether the policy allows it."""
        request = Request(
            role_arn="arn:aws:iam::1:role/x",
            session_arn="arn:aws:sts::1:assumed-role/x/y",
            account=ACCOUNT,
            action=asked.action,
            resource=asked.resource,
            context={key: [asked.keys[key]] if key in asked.keys else [] for key in KEYS},
        )
        return evaluate(self.policy, request, of_resource=False) == "allow"

    def passes(self, service: str, action: str, values: dict[str, str], path: str) -> bool:
        """Judge every part of a call; what is denied is noted."""
        with self._one:
            for asked in self.parts(service, action, values, path):
                if not self.judge(asked):
                    self.denied.append(asked)
                    return False
            self.allowed.add(f"{service}:{action}")
            return True

    def parts(
        self, service: str, action: str, values: dict[str, str], path: str
    ) -> Iterator[Asked]:
        name = f"{service}:{action}"
        if service == "s3":
            yield Asked(action=name, resource=f"arn:aws:s3:::{path.lstrip('/')}", keys=values)
        elif service == "ssm":
            yield Asked(action=name, resource=self.arn("ssm", f"parameter{values['Name']}"))
        elif service == "ec2" and not action.startswith(("Describe", "GetManaged", "Search")):
            yield from self._ec2(action, values)
        elif service == "iam":
            yield from self._iam(action, values)
        elif service == "kms" and action != "ListAliases":
            yield from self._kms(action, values)
        else:
            yield Asked(action=name, resource="*")

    def arn(self, service: str, resource: str) -> str:
        return f"arn:aws:{service}:{self.region}:{ACCOUNT}:{resource}"

    def _ec2(self, action: str, values: dict[str, str]) -> Iterator[Asked]:
        name, created = f"ec2:{action}", _created(values)
        asked_tag = _tags(values, "").get(STACK) if action == "CreateTags" else None
        requested = {f"aws:requesttag/{STACK}": asked_tag} if asked_tag else {}
        for kind, tag in created.items():
            keys = {f"aws:requesttag/{STACK}": tag} if tag else {}
            new = self.arn("ec2", f"{kind}/new")
            yield Asked(action=name, resource=new, keys=keys)
            yield Asked(
                action="ec2:CreateTags", resource=new, keys={**keys, "ec2:createaction": action}
            )
        for parameter, value in values.items():
            if ID.fullmatch(value) and not (
                NO_RESOURCE.fullmatch(parameter) and _about_others(action)
            ):
                keys = {f"aws:resourcetag/{STACK}": tag} if (tag := self._tag(value)) else {}
                yield Asked(action=name, resource=self._ec2_arn(value), keys=keys | requested)
        if "IamInstanceProfile.Name" in values:
            profile = values["IamInstanceProfile.Name"]
            for role in self.iam.get_instance_profile(InstanceProfileName=profile)[
                "InstanceProfile"
            ]["Roles"]:
                keys = {"iam:passedtoservice": "ec2.amazonaws.com"}
                yield Asked(action="iam:PassRole", resource=role["Arn"], keys=keys)

    def _ec2_arn(self, identifier: str) -> str:
        kind = KINDS[identifier.rpartition("-")[0]]
        if kind == "image":
            return f"arn:aws:ec2:{self.region}::image/{identifier}"
        return self.arn("ec2", f"{kind}/{identifier}")

    def _tag(self, identifier: str) -> str | None:
        only = [
            {"Name": "resource-id", "Values": [identifier]},
            {"Name": "key", "Values": [STACK]},
        ]
        return next((tag["Value"] for tag in self.ec2.describe_tags(Filters=only)["Tags"]), None)

    def _iam(self, action: str, values: dict[str, str]) -> Iterator[Asked]:
        name, owner = f"iam:{action}", f"arn:aws:iam::{ACCOUNT}"
        keys = {}
        if (tag := _members(values).get(BRANCH)) and action in ("CreateRole", "TagRole"):
            keys[f"aws:requesttag/{BRANCH}"] = tag
        if action == "CreateRole":
            keys["iam:permissionsboundary"] = values.get("PermissionsBoundary", "")
        elif action in ("PutRolePolicy", "DeleteRolePolicy"):
            role = self.iam.get_role(RoleName=values["RoleName"])["Role"]
            bound = role.get("PermissionsBoundary", {})
            keys["iam:permissionsboundary"] = bound.get("PermissionsBoundaryArn", "")
        if "InstanceProfileName" in values:
            profile = f"{owner}:instance-profile/{values['InstanceProfileName']}"
            yield Asked(action=name, resource=profile)
        elif "RoleName" in values:
            yield Asked(action=name, resource=f"{owner}:role/{values['RoleName']}", keys=keys)
        else:
            yield Asked(action=name, resource="*")

    def _kms(self, action: str, values: dict[str, Any]) -> Iterator[Asked]:
        name = f"kms:{action}"
        if action == "CreateKey":
            tags = {tag["TagKey"]: tag["TagValue"] for tag in values.get("Tags", [])}
            keys = {f"aws:requesttag/{STACK}": tags.get(STACK, "")}
            yield Asked(action=name, resource="*", keys=keys)
            return
        if "AliasName" in values:
            yield Asked(action=name, resource=self.arn("kms", values["AliasName"]))
        key = values.get("KeyId") or values.get("TargetKeyId")
        if key:
            key_id = key.rpartition("/")[2]
            tags = self.kms.list_resource_tags(KeyId=key_id)["Tags"]
            mine = {tag["TagKey"]: tag["TagValue"] for tag in tags}.get(STACK, "")
            keys = {f"aws:resourcetag/{STACK}": mine}
            yield Asked(action=name, resource=self.arn("kms", f"key/{key_id}"), keys=keys)


def _about_others(action: str) -> bool:
    """Whether a call names others as a target or a peer, which are no resources of its own."""
    return action.endswith("Route") or "SecurityGroup" in action


def _created(values: Mapping[str, str]) -> dict[str, str | None]:
    """The kinds of resource that a call tags as it makes them, with the stack's tag of each."""
    found: dict[str, str | None] = {}
    for parameter, value in values.items():
        if match := re.fullmatch(r"(TagSpecification\.\d+)\.ResourceType", parameter):
            found[value] = _tags(values, f"{match[1]}.").get(STACK)
    return found


def _tags(values: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The tags of a query: `{prefix}Tag.N.Key` and `{prefix}Tag.N.Value`."""
    numbers = re.compile(rf"{re.escape(prefix)}Tag\.(\d+)\.Key")
    return {
        key: values[f"{prefix}Tag.{match[1]}.Value"]
        for name, key in values.items()
        if (match := numbers.fullmatch(name))
    }


def _members(values: Mapping[str, str]) -> dict[str, str]:
    """The tags of a call to IAM: `Tags.member.N.Key` and `Tags.member.N.Value`."""
    keys = re.compile(r"Tags\.member\.(\d+)\.Key")
    return {
        key: values[f"Tags.member.{match[1]}.Value"]
        for name, key in values.items()
        if (match := keys.fullmatch(name))
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def gate(self) -> Gate:
        assert isinstance(self.server, Gate)
        return self.server

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        service, action, values = self._call(body)
        path = unquote(urlsplit(self.path).path)
        if self.gate.passes(service, action, values, path):
            self._answer(*self._forward(body))
        else:
            text = "<Response><Errors><Error><Code>UnauthorizedOperation</Code>"
            text += f"<Message>{service}:{action}</Message></Error></Errors></Response>"
            self._answer(403, [], text.encode())

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _call(self, body: bytes) -> tuple[str, str, dict[str, Any]]:
        scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", self.headers["Authorization"])
        assert scope is not None
        service = scope[1]
        if "X-Amz-Target" in self.headers:
            action = self.headers["X-Amz-Target"].rpartition(".")[2]
            return service, action, json.loads(body or b"{}")
        if service == "s3":
            return service, *self._s3()
        values = dict(parse_qsl(body.decode()))
        return service, values["Action"], values

    def _s3(self) -> tuple[str, dict[str, str]]:
        """An action and its condition keys."""
        asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if "versions" in asked:
            return "ListBucketVersions", {"s3:prefix": asked["prefix"]}
        verb = {"GET": "Get", "HEAD": "Get", "PUT": "Put", "DELETE": "Delete"}[self.command]
        tagging = "Tagging" if "tagging" in asked else ""
        version = "Version" if "versionId" in asked else ""
        return f"{verb}Object{version}{tagging}", {}

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        address = urlsplit(self.gate.emulator)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        try:
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass
