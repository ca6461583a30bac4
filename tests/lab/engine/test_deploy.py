"""The driver around the real engine; programs without a provider keep these tests short."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.engine import run
from lab.engine.build import ensure_engine
from lab.engine.deploy import Engine, EngineError, Result
from lab.engine.operation import DONE_LINE
from lab.session import cache_folder

LIMIT_SECONDS = 30
STACK_FILE = "config:\n  gatepost:word: hello\n"
PROGRAM = """
import pulumi
from words import WORD
pulumi.export("word", WORD)
pulumi.export("config", pulumi.Config().require("word"))
pulumi.export("hidden", pulumi.Output.secret("hunter2"))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "stacks").mkdir(parents=True)
    (folder / "Pulumi.yaml").write_text("name: gatepost\nruntime: python\nstackConfigDir: stacks\n")
    (folder / "stacks" / "Pulumi.dev.yaml").write_text(STACK_FILE)
    (folder / "words.py").write_text("WORD = 'one'\n")
    (folder / "__main__.py").write_text(PROGRAM)
    return folder


@pytest.fixture
def engine(tmp_path: Path, project: Path) -> Engine:
    return Engine(
        engine=ensure_engine(cache_folder(), print),
        state=tmp_path / "state",
        project=project,
        endpoint="http://127.0.0.1:1",
    )


def test_an_edited_program_is_picked_up_and_the_project_stays_clean(
    engine: Engine, project: Path, tmp_path: Path
) -> None:
    assert engine.up("dev").outputs == {"word": "one", "config": "hello", "hidden": "hunter2"}
    (project / "words.py").write_text("WORD = 'two, longer'\n")
    assert engine.up("dev").outputs["word"] == "two, longer"
    assert engine.outputs("dev")["word"] == "two, longer"
    assert (project / "stacks" / "Pulumi.dev.yaml").read_text() == STACK_FILE
    assert not list(project.rglob("__pycache__"))
    assert (tmp_path / "state" / "passphrase").stat().st_mode & 0o777 == 0o600


def test_the_programs_error_is_readable(engine: Engine, project: Path) -> None:
    (project / "words.py").write_text("WORD = 1 / 0\n")
    with pytest.raises(EngineError) as caught:
        engine.preview("dev")
    said = str(caught.value)
    assert "words.py" in said
    assert "WORD = 1 / 0" in said
    assert said.count("ZeroDivisionError: division by zero") == 1
    assert "pulumi/automation" not in said


def test_a_lock_left_by_a_killed_engine_is_cancelled(engine: Engine, tmp_path: Path) -> None:
    engine.up("dev")
    locks = tmp_path / "state" / "pulumi" / ".pulumi" / "locks" / "organization" / "gatepost"
    stale = locks / "dev" / "00000000-0000-0000-0000-000000000000.json"
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.write_text('{"pid": 1, "username": "x", "hostname": "x"}')
    assert engine.up("dev").same == 1
    assert not stale.exists()


HANGING = """
import pathlib, time
import pulumi
pathlib.Path({started!r}).write_text("x")
time.sleep(600)
"""
DRIVER = """
import sys
from pathlib import Path
from lab.engine.deploy import Engine
folder, state, project = map(Path, sys.argv[1:])
Engine(engine=folder, state=state, project=project, endpoint="http://127.0.0.1:1").up("dev")
"""


