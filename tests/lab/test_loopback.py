"""A proxy of the caller's does not come between the lab and its own emulator."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import boto3
import pytest

from lab.engine.deploy import Engine
from lab.loopback import unproxied
from lab.reality import aws_environment

ANSWER = b'{"Parameter": {"Value": "here"}}'
DEAD = "http://127.0.0.1:9"
REGION = "us-east-1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's environment, with a proxy that is not there."""
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, DEAD)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("who", ["commands", "engine"])
def test_the_emulator_is_reached(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    engine = Engine(engine=tmp_path, state=tmp_path, project=tmp_path, endpoint=endpoint)
    given = aws_environment(REGION, endpoint) if who == "commands" else engine._environment()
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    ssm = boto3.client("ssm", region_name=REGION)
    assert ssm.get_parameter(Name="x")["Parameter"]["Value"] == "here"


@pytest.mark.parametrize(
    ("caller", "value"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "corp.example, 10.0.0.1"}, "corp.example,10.0.0.1,127.0.0.1,localhost"),
        ({"NO_PROXY": "a", "no_proxy": "b,a"}, "b,a,127.0.0.1,localhost"),
        ({"no_proxy": "localhost,127.0.0.1"}, "localhost,127.0.0.1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_what_the_caller_has_is_kept(caller: dict[str, str], value: str) -> None:
    assert unproxied(caller) == {"NO_PROXY": value, "no_proxy": value}
    assert unproxied(unproxied(caller)) == unproxied(caller)
