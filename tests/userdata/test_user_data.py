"""User data: what a machine is told, before any machine is booted with it."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from rendered import VOLUMES, directory, hosts, smarthost

from model.fields import SettingsError
from model.settings import Environment, read_environment
from userdata import render
from userdata.machine.gatepost_directory.objects import Config


@pytest.fixture
def settings(dev: dict[str, Any]) -> Environment:
    return Environment(**read_environment(dev)[0])


@pytest.mark.parametrize(
    ("outbound", "watched"),
    [("relay", {"relay"}), ("direct", {"relay", "hub"}), ("smarthost", set())],
)
def test_port_25_is_watched_on_whoever_sends_by_it(
    settings: Environment, outbound: str, watched: set[str]
) -> None:
    settings = replace(smarthost(settings), outbound=outbound)
    found = set()
    for role, host in hosts(settings).items():
        document = yaml.safe_load(render.cloud_config(host, directory(role), VOLUMES))
        files = {file["path"]: file["content"] for file in document["write_files"]}
        if "/etc/gatepost/port25.json" in files:
            probes = json.loads(files["/etc/gatepost/port25.json"])
            assert probes["hosts"] == list(settings.port25_probes)
            assert "gatepost-port25.timer" in document["runcmd"][0][2]
            found.add(role)
    assert found == watched


@pytest.mark.parametrize("role", ["relay", "hub", "branch"])
def test_systemd_reads_its_units_once_before_any_is_started(
    settings: Environment, role: str
) -> None:
    document = yaml.safe_load(render.cloud_config(hosts(settings)[role], directory(role), VOLUMES))
    told = document["runcmd"][0][2].splitlines()
    reloads = [
        line
        for line in told
        if re.search(r"\b(daemon-reload|enable|mask)\b", line) and "--no-reload" not in line
    ]
    assert reloads == ["systemctl daemon-reload"]
    changes = [line for line in told if "--no-reload" in line]
    begun = [line for line in told if re.search(r"systemctl (re)?start\b", line)]
    assert changes
    assert begun
    assert told.index(reloads[0]) > max(map(told.index, changes))
    assert told.index(reloads[0]) < min(map(told.index, begun))


def test_postfix_waits_for_every_volume(settings: Environment) -> None:
    text = render.cloud_config(hosts(settings)["hub"], directory("hub"), VOLUMES)
    files = {entry["path"]: entry for entry in yaml.safe_load(text)["write_files"]}
    wait = files["/etc/systemd/system/postfix.service.d/volumes.conf"]["content"]
    for purpose, volume in VOLUMES.items():
        assert f"gatepost-volume@{purpose}.service" in wait
        told = files[f"/etc/gatepost/volumes/{purpose}"]["content"]
        assert told == f"VOLUME={volume}\nMOUNT={render.MOUNTS[purpose]}\n"


def test_main_cf_is_written_after_the_packages_and_postfix_waits(settings: Environment) -> None:
    document = yaml.safe_load(
        render.cloud_config(hosts(settings)["hub"], directory("hub"), VOLUMES)
    )
    files = {entry["path"]: entry for entry in document["write_files"]}
    for path, file in files.items():
        assert file.get("defer", False) is path.startswith("/etc/postfix/"), path
    drop_in = files["/etc/systemd/system/postfix.service.d/gatepost.conf"]["content"]
    assert f"ConditionPathExists={render.STATE}/ready" in drop_in


def test_user_data_is_packed_the_same_each_time_and_its_limit_is_kept(
    settings: Environment,
) -> None:
    text = render.cloud_config(hosts(settings)["relay"], directory("relay"), {"queue": "vol-1"})
    packed = render.pack(text)
    assert packed == render.pack(text)
    assert gzip.decompress(base64.b64decode(packed)).decode() == text
    noise = "".join(random.Random(1).choices("0123456789abcdef", k=50_000))
    with pytest.raises(
        SettingsError, match=r"user data: must be at most 16384 bytes .*, got \d{5}"
    ):
        render.pack(noise)


def test_the_synchroniser_is_told_its_peers(settings: Environment) -> None:
    told = {}
    for role, host in hosts(settings).items():
        document = yaml.safe_load(render.cloud_config(host, directory(role), VOLUMES))
        files = {file["path"]: file["content"] for file in document["write_files"]}
        config = Config(**json.loads(files[render.SETTINGS]))
        told[role] = (config.host, config.peers, config.hands_over, config.relay_port)
        assert config.network == ("10.1.0.0/16" if role == "hub" else "")
    hub = {"ms.example.jp": ["[10.1.11.5]"]}
    assert told == {
        "relay": ("dmz-ms.example.jp", hub, False, 0),
        "hub": ("ms.example.jp", {}, True, 10025),
        "branch": ("ms2.example.jp", hub, True, 0),
    }
