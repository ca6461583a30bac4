"""A secret goes from standard input or a prompt to its parameter, and nowhere else."""

from __future__ import annotations

import getpass
import io
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from cli import secret
from cli.main import main
from model import secrets
from userdata.machine import gatepost_secrets

ROOT = Path(__file__).parents[2]
LOGIN = "AKIAEXAMPLE:secret word"


class Ssm:
    """Writes down what is stored."""

    def __init__(self) -> None:
        self.stored: list[dict[str, Any]] = []
        self.error: ClientError | None = None

    def put_parameter(self, **request: Any) -> None:
        if self.error:
            raise self.error
        self.stored.append(request)


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Ssm:
    found = Ssm()
    monkeypatch.setattr(secret.boto3, "client", lambda *_, **__: found)
    return found


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose stack `dev` has a smarthost, not yet in use."""
    folder = tmp_path / "stacks"
    folder.mkdir()
    for stack in ("dev", "dev-osaka"):
        content = yaml.safe_load((ROOT / f"stacks/Pulumi.{stack}.yaml").read_text())
        if stack == "dev":
            smarthost = {"host": "smtp.example.net"}
            content["config"]["gatepost:environment"]["smarthost"] = smarthost
        (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def put(project: Path, stack: str = "dev", name: str = "smarthost") -> int:
    return secret.put(Namespace(stack=stack, name=name), project)


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_it_is_stored_for_the_hub_alone_under_the_stacks_own_key(
    project: Path, ssm: Ssm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, f"{LOGIN}\n")
    assert put(project) == 0
    assert ssm.stored == [
        {
            "Name": "/gatepost/dev/hub/smarthost",
            "Value": LOGIN,
            "Type": "SecureString",
            "KeyId": "alias/gatepost-dev-secrets",
            "Overwrite": True,
        }
    ]
    assert "secret word" not in "".join(capsys.readouterr())


def test_a_person_is_asked_without_echo(
    project: Path, ssm: Ssm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Namespace(isatty=lambda: True))
    monkeypatch.setattr(getpass, "getpass", lambda prompt: LOGIN if "not shown" in prompt else "")
    assert put(project) == 0
    assert ssm.stored[0]["Value"] == LOGIN


def test_a_prompt_may_be_interrupted(
    project: Path, ssm: Ssm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_prompt: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "stdin", Namespace(isatty=lambda: True))
    monkeypatch.setattr(getpass, "getpass", interrupted)
    monkeypatch.setattr("cli.commands.PROJECT", project)
    assert main(["secret", "put", "dev", "smarthost"]) == 130
    assert capsys.readouterr().err == "gatepost: interrupted; nothing is left half done\n"
    assert ssm.stored == []


@pytest.mark.parametrize("text", ["", "user", "user:", ":word", "user:two\nlines\n", "ü:x"])
def test_what_is_no_login_is_refused_and_not_shown(
    project: Path,
    ssm: Ssm,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
) -> None:
    piped(monkeypatch, text)
    assert put(project) == 1
    assert ssm.stored == []
    said = capsys.readouterr().err
    assert "smarthost: must be user:password, one line" in said
    assert "two" not in said


def test_only_a_secret_of_the_settings_is_stored(
    project: Path, ssm: Ssm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, LOGIN)
    assert put(project, name="smarthsot") == 1
    assert "smarthsot: not named in dev's settings; secrets there: smarthost" in (
        capsys.readouterr().err
    )
    assert put(project, stack="dev-osaka") == 1
    assert "dev-osaka: must be an environment" in capsys.readouterr().err
    assert ssm.stored == []


def test_what_aws_refuses_is_told(
    project: Path, ssm: Ssm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = {"Error": {"Code": "InvalidKeyId", "Message": "no such alias"}}
    ssm.error = ClientError(error, "PutParameter")
    piped(monkeypatch, LOGIN)
    assert put(project) == 1
    assert "secret put: An error occurred (InvalidKeyId)" in capsys.readouterr().err


def test_both_sides_take_the_same_logins() -> None:
    assert secrets.LOGIN.pattern == gatepost_secrets.LOGIN.pattern
