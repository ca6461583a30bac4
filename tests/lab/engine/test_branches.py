"""Branches by the real engine, without machines: they come, are refused, and leave no trace."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from emulated import Emulator

from cli.main import main
from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine, EngineError
from lab.session import cache_folder
from lab.stackfile import region
from lab.world.model import World
from lab.world.read import read_world, to_json
from model.directory import environment_owner, identity_object
from tests.lab.engine.linked import LINKS, linked


class Company:
    """The environment `dev`, brought up in an emulator of its own."""

    def __init__(self, folder: Path, emulator: Emulator, project: Path, engine: Path) -> None:
        self.project = project
        self.region = region(project, ["dev"])
        self.endpoint = emulator.endpoint
        self.engine = Engine(
            engine=engine,
            state=folder / "state",
            project=project,
            endpoint=emulator.endpoint,
            region=self.region,
            checkpoints=False,
        )

    def file(self, stack: str) -> Path:
        return self.project / "stacks" / f"Pulumi.{stack}.yaml"

    def world(self, monkeypatch: pytest.MonkeyPatch) -> World:
        """AWS's state as the lab reads it; EC2 lists deleted peerings for a while."""
        monkeypatch.setenv("AWS_ENDPOINT_URL", self.endpoint)
        world = read_world(boto3.Session("x", "y", region_name=self.region), self.region)
        return replace(world, peerings=tuple(each for each in world.peerings if each.active))

    def keys(self) -> set[str]:
        """The keys of all buckets."""
        session = boto3.Session("x", "y", region_name=self.region)
        s3: Any = session.client("s3", endpoint_url=self.endpoint)
        return {
            item["Key"]
            for bucket in s3.list_buckets()["Buckets"]
            for item in s3.list_objects_v2(Bucket=bucket["Name"])["Contents"]
        }

    def new(self, name: str, *more: str, host: str = "") -> str:
        """Write a branch's files by the command; returns its stack."""
        argv = ["branch", "new", name, "--environment", "dev"]
        assert main([*argv, "--host", host or f"{name}.example.jp", *more]) == 0
        return f"dev-{name}"


@pytest.fixture(scope="module", params=LINKS)
def company(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Company]:
    built = ensure_engine(cache_folder(), print)
    folder = tmp_path_factory.mktemp(request.param)
    with linked(folder / "project", request.param) as emulator:
        made = Company(folder, emulator, folder / "project", built)
        made.engine.up("dev")
        yield made


one_link = pytest.mark.parametrize("company", LINKS[:1], indirect=True)
"""For what does not depend on the link."""


