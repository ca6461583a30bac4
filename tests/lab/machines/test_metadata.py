"""The metadata service, asked over the loopback: the instance is the one that asks from there."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import boto3
import pytest

from lab.machines import credentials as credentials_module
from lab.machines.credentials import CredentialsError, RoleCredentials
from lab.machines.metadata import MetadataServer
from lab.world.model import Instance
from tests.lab.machines.bench import KEY, REGION, VPC, instance, world
from tests.lab.machines.conftest import ROLE, Aws

LOCAL = "127.0.0.1"
LIFETIME = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}


def local(item: Instance) -> Instance:
    """The instance with the address from which the tests ask."""
    return replace(item, interface=replace(item.interface, private_ip=LOCAL))


class Service:
    """A running service whose instance can be exchanged."""

    def __init__(self, role_credentials: RoleCredentials) -> None:
        self.instance = local(instance(user_data=b"\x1f\x8b\x00bytes\xff", iam_role=ROLE))
        listener = socket.create_server((LOCAL, 0))
        self.server = MetadataServer(
            listener,
            world=lambda: world(self.instance),
            vpc_id=VPC.id,
            credentials=role_credentials,
        )
        self.port = listener.getsockname()[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None):
        """Status and body."""
        connection = http.client.HTTPConnection(LOCAL, self.port, timeout=5)
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def token(self) -> dict[str, str]:
        status, body = self.ask("PUT", "/latest/api/token", LIFETIME)
        assert status == 200
        return {"X-aws-ec2-metadata-token": body.decode()}

    def get(self, path: str) -> bytes:
        status, body = self.ask("GET", "/latest/" + path, self.token())
        assert status == 200, path
        return body


@pytest.fixture
def role_credentials(aws: Aws) -> RoleCredentials:
    return RoleCredentials(iam=aws.client("iam"), sts=aws.client("sts"))


@pytest.fixture
def service(role_credentials: RoleCredentials) -> Iterator[Service]:
    service = Service(role_credentials)
    yield service
    service.server.shutdown()
    service.server.server_close()


def test_without_a_token_only_where_allowed(service: Service) -> None:
    path = "/latest/meta-data/instance-id"
    assert service.ask("GET", path)[0] == 401
    service.instance = replace(service.instance, tokens_required=False)
    assert service.ask("GET", path) == (200, service.instance.id.encode())
    wrong = {"X-aws-ec2-metadata-token": "wrong"}
    assert service.ask("GET", path, wrong)[0] == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"X-aws-ec2-metadata-token-ttl-seconds": "0"}, 400),
        ({"X-aws-ec2-metadata-token-ttl-seconds": "21601"}, 400),
        ({"X-aws-ec2-metadata-token-ttl-seconds": "soon"}, 400),
        ({**LIFETIME, "X-Forwarded-For": "10.0.0.1"}, 403),
        ({"X-aws-ec2-metadata-token-ttl-seconds": "21600"}, 200),
    ],
)
def test_token_requests(service: Service, headers: dict[str, str], status: int) -> None:
    assert service.ask("PUT", "/latest/api/token", headers)[0] == status


def test_a_token_is_one_instances_own(service: Service) -> None:
    token = service.token()
    service.instance = local(instance(2))
    assert service.ask("GET", "/latest/meta-data/mac", token)[0] == 401


def test_a_token_ends(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    token = service.token()
    later = time.monotonic() + 61
    monkeypatch.setattr("lab.machines.metadata.time.monotonic", lambda: later)
    assert service.ask("GET", "/latest/meta-data/mac", token)[0] == 401


def test_strangers_get_nothing(service: Service) -> None:
    service.instance = instance(1)
    assert service.ask("PUT", "/latest/api/token", LIFETIME)[0] == 404
    assert service.ask("GET", "/latest/meta-data/mac")[0] == 404


def test_user_data_byte_for_byte_or_none(service: Service) -> None:
    assert service.get("user-data") == b"\x1f\x8b\x00bytes\xff"
    service.instance = replace(service.instance, user_data=b"")
    assert service.ask("GET", "/latest/user-data", service.token())[0] == 404


def test_the_tree_lists_itself(service: Service) -> None:
    def walk(path: str) -> dict[str, bytes]:
        found = {}
        for name in service.get(path).decode().splitlines():
            key = name.partition("=")[0] + ("/" if "=" in name else "")
            below = path + key
            found |= walk(below) if key.endswith("/") else {below: service.get(below)}
        return found

    leaves = walk("meta-data/")
    item = service.instance
    mac = f"meta-data/network/interfaces/macs/{item.interface.mac}/"
    assert leaves[mac + "subnet-ipv4-cidr-block"] == b"10.1.1.0/24"
    assert leaves[mac + "local-ipv4s"] == LOCAL.encode()
    assert leaves["meta-data/placement/region"] == REGION.encode()
    assert leaves["meta-data/public-keys/0/openssh-key"] == KEY.encode()
    assert leaves["meta-data/local-hostname"] == b"ip-127-0-0-1.ap-northeast-1.compute.internal"
    assert b"instance-profile/relay-profile" in leaves["meta-data/iam/info"]
    assert service.get("meta-data/public-keys") == b"0=operator"
    assert service.get("meta-data/public-keys/0") == b"openssh-key"
    assert service.ask("GET", "/latest/meta-data/no-such", service.token())[0] == 404
    document = json.loads(service.get("dynamic/instance-identity/document"))
    assert (document["instanceId"], document["region"]) == (item.id, REGION)


def test_a_machine_without_role_key_or_public_address(service: Service) -> None:
    service.instance = replace(service.instance, iam_role=None, public_key=None)
    names = service.get("meta-data").decode().split()
    assert not {"iam/", "public-keys/", "public-ipv4"} & set(names)


def test_credentials_are_real_and_kept(service: Service, aws: Aws) -> None:
    path = f"meta-data/iam/security-credentials/{ROLE}"
    assert service.get("meta-data/iam/security-credentials/") == ROLE.encode()
    first = json.loads(service.get(path))
    assert json.loads(service.get(path)) == first
    identity = boto3.client(
        "sts",
        region_name=REGION,
        endpoint_url=aws.endpoint,
        aws_access_key_id=first["AccessKeyId"],
        aws_secret_access_key=first["SecretAccessKey"],
        aws_session_token=first["Token"],
    ).get_caller_identity()
    assert identity["Arn"].endswith(f":assumed-role/{ROLE}/{service.instance.id}")


def test_credentials_are_renewed_in_time(
    role_credentials: RoleCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = json.loads(role_credentials.document("i-1", ROLE))
    ends = datetime.fromisoformat(first["Expiration"])

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return ends - timedelta(minutes=4)

    monkeypatch.setattr(credentials_module, "datetime", Later)
    assert json.loads(role_credentials.document("i-1", ROLE))["AccessKeyId"] != first["AccessKeyId"]


def test_a_role_that_is_not_there(service: Service, role_credentials: RoleCredentials) -> None:
    with pytest.raises(CredentialsError, match="no-such-role"):
        role_credentials.document("i-1", "no-such-role")
    service.instance = replace(service.instance, iam_role="no-such-role")
    path = "/latest/meta-data/iam/security-credentials/no-such-role"
    assert service.ask("GET", path, service.token())[0] == 500
