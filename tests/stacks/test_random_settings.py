"""Random stack files: either a clear error, or a program that holds together."""

from __future__ import annotations

import base64
import gzip
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recording import Recorder, run

from model import hosts
from model.fields import SettingsError
from stacks import environment
from userdata import render

DOMAINS = ("example.jp", "example.co.jp", "mail.example.net")
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
WRONG: dict[str, list[Any]] = {
    "zones": [[], ["eu-west-1a"], [*ZONES, "us-east-1d"], ["us-east-1a", "us-east-1a"]],
    "network": ["10.0.0.0/8", "8.8.0.0/16", "10.1.0.0/24", 7],
    "branches": ["8.8.0.0/16", "192.168.0.0/30"],
    "domains": [[], ["EXAMPLE.jp"], ["example.jp", "example.jp"]],
    "relays": [
        [],
        [{"host": "a.example.jp"}] * 2,
        [{"host": f"a.{site}.{domain}"} for site in "xy" for domain in DOMAINS],
        [{"host": f"{'x' * 35}.{domain}"} for domain in DOMAINS],
        [{"host": f"nat-a.{domain}"} for domain in DOMAINS],
        [{"host": "a.example.org"}],
        [{"hots": 1}],
    ],
    "hub": [{"host": "mx0.example.org"}, {"host": f"{'x' * 63}.jp"}, {"host": "EXAMPLE"}, {}, None],
    "disks": [{"queue": 0}, {"spool": 8}],
    "colour": ["red"],
}


@st.composite
def stack_files(draw: st.DrawFn) -> dict[str, Any]:
    """Right settings of every shape, half of them with one thing wrong or missing."""
    domains = draw(st.permutations(DOMAINS).map(list))[: draw(st.integers(1, 3))]
    zones = list(ZONES[: draw(st.integers(1, 3))])
    relay = st.fixed_dictionaries({}, optional={"zone": st.sampled_from(zones)})
    relays = draw(st.lists(relay, min_size=1, max_size=4))
    label = "x" * draw(st.integers(1, hosts.LABEL_LENGTH))
    raw: dict[str, Any] = {
        "region": "us-east-1",
        "zones": zones,
        "network": draw(st.sampled_from(["10.1.0.0/16", "10.9.0.0/20", "172.16.0.0/18"])),
        "branches": "192.168.0.0/16",
        "nat": draw(st.sampled_from(["one", "per-zone"])),
        "domains": domains,
        "relays": [{"host": f"mx{i}.{domains[0]}", **each} for i, each in enumerate(relays)],
        "hub": {"host": f"{label}.{draw(st.sampled_from(DOMAINS))}"},
        "forwarding": draw(st.sampled_from(["none", "srs"])),
        "outbound": draw(st.sampled_from(["relay", "direct", "smarthost"])),
        "smarthost": {"host": "smtp.example.net", "port": draw(st.sampled_from([25, 587, 2587]))},
        "dns": {"spf_includes": []},
        "delegated": draw(st.booleans()),
        "people": "people.yaml",
        "image": "ami-01b1eba85c1cd6a3d",
        "disks": draw(st.fixed_dictionaries({}, optional={"queue": st.integers(1, 20)})),
        "protect": draw(st.booleans()),
        "administrator_key": "ssh-ed25519 AAAA",
    }
    fault = draw(st.sampled_from(["none", "none", "wrong", "missing"]))
    if fault == "wrong":
        key = draw(st.sampled_from(sorted(WRONG)))
        raw[key] = draw(st.sampled_from(WRONG[key]))
    elif fault == "missing":
        del raw[draw(st.sampled_from(["zones", "domains", "hub", "people", "image"]))]
    return raw | {"fault": fault}


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


def people(folder: Any, domains: list[str]) -> None:
    user = f"taro@{(domains or ['example.jp'])[0]}"
    aliases = {f"{role}@{domain}": [user] for domain in domains for role in ("postmaster", "abuse")}
    (folder / "people.yaml").write_text(yaml.safe_dump({"users": [user], "aliases": aliases}))


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
