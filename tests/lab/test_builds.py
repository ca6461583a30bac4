"""The processes of builds: told of, failed, and ended from outside."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from lab.builds import BuildError, Builds
from lab.holder.record import start_time
from lab.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="builds run in namespaces, as root")

LIMIT = 10.0
SLOW = ["sh", "-c", "echo begun; sleep 600 & wait"]


def session(builds: Builds) -> list[int]:
    """What runs in the sessions of the builds that are under way."""
    leaders = {process.pid for process in builds._running}
    found = []
    for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*")):
        with suppress(ProcessLookupError):
            if os.getsid(pid) in leaders:
                found.append(pid)
    return found


def ended(pids: list[int]) -> bool:
    return wait_for(lambda: all(start_time(pid) is None for pid in pids), LIMIT)


class Waiter:
    """A thread that waits for a build, and what it got."""

    def __init__(self, build: Callable[[], None]) -> None:
        self.error = ""
        self._build = build
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()

    def _wait(self) -> None:
        try:
            self._build()
        except BuildError as error:
            self.error = str(error)

    def end(self) -> str:
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()
        return self.error


def test_a_step_has_the_folder_and_the_environment_it_is_given(tmp_path: Path) -> None:
    said: list[str] = []
    environment = {**os.environ, "WORD": "hello"}
    command = ["sh", "-c", 'pwd; echo "$WORD"']
    Builds().run(command, said.append, folder=tmp_path, environment=environment)
    assert said == [str(tmp_path), "hello"]


def test_a_step_that_fails_says_its_last_words() -> None:
    with pytest.raises(BuildError, match=r"^sh: exit status 3:\nno space left$"):
        Builds().run(["sh", "-c", "echo no space left; exit 3"], lambda _line: None)


def test_stopping_ends_what_runs_and_refuses_the_next(tmp_path: Path) -> None:
    builds, said = Builds(), []
    waiter = Waiter(lambda: builds.run(SLOW, said.append))
    assert wait_for(lambda: said == ["begun"] and len(session(builds)) == 3, LIMIT)
    running = session(builds)
    builds.stop()
    assert waiter.end() == "sh: stopped"
    assert ended(running)
    with pytest.raises(BuildError, match="touch: stopped"):
        builds.run(["touch", str(tmp_path / "next")], said.append)
    assert not (tmp_path / "next").exists()


def test_an_error_of_who_listens_ends_the_step(tmp_path: Path) -> None:
    builds, running = Builds(), []

    def interrupt(_line: str) -> None:
        running.extend(session(builds))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builds.run(SLOW, interrupt)
    assert running
    assert ended(running)


def test_stopping_ends_the_wait_for_another_lab(tmp_path: Path) -> None:
    builds, said = Builds(), []

    def build() -> None:
        with builds.alone(tmp_path, said.append):
            said.append("built")

    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiter = Waiter(build)
        assert wait_for(lambda: said != [], LIMIT)
        builds.stop()
        assert waiter.end() == f"{tmp_path}: stopped"
    assert said == [f"waiting for another lab to finish a build in {tmp_path}"]
