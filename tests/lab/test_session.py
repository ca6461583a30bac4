"""What a lab makes of its stacks and its record, whatever the engine and the machines do."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.main import main
from lab import folder
from lab.engine.deploy import EngineError, Result
from lab.errors import LabError
from lab.faults import Faults
from lab.holder import HolderError
from lab.holder.record import Record
from lab.session import Lab, Says
from lab.signals import ENDING

ROOT = Path(__file__).parents[2]


class Engine:
    """Deploys and destroys nothing; `broken` is the stack that fails."""

    broken = ""

    def __init__(self) -> None:
        self.done: list[str] = []

    def up_all(
        self,
        stacks: list[str],
        *,
        refresh: bool,
        begins: Callable[[str], None],
        ends: Callable[[Result], None],
        deployed: Callable[[], None],
    ) -> list[Result]:
        results = []
        for stack in stacks:
            if stack == self.broken:
                raise EngineError(f"up of {stack} failed")
            self.done.append(stack)
            results.append(Result(stack=stack, outputs={"kind": "branch", "hosts": []}))
            try:
                if stack == stacks[-1]:
                    deployed()
            finally:
                ends(results[-1])
        return results

    def destroy(self, stack: str) -> Result:
        self.done.append(stack)
        return Result(stack=stack)


class Up(Lab):
    """A lab that is up with `dev` and a branch, and has nothing to boot; `fails` at that."""

    fails = False
    followed = 0

    def __init__(self, project: Path, state: Path) -> None:
        super().__init__(project, state, Says(phase=print, noise=print))
        self.engine = Engine()

    def _engine(self, record: dict[str, Any], *, checkpoints: bool = True) -> Any:
        return self.engine

    def _reality(self, holder: Any, record: dict[str, Any]) -> Any:
        return SimpleNamespace(follow=self._follow, break_on_purpose=self._follow)

    def _follow(self, *_: object, **__: object) -> None:
        with pytest.raises(LabError, match="must be this command's alone"), other(self.state):
            pass
        if self.fails:
            raise LabError("a machine's first boot failed")
        self.followed += 1


def other(state: Path) -> Any:
    """Another command's claim: a lock is its descriptor's, not its process's (flock(2))."""
    return folder.claimed(state)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Up:
    monkeypatch.setattr("lab.session.require_root", lambda: None)
    shutil.copytree(ROOT / "stacks", tmp_path / "project/stacks")
    (tmp_path / "state").mkdir()
    lab = Up(tmp_path / "project", tmp_path / "state")
    Record.of(os.getpid()).write(lab.state / "holder.json")
    outputs = {stack: {"kind": "environment"} for stack in ("dev", "dev-osaka")}
    record = {"outputs": outputs, "stacks": list(outputs), "baked": True}
    (lab.state / "lab.json").write_text(json.dumps(record))
    return lab


def test_a_deployed_stack_is_recorded_though_its_machines_fail(lab: Up) -> None:
    lab.fails = True
    with pytest.raises(LabError, match="first boot failed"):
        lab.apply(["prod"])
    assert lab.record["stacks"] == ["dev", "dev-osaka", "prod"]


def test_what_was_deployed_before_another_failed_is_recorded(lab: Up) -> None:
    lab.remove(["dev-osaka"])
    lab.engine.broken = "prod"
    with pytest.raises(EngineError):
        lab.apply(["dev-osaka", "prod"])
    assert lab.record["stacks"] == ["dev", "dev-osaka"]


def test_who_did_not_answer_the_engine_is_named_with_the_end_of_its_log(lab: Up) -> None:
    (lab.state / "logs").mkdir()
    (lab.state / "logs/emulator.log").write_text("ImportError: no such backend\n")
    lab.engine.broken = "dev"
    said = r"(?s)up of dev failed.*the AWS emulator has ended.*ImportError: no such backend"
    with pytest.raises(EngineError, match=said):
        lab.apply(["dev"])


def test_a_stack_that_is_named_twice_is_meant_once(lab: Up) -> None:
    assert [result.stack for result in lab.apply(["dev", "dev"])] == ["dev"]
    assert [result.stack for result in lab.remove(["dev-osaka", "dev-osaka"])] == ["dev-osaka"]
    assert lab.engine.done == ["dev", "dev-osaka"]
    assert lab.followed == 2


def test_a_stack_without_a_file_is_not_begun(lab: Up) -> None:
    with pytest.raises(LabError, match=r"stack dev-osaak: no file .*; stacks here: dev, dev-osaka"):
        lab.apply(["dev", "dev-osaak"])
    assert lab.engine.done == []


def test_a_lab_without_stacks_says_so(lab: Up) -> None:
    lab.remove(["dev-osaka", "dev"])
    with pytest.raises(LabError, match="no stack is deployed in this lab: name one"):
        lab.apply([])
    with pytest.raises(LabError, match="not deployed in this lab; deployed: none"):
        lab.remove(["dev"])


def test_whatever_changes_a_lab_has_it_alone(lab: Up) -> None:
    lab.apply([])
    lab.remove(["dev-osaka"])
    lab.follow()
    lab.break_on_purpose(Faults())
    assert lab.followed == 4, "and each looked whether another could claim the folder"
    commands = [
        lambda: lab.apply([]),
        lambda: lab.remove(["dev"]),
        lab.follow,
        lambda: lab.break_on_purpose(Faults()),
    ]
    for command in commands:
        with other(lab.state), pytest.raises(LabError, match="brings up, changes or takes down"):
            command()
    assert lab.engine.done == ["dev", "dev-osaka", "dev-osaka"]


def test_without_an_environment_there_is_nothing_to_judge(
    lab: Up, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cli.commands._lab", lambda _arguments: (lab, None))
    lab.remove(["dev-osaka", "dev"])
    assert main(["lab", "check"]) == 1
    said = "gatepost: an environment must be deployed to be judged; stacks here: none\n"
    assert capsys.readouterr().err == said


def test_a_clean_up_hears_no_signal(lab: Up, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []

    def down() -> None:
        for number in ENDING:
            signal.raise_signal(number)
        ended.append(True)

    before = [signal.getsignal(number) for number in ENDING]
    monkeypatch.setattr(lab, "down", down)
    lab.clean_up()
    assert ended == [True]
    assert [signal.getsignal(number) for number in ENDING] == before


def test_a_clean_up_that_fails_says_what_is_left_to_do(
    lab: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down() -> None:
        raise HolderError("Process 7 lives on 20 s after SIGKILL")

    monkeypatch.setattr(lab, "down", down)
    with pytest.raises(LabError, match=r"lives on .*\n.* not cleaned up: run `gatepost lab down`"):
        lab.clean_up()
