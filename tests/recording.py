"""One recording mock of the Pulumi engine, shared by all tests of the program.

Pulumi's own mocks accept duplicate names, answer calls they do not know with nothing and hide
resource options; this one refuses the first two and records the third.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc, settings

ACCOUNT = "123456789012"


def _instance_types(asked: dict[str, Any]) -> dict[str, Any]:
    """Graviton types alone, as the images are for those."""
    wanted = {item["name"]: item["values"] for item in asked["filters"]}
    arm = wanted["processor-info.supported-architecture"] == ["arm64"]
    return {"instanceTypes": [t for t in wanted["instance-type"] if arm == t.startswith("t4g.")]}


def _offerings(asked: dict[str, Any]) -> dict[str, Any]:
    """Every type in the first three zones of the tests' Region."""
    assert asked["locationType"] == "availability-zone"
    [wanted] = asked["filters"]
    pairs = [(name, f"us-east-1{zone}") for name in wanted["values"] for zone in "abc"]
    return {
        "instanceTypes": [name for name, _ in pairs],
        "locations": [zone for _, zone in pairs],
    }


EMPTY_ACCOUNT: dict[str, Any] = {
    "aws:index/getCallerIdentity:getCallerIdentity": {"accountId": ACCOUNT},
    "aws:ec2/getInstances:getInstances": {"ids": []},
    "aws:ec2/getAmi:getAmi": {"architecture": "arm64"},
    "aws:ec2/getInstanceTypes:getInstanceTypes": _instance_types,
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": _offerings,
    "aws:ec2/getInstanceType:getInstanceType": {"defaultVcpus": 2},
    "aws:ec2/getEips:getEips": {"allocationIds": []},
    "aws:ec2/getNatGateways:getNatGateways": {"ids": []},
    "aws:ec2/getSubnets:getSubnets": {"ids": []},
    "aws:ec2/getVpcs:getVpcs": {"ids": []},
    "aws:ec2/getVpcPeeringConnections:getVpcPeeringConnections": {"ids": []},
    "aws:ec2/getRouteTable:getRouteTable": {"routes": []},
    "aws:ec2transitgateway/getAttachments:getAttachments": {"ids": []},
    "aws:ec2transitgateway/getRouteTableRoutes:getRouteTableRoutes": {"routes": []},
    "aws:servicequotas/getServiceQuota:getServiceQuota": {"value": 60},
}
"""What an account without anything answers; a test overrides by an answer or a function."""


@dataclass
class Resource:
    """A registered resource as the engine would see it: camelCase inputs and its options."""

    type: str
    name: str
    inputs: dict[str, Any]
    parent: str = ""
    provider: str = ""
    protect: bool = False
    delete_before_replace: bool = False
    dependencies: set[str] = field(default_factory=set)
    ignore_changes: list[str] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    """Outputs that are encrypted in the state."""


class Recorder(mocks.Mocks):
    """Answers as AWS would where the program relies on it; `answers` are those of invokes."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.resources: dict[tuple[str, str], Resource] = {}
        self.answers = answers

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        if args.token not in self.answers:
            raise AssertionError(f"the program called {args.token}, which no test answers")
        answer = self.answers[args.token]
        return answer(args.args) if callable(answer) else answer

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        identity = f"{args.name}-id"
        outputs = dict(args.inputs)
        if args.typ == "aws:ec2/eip:Eip":
            # By name: resources come in no fixed order.
            outputs["publicIp"] = f"198.51.100.{zlib.crc32(args.name.encode()) % 254 + 1}"
            outputs["allocationId"] = identity
        elif args.typ == "aws:route53/zone:Zone":
            outputs["zoneId"] = identity
            outputs["nameServers"] = ["ns-1.test", "ns-2.test"]
        elif args.typ == "aws:kms/key:Key":
            outputs["arn"] = f"arn:{identity}"
            outputs["keyId"] = identity
        elif args.typ == "aws:ec2/instance:Instance":
            public = args.inputs.get("associatePublicIpAddress")
            outputs["publicIp"] = "198.51.100.200" if public else ""
        return identity, outputs

    def of(self, kind: str) -> list[Resource]:
        """The resources of a type, such as `ec2/instance:Instance`, by name."""
        return [r for (typ, _), r in sorted(self.resources.items()) if typ == f"aws:{kind}"]

    def one(self, kind: str, name: str) -> Resource:
        """The resource of that type and name."""
        return self.resources[f"aws:{kind}", name]


class _Monitor(mocks.MockMonitor):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__(recorder)
        self.recorder = recorder

    def RegisterResource(self, request: Any) -> Any:
        key = (request.type, request.name)
        if key in self.recorder.resources:
            raise AssertionError(f"two resources are {key}")
        self.recorder.resources[key] = Resource(
            type=request.type,
            name=request.name,
            inputs=rpc.deserialize_properties(request.object, keep_unknowns=True),
            parent=request.parent,
            provider=request.provider,
            protect=request.protect,
            delete_before_replace=request.deleteBeforeReplace,
            dependencies={urn.rsplit("::", 1)[-1] for urn in request.dependencies},
            ignore_changes=list(request.ignoreChanges),
            secrets=set(request.additionalSecretOutputs),
        )
        return super().RegisterResource(request)


def run(
    program: Callable[[], dict[str, Any]],
    *,
    stack_name: str = "dev",
    answers: dict[str, Any] | None = None,
    preview: bool = False,
) -> tuple[Recorder, dict[str, Any]]:
    """Evaluate `program` under the mock; returns what it registered and its resolved outputs."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    recorder = Recorder(EMPTY_ACCOUNT | (answers or {}))
    settings.ROOT.set(None)
    mocks.set_mocks(
        recorder,
        project="gatepost",
        stack=stack_name,
        preview=preview,
        monitor=_Monitor(recorder),
    )
    resolved: dict[str, Any] = {}

    @pulumi.runtime.test
    def body() -> pulumi.Output[None]:
        return pulumi.Output.all(**program()).apply(resolved.update)

    body()
    return recorder, resolved
