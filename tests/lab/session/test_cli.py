"""The command line of a lab that is up."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from cli.main import main
from tests.lab.session.bench import Bench, Started, command, gatepost

ADDRESSES = {
    "ms.example.jp": ("hub", "10.1.11.5"),
    "dmz-ms.example.jp": ("relay", "10.1.1.4"),
    "ms2.example.jp": ("branch", "192.168.10.5"),
}


def execute(bench: Bench, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return gatepost(bench.lab.project, bench.lab.state, "exec", *arguments, stdin=stdin)


def test_status_for_machines(bench: Bench) -> None:
    done = gatepost(bench.lab.project, bench.lab.state, "status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert set(answer) == {"stacks", "hosts", "alarms"}
    assert answer["alarms"] == {}
    assert answer["stacks"] == ["dev", "dev-osaka"]
    rows = {row["name"]: row for row in answer["hosts"]}
    assert set(rows) == {*ADDRESSES, "internet", "internet2"}
    for row in rows.values():
        assert set(row) == {
            *("name", "role", "instance", "private_ip", "public_ip", "boot_id", "running")
        }
    assert {name: (rows[name]["role"], rows[name]["private_ip"]) for name in ADDRESSES} == ADDRESSES
    assert {name: rows[name]["boot_id"] for name in ADDRESSES} == bench.boot_ids()
    assert all(row["running"] is True for row in rows.values())


def test_status_for_people(bench: Bench) -> None:
    lines = gatepost(bench.lab.project, bench.lab.state, "status").stdout.splitlines()
    assert lines[0].split() == ["host", "role", "private", "public", "instance", "state"]
    for name, (role, address) in ADDRESSES.items():
        [line] = [line for line in lines if line.startswith(f"{name} ")]
        assert line.split()[1:3] == [role, address]
        assert line.endswith("running")
    assert lines[-1] == "reach one by: gatepost lab exec HOST -- CMD…"


@pytest.mark.parametrize("host", ["ms.example.jp", "ms", "internet"])
def test_exec_passes_input_output_and_status(bench: Bench, host: str) -> None:
    script = "read word; echo out:$word; echo err:$word >&2; hostname; exit 7"
    done = execute(bench, host, "--", "sh", "-c", script, stdin="hello\n")
    name = {"internet": "mx.example.net"}.get(host, "ms")
    assert done.stdout.splitlines()[0] == "out:hello"
    assert done.stdout.splitlines()[1].partition(".")[0] == name.partition(".")[0]
    assert (done.stderr, done.returncode) == ("err:hello\n", 7)


def test_exec_passes_options_of_the_command(bench: Bench) -> None:
    assert execute(bench, "ms", "--", "printf", "%s|", "--json", "-x", "a b").stdout == (
        "--json|-x|a b|"
    )


def test_exec_passes_signals(bench: Bench) -> None:
    process = subprocess.Popen(
        command(bench.lab.state, "exec", "ms", "--", "sh", "-c", "echo $$; exec sleep 99"),
        cwd=bench.lab.project,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        pid = process.stdout.readline().strip()
        process.kill()
        process.wait()
    execute(bench, "ms", "--", "kill", pid)
    assert execute(bench, "ms", "--", "kill", "-0", pid).returncode != 0


def test_an_interrupted_check_leaves_the_lab_up(bench: Bench) -> None:
    ids = bench.boot_ids()
    job = Started.start(bench.lab.project, bench.lab.state, "check")
    job.read_until("Internet → relay → hub → mailbox")
    job.interrupt()
    assert job.end() == 130, "".join(job.lines)
    # A line may have been cut short by the signal: the complaint can follow it at once.
    assert "gatepost: interrupted; the lab stays: `gatepost lab apply`" in job.lines[-1]
    assert bench.boot_ids() == ids


def test_exec_without_a_command_or_host_says_how(bench: Bench) -> None:
    done = execute(bench, "ms")
    assert done.returncode == 2
    assert "write gatepost lab exec HOST -- CMD…" in done.stderr
    done = execute(bench, "nobody", "--", "true")
    assert done.returncode == 1
    assert done.stderr == (
        "gatepost: host nobody: not in this lab; there are "
        "dmz-ms.example.jp, ms.example.jp, ms2.example.jp, internet, internet2\n"
    )


@pytest.mark.parametrize(
    "arguments", [["status"], ["apply"], ["check"], ["exec", "ms", "--", "true"]]
)
def test_without_a_lab_every_command_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(["lab", "--state", str(tmp_path / "none"), *arguments]) == 1
    assert capsys.readouterr().err == (
        f"gatepost: no lab is up in {tmp_path / 'none'}: run `gatepost lab up` first\n"
    )
    assert not (tmp_path / "none").exists()


def test_down_without_a_lab_is_no_error(tmp_path: Path) -> None:
    assert main(["lab", "--state", str(tmp_path / "none"), "down"]) == 0


def test_an_unknown_stack_is_refused_with_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lab", "--state", str(tmp_path / "none"), "up", "staging"]) == 1
    said = capsys.readouterr().err
    assert "stack staging: no file" in said
    assert "stacks here: dev, dev-osaka, prod" in said


def test_without_root_nothing_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for arguments in ([], ["up"]):
        assert main(["lab", "--state", str(tmp_path / "none"), *arguments]) == 1
        assert "gatepost: The lab needs root, but runs as uid 1000" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_missing_tool_is_named_with_its_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.host.SUPERUSER_PATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["lab", "--state", str(tmp_path / "none"), "up"]) == 1
    said = capsys.readouterr().err
    assert "Not found: " in said
    assert "apt-get install" in said
    assert "nftables" in said
