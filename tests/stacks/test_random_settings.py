"""Random stack files: either a clear error, or a program that holds together."""

from __future__ import annotations

import base64
import gzip
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml
from drawn import people, stack_files
from hypothesis import HealthCheck, given, settings
from recording import Recorder, run

from model.fields import SettingsError
from stacks import environment
from userdata import render


@given(raw=stack_files())
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_random_stack_file_is_refused_clearly_or_holds_together(
    raw: dict[str, Any], tmp_path: Any
) -> None:
    fault = raw.pop("fault")
    people(tmp_path, raw.get("domains", []))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stacks.settings.HERE", tmp_path)
        if fault == "none":
            holds_together(run(lambda: environment.build("dev", raw))[0])
            return
        with pytest.raises(SettingsError) as caught:
            run(lambda: environment.build("dev", raw))
    assert caught.value.problems
    assert all(": " in problem for problem in caught.value.problems)


def holds_together(recorder: Recorder) -> None:
    """Unique names are the recorder's to refuse; here: addresses, ports, user data."""
    subnets = [IPv4Network(s.inputs["cidrBlock"]) for s in recorder.of("ec2/subnet:Subnet")]
    vpc = IPv4Network(recorder.of("ec2/vpc:Vpc")[0].inputs["cidrBlock"])
    assert all(16 <= net.prefixlen <= 28 and net.subnet_of(vpc) for net in subnets)
    assert not any(a.overlaps(b) for a in subnets for b in subnets if a is not b)
    for kind in ("Ingress", "Egress"):
        for rule in recorder.of(f"vpc/securityGroup{kind}Rule:SecurityGroup{kind}Rule"):
            assert 1 <= rule.inputs["fromPort"] <= rule.inputs["toPort"] <= 65535
            IPv4Network(rule.inputs.get("cidrIpv4", "0.0.0.0/0"))
    names = [i.inputs["tags"]["Name"] for i in recorder.of("ec2/instance:Instance")]
    assert len(set(names)) == len(names)
    for instance in recorder.of("ec2/instance:Instance"):
        packed = base64.b64decode(instance.inputs["userDataBase64"])
        assert len(packed) <= render.LIMIT
        document = yaml.safe_load(gzip.decompress(packed))
        assert document["fqdn"] == instance.inputs["tags"]["Name"]