@pytest.fixture(autouse=True)
def _project(company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.commands.PROJECT", company.project)


def test_a_branch_comes_and_goes_without_a_trace(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, keys = company.world(monkeypatch), company.keys()
    made = company.engine.up("dev-osaka")
    assert made.created == len(made.changes)
    assert company.engine.up("dev", refresh=True).changes == ()
    assert company.engine.up("dev-osaka", refresh=True).changes == ()
    assert {key for key in company.keys() - keys if "osaka" not in key} == set()
    gone = company.engine.destroy("dev-osaka")
    assert gone.deleted == made.created
    assert to_json(company.world(monkeypatch)) == to_json(before)
    assert company.keys() == keys
    assert company.engine.up("dev", refresh=True).changes == ()


@one_link
def test_what_another_branch_has_is_refused_whoever_has_its_file(company: Company) -> None:
    company.engine.up("dev-osaka")
    # As in a folder of one's own: the other branch is seen by AWS's state alone.
    text = company.file("dev-osaka").read_text()
    company.file("dev-osaka").unlink()
    try:
        same_network = company.new("kobe", "--network", "192.168.10.128/25")
        with pytest.raises(EngineError, match=r"network: must not overlap 192\.168\.10\.0/24 of a"):
            company.engine.preview(same_network)
        same_host = company.new("nara", host="ms2.example.jp")
        with pytest.raises(EngineError, match=r"host: must be its own, got ms2\.example\.jp"):
            company.engine.preview(same_host)
    finally:
        company.file("dev-osaka").write_text(text)
    # Beside its file it is seen without any call.
    with pytest.raises(EngineError, match=r"must not overlap .* of stack dev-osaka"):
        company.engine.preview(same_network)
    for stack in (same_network, same_host):
        company.file(stack).unlink()
    assert company.engine.preview("dev-osaka").changes == ()
    company.engine.destroy("dev-osaka")


def test_an_office_comes_and_goes_without_a_trace(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = company.new("nagoya", "--gateway", "192.0.2.200", "--network", "192.168.9.0/24")
    before, keys = company.world(monkeypatch), company.keys()
    if "branch_link: peering" in company.file("dev").read_text():
        with pytest.raises(EngineError, match="office: needs a Transit Gateway for its VPN"):
            company.engine.preview(stack)
        return
    made = company.engine.up(stack)
    assert len(set(made.outputs["tunnels"])) == 2
    [office] = [
        item for item in company.world(monkeypatch).transit_attachments if item.kind != "vpc"
    ]
    [table] = company.world(monkeypatch).transit_tables
    leads = {route.destination for route in table.routes if route.attachment == office.id}
    assert leads == {"192.168.9.0/24"}
    assert company.engine.up(stack, refresh=True).changes == ()
    assert company.engine.up("dev", refresh=True).changes == ()
    check_commands(company, stack, monkeypatch)
    company.engine.destroy(stack)
    assert to_json(company.world(monkeypatch)) == to_json(before)
    assert company.keys() == keys


def check_commands(company: Company, stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the commands say of an office that is up; no file holds a key."""
    monkeypatch.setattr("stacks.settings.HERE", company.project / "stacks")
    monkeypatch.setenv("AWS_ENDPOINT_URL", company.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    out = company.project / "files"
    assert main(["branch", "files", stack, "--out", str(out)]) == 1, "no hub has booted"
    with hub_key(company):
        check_files(company, stack, out)
    for each in (stack, "dev-osaka"):
        assert main(["branch", "policy", each]) == 0
    assert main(["branch", "policy", "dev"]) == 1


@contextmanager
def hub_key(company: Company) -> Generator[None]:
    """The hub's key in the directory, where its first boot writes it."""
    s3: Any = boto3.client("s3", region_name=company.region)
    ssm: Any = boto3.client("ssm", region_name=company.region)
    terms = json.loads(ssm.get_parameter(Name="/gatepost/dev/contract")["Parameter"]["Value"])
    made = identity_object(environment_owner(), terms["hub"], ":".join(["AB"] * 32))
    s3.put_object(Bucket=terms["directory"], Key=made.key, Body=made.text.encode())
    try:
        yield
    finally:
        s3.delete_object(Bucket=terms["directory"], Key=made.key)


def check_files(company: Company, stack: str, out: Path) -> None:
    assert main(["branch", "files", stack, "--out", str(out)]) == 0
    assert main(["branch", "files", stack, "--out", str(out)]) == 1, "the folder is not empty"
    written = {path.name: path.read_text() for path in out.rglob("*") if path.is_file()}
    assert {"README.md", "main.cf", "install.sh", "swanctl.conf"} <= set(written)
    ec2: Any = boto3.Session(region_name=company.region).client("ec2")
    [vpn] = ec2.describe_vpn_connections()["VpnConnections"]
    for tunnel in vpn["Options"]["TunnelOptions"]:
        assert f"remote_addrs = {tunnel['OutsideIpAddress']}" in written["swanctl.conf"]
        assert not any(tunnel["PreSharedKey"] in text for text in written.values())
    assert main(["branch", "files", "dev-osaka", "--out", str(out / "more")]) == 1


@pytest.mark.parametrize("company", ["peering"], indirect=True)
def test_the_link_is_changed_and_changed_back(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway cannot go before the last branch has left it."""
    file, peered = company.file("dev"), "branch_link: peering"
    company.engine.up("dev-osaka")
    before = company.world(monkeypatch)
    file.write_text(file.read_text().replace(peered, "branch_link: transit-gateway"))
    for stack in ("dev", "dev-osaka"):
        assert all(kind != "replace" for kind, _ in company.engine.up(stack).changes)
    joined = company.world(monkeypatch)
    assert (len(joined.peerings), len(joined.transit_attachments)) == (0, 2)
    assert joined.instances == before.instances, "no machine was touched"
    file.write_text(file.read_text().replace("branch_link: transit-gateway", peered))
    with pytest.raises(EngineError, match="has non-deleted attachments"):
        company.engine.up("dev")
    for stack in ("dev-osaka", "dev"):
        company.engine.up(stack)
    after = company.world(monkeypatch)
    assert (len(after.peerings), len(after.transit_attachments)) == (1, 0)
    assert after.instances == before.instances
    assert company.engine.up("dev", refresh=True).changes == ()
    company.engine.destroy("dev-osaka")


@one_link
def test_a_branch_of_no_environment_is_told_where_it_looked(company: Company) -> None:
    file = company.file("lost-osaka")
    text = company.file("dev-osaka").read_text()
    file.write_text(text.replace("environment: dev", "environment: lost"))
    try:
        with pytest.raises(EngineError) as caught:
            company.engine.preview("lost-osaka")
    finally:
        file.unlink()
    said = "environment lost: no parameter /gatepost/lost/contract in account 123456789012"
    assert f"{said}, us-east-1; bring the environment up first" in str(caught.value)


@one_link
def test_a_stack_is_called_after_its_branch(company: Company) -> None:
    file = company.file("dev-other")
    file.write_text(company.file("dev-osaka").read_text())
    try:
        with pytest.raises(EngineError, match="stack: must be called dev-osaka"):
            company.engine.preview("dev-other")
    finally:
        file.unlink()