def test_an_interrupt_ends_everything(engine: Engine, project: Path, tmp_path: Path) -> None:
    started = tmp_path / "started"
    (project / "__main__.py").write_text(HANGING.format(started=str(started)))
    driver = subprocess.Popen(
        [
            sys.executable,
            "-c",
            DRIVER,
            str(ensure_engine(cache_folder(), print)),
            str(tmp_path / "state"),
            str(project),
        ],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait(started.exists, "the program to start")
        assert processes(tmp_path)
        driver.send_signal(signal.SIGINT)
        driver.wait(LIMIT_SECONDS)
    finally:
        driver.kill()
        driver.wait()
    assert processes(tmp_path) == []


def wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {LIMIT_SECONDS} s for {what}"
        time.sleep(0.05)


def processes(folder: Path) -> list[str]:
    """Command lines of processes that name `folder` or run in it, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_text().replace("\0", " ")
            where = os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(folder) in command or where.startswith(str(folder)):
            found.append(command)
    return found


def test_a_later_stack_reads_what_an_earlier_one_made(
    engine: Engine, project: Path, tmp_path: Path
) -> None:
    made = tmp_path / "made"
    (project / "stacks" / "Pulumi.late.yaml").write_text(STACK_FILE)
    (project / "__main__.py").write_text(
        f"""
import pathlib, time
import pulumi
made = pathlib.Path({str(made)!r})
if pulumi.get_stack() == "dev":
    time.sleep(2)
    made.write_text("by dev")
pulumi.export("word", made.read_text())
"""
    )
    told: list[str] = []
    first, second = engine.up_all(
        ["dev", "late"],
        begins=told.append,
        ends=lambda result: told.append(f"{result.stack} has ended"),
        deployed=lambda: told.append("all deployed"),
    )
    assert (first.stack, second.stack) == ("dev", "late")
    assert second.outputs["word"] == "by dev"
    assert told == ["dev", "late", "dev has ended", "all deployed", "late has ended"]


def test_what_is_deployed_is_told_of_whatever_is_done_with_it(engine: Engine) -> None:
    def fail() -> None:
        raise RuntimeError("no machine boots")

    ended: list[Result] = []
    with pytest.raises(RuntimeError, match="no machine boots"):
        engine.up_all(["dev"], ends=ended.append, deployed=fail)
    assert [result.stack for result in ended] == ["dev"]


def test_a_stack_after_one_that_failed_is_not_begun(
    engine: Engine, project: Path, tmp_path: Path
) -> None:
    (project / "stacks" / "Pulumi.late.yaml").write_text(STACK_FILE)
    (project / "__main__.py").write_text(
        f"""
import pathlib
import pulumi
stack = pulumi.get_stack()
(pathlib.Path({str(tmp_path)!r}) / stack).touch()
assert stack != "dev", "this one fails"
"""
    )
    with pytest.raises(EngineError, match="up of dev failed"):
        engine.up_all(["dev", "late"])
    assert (tmp_path / "dev").exists()
    assert not (tmp_path / "late").exists()
    assert processes(tmp_path) == []


class Quiet:
    """An operation that succeeds without a line that says so by itself."""

    def __init__(self) -> None:
        self.begun = False

    def __enter__(self) -> Quiet:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def begin(self) -> None:
        self.begun = True

    def wait_deployed(self) -> bool:
        return False

    def answer(self) -> dict[str, Any]:
        assert self.begun, "would wait for ever"
        return {"summary": {"create": 1}, "changes": []}


def test_a_stack_is_begun_even_if_nobody_saw_the_one_before_deployed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(engine=tmp_path, state=tmp_path / "state", project=project, endpoint="")
    monkeypatch.setattr(engine, "_start", lambda *_, **__: Quiet())
    told: list[str] = []
    results = engine.up_all(
        ["dev", "late"], begins=told.append, deployed=lambda: told.append("all deployed")
    )
    assert [result.created for result in results] == [1, 1]
    assert told == ["dev", "late", "all deployed"]


class Slow:
    """Standard output that lets the other threads go on in the middle of a line."""

    def __init__(self) -> None:
        self.text = ""
        self.both = threading.Barrier(2)

    def write(self, text: str) -> None:
        self.text += text
        with contextlib.suppress(threading.BrokenBarrierError):
            self.both.wait(0.1)

    def flush(self) -> None:
        pass


def test_lines_of_different_threads_are_not_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    monkeypatch.setattr("sys.stdout", slow)
    threads = [threading.Thread(target=run.say, args=(line,)) for line in (DONE_LINE, "created")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(slow.text.splitlines()) == ["created", DONE_LINE]
