"""The owner of a lab: everything in it ends with it, and nothing is mistaken for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.holder import Holder, HolderError, cgroups
from lab.holder.holder import STOP_LIMIT
from lab.holder.record import Record, start_time
from lab.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    holder = Holder.start(tmp_path / "lab", tied=True)
    yield holder
    holder.stop()


def namespaces(holder: Holder) -> dict[str, str]:
    folder = Path(f"/proc/{holder.record.pid}/ns")
    return {kind: os.readlink(folder / kind) for kind in ("mnt", "pid", "net")}


def processes_in(pid_namespace: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "ns/pid") == pid_namespace:
                found.append((entry / "cmdline").read_text())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # It ended meanwhile, or it is a host's own that nobody may look into.
    return found


def fill(holder: Holder) -> None:
    """Put one of everything into the lab: a process, a namespace, a mount and a control group."""
    holder.popen("sleeper", ["sleep", "1000"])
    holder.run(["ip", "netns", "add", "i-1"])
    holder.run(["mount", "-t", "tmpfs", "tmpfs", "/mnt"])
    holder.run(["mkdir", "-p", f"/run/cgroup/{holder.group}/i-1/init.scope"])


def lab_groups(group: str) -> str:
    script = f"mount -t cgroup2 cgroup2 /mnt; ls -d /mnt/{group} 2>/dev/null || true"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_shares_the_network_only(holder: Holder) -> None:
    own = {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "pid", "net")}
    theirs = namespaces(holder)
    assert theirs["net"] == own["net"]
    assert theirs["mnt"] != own["mnt"]
    assert theirs["pid"] != own["pid"]
    assert "lab.holder.init" in holder.run(["cat", "/proc/1/cmdline"]).stdout


def test_run_passes_input_output_and_status(holder: Holder) -> None:
    done = holder.run(["sh", "-c", "cat; echo oops >&2; exit 3"], stdin="é\udcff", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, "é\udcff", "oops\n")
    holder.run(["ip", "netns", "add", "i-2"])
    with pytest.raises(HolderError, match=r"false \(in i-2\): exit status 1"):
        holder.run(["false"], netns="i-2")


def test_run_kills_what_takes_too_long(holder: Holder) -> None:
    with pytest.raises(HolderError, match="no end after"):
        holder.run(["sleep", "987"], limit=0.2)
    pid_namespace = namespaces(holder)["pid"]
    assert wait_for(lambda: not any("987" in line for line in processes_in(pid_namespace)), 5)


def test_an_interrupt_at_the_commands_very_end_stays_an_interrupt(
    holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = subprocess.Popen.communicate

    def interrupted(self: subprocess.Popen[str], *given: object, **named: object) -> object:
        monkeypatch.setattr(subprocess.Popen, "communicate", whole)
        self.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        holder.run(["true"])


def test_popen_outlives_the_call_and_is_reaped(holder: Holder) -> None:
    process = holder.popen("echo", ["sh", "-c", "echo started; exec sleep 1000"])
    assert holder.process("echo") == process
    assert wait_for(lambda: holder.log("echo").read_text() == "started\n", 5)
    with pytest.raises(HolderError, match="echo runs already"):
        holder.popen("echo", ["true"])
    process.signal(signal.SIGKILL)
    assert process.wait(5)
    assert wait_for(lambda: not holder.inside(f"/proc/{process.pid}").exists(), 5), "a zombie"
    assert holder.process("echo") is None


def test_stop_leaves_nothing(holder: Holder) -> None:
    fill(holder)
    pid_namespace = namespaces(holder)["pid"]
    holder.stop()
    assert processes_in(pid_namespace) == []
    assert lab_groups(holder.group) == ""
    assert Holder.find(holder.state) is None
    assert not (holder.state / "holder.json").exists()
    assert "i-1" not in subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout


def test_stop_is_not_held_up_by_a_suspended_command(holder: Holder) -> None:
    command = holder.entering(["sh", "-c", "echo here; exec sleep 1000"])
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as suspended:
        assert suspended.stdout is not None
        assert suspended.stdout.readline() == b"here\n"
        os.kill(suspended.pid, signal.SIGSTOP)
        try:
            holder.stop()
            assert suspended.wait(STOP_LIMIT) != 0
        finally:
            suspended.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("look", [1, 2])
def test_stop_does_not_mind_an_owner_that_ends_meanwhile(
    look: int, holder: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(holder)
    looks = 0

    def alive(record: Record) -> bool:
        """True at the look that matters, though the owner has been reaped when it is acted on."""
        nonlocal looks
        looks += 1
        answer = was_alive(record)
        if looks == look:
            os.kill(record.pid, signal.SIGKILL)
            assert wait_for(lambda: not Path(f"/proc/{record.pid}").exists(), 5)
        return answer

    was_alive = Record.alive
    monkeypatch.setattr(Record, "alive", alive)
    holder.stop()
    assert looks >= look
    assert lab_groups(holder.group) == ""
    assert not (holder.state / "holder.json").exists()


def test_kill_leaves_only_what_the_next_start_clears(holder: Holder) -> None:
    fill(holder)
    pid_namespace = namespaces(holder)["pid"]
    os.kill(holder.record.pid, signal.SIGKILL)
    assert wait_for(lambda: processes_in(pid_namespace) == [], 5)
    assert Holder.find(holder.state) is None
    with pytest.raises(HolderError, match="not running any more"):
        holder.run(["true"])
    assert lab_groups(holder.group) != "", "nothing was left for the next start to clear"
    again = Holder.start(holder.state, tied=True)
    assert lab_groups(holder.group) == ""
    again.stop()


def test_a_tied_lab_ends_with_its_starter(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from lab.holder import Holder;"
        "h = Holder.start(pathlib.Path(sys.argv[1]), tied=True);"
        "h.popen('s', ['sleep', '1000']); print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        holder = Holder.find(tmp_path)
        assert holder is not None
        pid_namespace = namespaces(holder)["pid"]
        starter.kill()
    assert wait_for(lambda: processes_in(pid_namespace) == [], 5)


def test_two_labs_have_names_of_their_own(holder: Holder, tmp_path: Path) -> None:
    other = Holder.start(tmp_path / "other", tied=True)
    for lab, address in ((holder, "10.0.0.1/24"), (other, "10.0.0.1/24")):
        lab.run(["ip", "netns", "add", "same"])
        lab.run(["ip", "address", "add", address, "dev", "lo"], netns="same")
    other.stop()
    assert "10.0.0.1/24" in holder.run(["ip", "address"], netns="same").stdout


def test_one_lab_per_state(holder: Holder) -> None:
    with pytest.raises(HolderError, match="A lab runs already"):
        Holder.start(holder.state)


def test_a_stranger_with_the_pid_is_left_alone(tmp_path: Path) -> None:
    holder = Holder.start(tmp_path, tied=True)
    record = holder.record
    holder.stop()
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        replace(record, pid=stranger.pid).write(tmp_path / "holder.json")
        assert Holder.find(tmp_path) is None
        Holder(state=tmp_path, record=replace(record, pid=stranger.pid)).stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_spoilt_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "holder.json").write_text(json.dumps({"pid": 1}))
    with pytest.raises(LabError, match=r"holder\.json is not a process record"):
        Holder.find(tmp_path)


def test_start_time_of_awkward_names(tmp_path: Path) -> None:
    folder = tmp_path / "7"
    folder.mkdir()
    fields = ["S", *[str(number) for number in range(4, 53)]]
    (folder / "stat").write_text("7 (a) b (c) " + " ".join(fields))
    assert start_time(7, tmp_path) == 22
    (folder / "stat").write_text("7 (a) " + " ".join(["Z", *fields[1:]]))
    assert start_time(7, tmp_path) is None
    assert start_time(8, tmp_path) is None


def test_a_group_in_use_is_reported(holder: Holder) -> None:
    folder = f"/run/cgroup/{holder.group}/i-1"
    holder.run(["mkdir", "-p", folder])
    holder.popen("member", ["sh", "-c", f"echo $$ >{folder}/cgroup.procs; exec sleep 1000"])
    members = holder.inside(folder) / "cgroup.procs"
    assert wait_for(lambda: members.read_text() != "", 5)
    assert "Device or resource busy" in (cgroups.remove(holder.group) or "")
