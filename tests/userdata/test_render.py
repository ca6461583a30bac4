"""User data: what a machine is told, before any machine is booted with it."""

from __future__ import annotations

import base64
import gzip
import random
import re
from ipaddress import IPv4Address
from typing import Any

import pytest
import yaml

from model import mail
from model.fields import SettingsError
from model.settings import Environment, read_environment
from userdata import render

VOLUMES = {"queue": "vol-0a", "mail": "vol-0b"}


@pytest.fixture
def settings(dev: dict[str, Any]) -> Environment:
    return Environment(**read_environment(dev)[0])


def directory(role: str) -> render.Directory:
    return render.Directory(
        role=role,
        bucket="b",
        region="us-east-1",
        owner="environment",
        domains=("example.jp",),
        branches="192.168.0.0/16",
        hub="10.1.11.5",
    )


def hosts(settings: Environment) -> dict[str, mail.Postfix]:
    return {
        "relay": mail.relay(
            settings, "dmz-ms.example.jp", IPv4Address("10.1.11.5"), "198.51.100.1"
        ),
        "hub": mail.hub(settings, [IPv4Address("10.1.1.4"), IPv4Address("10.1.2.5")]),
        "branch": mail.branch("ms2.example.jp", settings.domains, "10.1.11.5"),
    }


def parameters(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert not any(line[0].isspace() for line in lines), "every parameter is one line"
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition("=")
        assert name.strip() not in found, "no parameter is given twice"
        found[name.strip()] = value.strip()
    return found


@pytest.mark.parametrize("role", ["relay", "hub", "branch"])
def test_no_domain_is_local_and_no_map_is_berkeley_db(settings: Environment, role: str) -> None:
    text = render.main_cf(hosts(settings)[role])
    found = parameters(text)
    assert found["mydestination"] == ""
    assert found["relay_domains"] == "example.jp, example.co.jp"
    assert found["smtpd_relay_restrictions"] == "permit_mynetworks, reject_unauth_destination"
    assert not re.search(r"\b(hash|btree):[^ ]", re.sub("(?m)^#.*", "", text))


def test_only_the_edge_says_550(settings: Environment) -> None:
    code = "unknown_relay_recipient_reject_code"
    texts = {role: parameters(render.main_cf(host)) for role, host in hosts(settings).items()}
    assert {role: text[code] for role, text in texts.items()} == {
        "relay": "550",
        "hub": "450",
        "branch": "450",
    }


@pytest.mark.parametrize("outbound", ["relay", "direct"])
def test_the_hub_refuses_to_insiders_only(dev: dict[str, Any], outbound: str) -> None:
    settings = Environment(**read_environment(dev | {"outbound": outbound})[0])
    host = mail.hub(settings, [IPv4Address("10.1.1.4"), IPv4Address("10.1.2.5")])
    assert parameters(render.main_cf(host))["smtpd_recipient_restrictions"] == (
        "check_recipient_access cdb:$tables/held, reject_unlisted_recipient, "
        "check_client_access inline:{ {10.1.1.4 = permit_auth_destination} "
        "{10.1.2.5 = permit_auth_destination} }, check_recipient_access cdb:$tables/refused"
    )


def test_each_hop_behind_the_edge_takes_more(settings: Environment) -> None:
    limits = [
        int(parameters(render.main_cf(hosts(settings)[role]))["message_size_limit"])
        for role in ("relay", "hub", "branch")
    ]
    assert limits == sorted(set(limits))


def test_the_relay_trusts_one_address(settings: Environment) -> None:
    found = parameters(render.main_cf(hosts(settings)["relay"]))
    assert found["mynetworks"] == "127.0.0.0/8, 10.1.11.5/32"


def test_the_hub_tries_every_relay_its_own_zone_s_first(dev: dict[str, Any]) -> None:
    zones = {"zones": ["us-east-1a", "us-east-1b"]}
    relays = {
        "relays": [
            {"host": "b.example.jp", "zone": "us-east-1b"},
            {"host": "a.example.jp", "zone": "us-east-1a"},
        ]
    }
    settings = Environment(**read_environment(dev | zones | relays)[0])
    addresses = [IPv4Address("10.1.2.4"), IPv4Address("10.1.1.5")]
    host = mail.hub(settings, mail.own_zone_first(settings, addresses))
    assert parameters(render.main_cf(host))["relayhost"] == "[10.1.1.5], [10.1.2.4]"


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
    assert files["/etc/postfix/main.cf"]["defer"] is True
    assert not any(f.get("defer") for path, f in files.items() if path != "/etc/postfix/main.cf")
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
