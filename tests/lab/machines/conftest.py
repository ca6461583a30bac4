"""One lab with one VPC, an emulated AWS and a mirror, for all tests here that boot machines."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lab.holder import Holder
from lab.machines.image import Images
from lab.machines.repository import build_repository
from lab.machines.trust import Trust
from lab.session import cache_folder
from tests.lab.machines.bench import REGION, Bench

PACKAGES = ("postfix", "postfix-cdb", "python3-boto3")
CA_EXTENSIONS = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
ROLE = "relay"


@dataclass(frozen=True, kw_only=True)
class Aws:
    """An emulated AWS with a role in an instance profile."""

    endpoint: str

    def client(self, service: str):
        """A boto3 client of it."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )


@pytest.fixture(scope="session")
def aws() -> Iterator[Aws]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    aws = Aws(endpoint=f"http://{host}:{port}")
    iam = aws.client("iam")
    statement = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}
    trust = {"Version": "2012-10-17", "Statement": [{**statement, "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName="relay-profile")
    iam.add_role_to_instance_profile(InstanceProfileName="relay-profile", RoleName=ROLE)
    yield aws
    server.stop()


@pytest.fixture(scope="session")
def images() -> Images:
    if os.geteuid() != 0:
        pytest.skip("needs root to build images")
    return Images(cache_folder(), print)


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """A CA, and a key and certificate (one file) that it issued."""

    ca: Path
    server: Path


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def issue(folder: Path, *names: str) -> Certificates:
    """Make a CA and a server certificate for `names`."""
    ca, ca_key, key, leaf = (folder / name for name in ("ca.pem", "ca.key", "key", "leaf"))
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    extensions = [part for text in CA_EXTENSIONS for part in ("-addext", text)]
    openssl(*new, "-subj", "/CN=Test CA", "-keyout", ca_key, "-out", ca, *extensions)
    alternatives = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
    subject = ["-subj", "/CN=mirror", "-addext", "basicConstraints=critical,CA:FALSE"]
    by = ["-CA", ca, "-CAkey", ca_key, "-addext", alternatives]
    openssl(*new, *subject, *by, "-keyout", key, "-out", leaf)
    (folder / "server.pem").write_text(key.read_text() + leaf.read_text())
    return Certificates(ca=ca, server=folder / "server.pem")


ROOT_KEY = f". IN DNSKEY 257 3 13 {'A' * 86}==\n"
ROOT_DS = f". IN DS 1 13 2 {'0' * 64}\n"


@dataclass(frozen=True, kw_only=True)
class Lab:
    """The running lab; `trust` is what its machines believe."""

    bench: Bench
    holder: Holder
    images: Images
    trust: Trust
    aws: Aws


@pytest.fixture(scope="module")
def lab(aws: Aws, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    sources = images.package_sources()
    debs = images.layer(PACKAGES).debs
    assert debs is not None
    build_repository(folder / "repository", sources, [debs])
    names = sorted({source.url.split("/")[2] for source in sources})
    certificates = issue(folder, *names)
    holder = Holder.start(folder / "state", tied=True)
    try:
        bench = Bench(holder=holder)
        bench.prepare()
        bench.mirror(folder / "repository", certificates.server, sources)
        trust = Trust(
            certificate=certificates.ca,
            root_key=ROOT_KEY,
            root_ds=ROOT_DS,
            reserved=("2.0.192.in-addr.arpa.",),
        )
        yield Lab(bench=bench, holder=holder, images=images, trust=trust, aws=aws)
    finally:
        holder.stop()
