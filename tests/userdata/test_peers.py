"""How hosts of our own tell each other: what they publish, and what they believe of others."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from directories import (
    BRANCH,
    HUB,
    KEYS_OF_ALL,
    RELAY,
    SERVERS,
    Bucket,
    NoQueue,
    alarms,
    altered,
    follow,
    published,
    tables,
    texts,
)

from model import directory
from userdata.machine.gatepost_directory import identity, peers, watch
from userdata.machine.gatepost_directory.objects import Config
from userdata.machine.gatepost_directory.peers import LARGEST_KEY, key_of

HOME = texts("environment")
OSAKA = texts("branches/osaka", users=["jiro@example.jp"])
NAGOYA = texts("branches/nagoya", users=["goro@example.jp"])
HUB_KEY, OSAKA_KEY = "keys/environment/ms.json", "keys/branches/osaka/ms2.json"
CONFIGS = pytest.mark.parametrize("config", [RELAY, HUB, BRANCH], ids=lambda c: c.role)


def of(key: str) -> str:
    """The fingerprint that a host has published."""
    return json.loads(KEYS_OF_ALL[key])["fingerprint"]


def test_a_key_is_made_once_and_its_fingerprint_is_postfix_s(tmp_path: Path) -> None:
    file = tmp_path / "identity" / "host.pem"
    first = identity.ensure(file)
    assert peers.FINGERPRINT.fullmatch(first)
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    # postconf(5), smtpd_tls_chain_files: the key first, then its certificate.
    assert text.index("BEGIN PRIVATE KEY") < text.index("BEGIN CERTIFICATE")
    assert identity.ensure(file) == first
    assert file.read_text() == text
    # TLS_README, "Certificate fingerprint verification".
    shown = "openssl x509 -in $0 -noout -pubkey | openssl pkey -pubin -outform DER"
    digest = subprocess.run(
        ["sh", "-c", f"{shown} | openssl dgst -sha256 -c", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert digest.stdout.split("= ")[1].strip().upper() == first
    assert identity.ensure(tmp_path / "other" / "host.pem") != first


@pytest.mark.parametrize(("owner", "host"), [("environment", "ms.a.jp"), ("branches/x", "b.a.jp")])
def test_program_and_machine_write_the_same_object(owner: str, host: str) -> None:
    made = directory.identity_object(owner, host, "AB")
    assert made.key == key_of(owner, host) == directory.identity_key(owner, host)
    assert made.text.encode() == identity.published(owner, host, "AB")


@CONFIGS
def test_a_host_publishes_its_own_key_once(config: Config, tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, config, keys={})
    follower.look()
    key = key_of(config.owner, config.host)
    said = json.loads(bucket.objects[key])
    own = identity.fingerprint(follower.store.identity)
    assert (said["host"], said["fingerprint"]) == (config.host, own)
    bucket.objects[key] = b"somebody else's"
    follower.look()
    assert bucket.objects[key] == b"somebody else's", "written once, not at every look"


def test_each_role_knows_its_own_peers_and_no_others(tmp_path: Path) -> None:
    found = {}
    for config in (RELAY, HUB, BRANCH):
        folder = tmp_path / config.role
        bucket = Bucket(HOME, OSAKA)
        follow(folder, bucket, config).look()
        found[config.role] = tables(folder)
        assert alarms(folder) == []
    relay = of("keys/environment/dmz-ms.json")
    hub, osaka = of(HUB_KEY), of(OSAKA_KEY)
    for role in ("relay", "branch"):
        assert found[role]["peers"] == f"{hub} OK\n"
        assert found[role]["tls_policy"] == f"[10.1.11.5] fingerprint match={hub}\n"
        assert "branch_certs" not in found[role]
    assert found["hub"]["branch_certs"] == f"{osaka} branches/osaka\n", "not the relays"
    assert set(found["hub"]["peers"].splitlines()) == {f"{relay} OK", f"{osaka} OK"}
    assert set(found["hub"]["tls_policy"].splitlines()) == {
        f"[10.1.1.4]:10025 fingerprint match={relay}",
        f"[192.168.10.5] fingerprint match={osaka}",
    }


def relays(*hosts: str) -> dict[str, str]:
    """The environment's people, with these relays at 10.1.1.4 and on."""
    listed = [{"host": h, "address": f"10.1.1.{n}"} for n, h in enumerate(hosts, start=4)]
    key = "people/environment.json"
    return HOME | {key: altered(HOME[key], relays=listed).decode()}


def key_of_relay(host: str) -> dict[str, str]:
    return published("environment", host)


def test_relays_come_and_go_by_the_directory_and_one_without_a_key_is_tried_last(
    tmp_path: Path,
) -> None:
    new, old = "mx1.example.jp", "dmz-ms.example.jp"
    bucket = Bucket(relays(new, old))
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    assert tables(tmp_path)["outward"] == "relays [10.1.1.5]:10025, [10.1.1.4]:10025\n"
    allowed = "10.1.1.4 permit_auth_destination\n10.1.1.5 permit_auth_destination\n"
    assert tables(tmp_path)["edge"] == allowed
    bucket.put(key_of_relay(new))
    follower.look()
    assert tables(tmp_path)["outward"] == "relays [10.1.1.4]:10025, [10.1.1.5]:10025\n"
    assert "[10.1.1.4]:10025 fingerprint match=" in tables(tmp_path)["tls_policy"]
    gone = of("keys/environment/dmz-ms.json")
    assert gone in tables(tmp_path)["peers"]
    bucket.put(relays(new))
    follower.look()
    assert tables(tmp_path)["outward"] == "relays [10.1.1.4]:10025\n"
    assert tables(tmp_path)["edge"] == "10.1.1.4 permit_auth_destination\n"
    assert gone not in tables(tmp_path)["peers"]
    assert "10.1.1.5" not in "".join(tables(tmp_path).values())


def test_there_is_a_way_out_before_there_is_something_to_serve(tmp_path: Path) -> None:
    follower = follow(tmp_path, Bucket(HOME, OSAKA), HUB, keys={})
    follower.look()
    assert follower.store.ready.exists()
    assert tables(tmp_path)["outward"] == "relays [10.1.1.4]:10025\n"


def test_where_nothing_leaves_by_the_relays_they_are_no_next_hops(tmp_path: Path) -> None:
    follow(tmp_path, Bucket(HOME, OSAKA), replace(HUB, relay_port=0)).look()
    found = tables(tmp_path)
    assert "outward" not in found
    assert found["tls_policy"] == f"[192.168.10.5] fingerprint match={of(OSAKA_KEY)}\n"
    assert of("keys/environment/dmz-ms.json") in found["peers"]


@CONFIGS
def test_a_peer_without_a_key_is_not_trusted_and_looked_for_in_a_hurry(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: now[0])
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, config, keys={})
    assert isinstance(follower.waiting, NoQueue)
    assert follower.look(), "nobody waits for a host that may be down"
    tried = follower.waiting.tried
    assert (tables(tmp_path)["peers"], tables(tmp_path)["tls_policy"]) == ("", "")
    assert follower.pause == watch.EAGER
    now[0] = peers.ALARM_AFTER + 1
    follower.look()
    assert follower.pause == config.seconds
    assert all(alarm.startswith("no key of ") for alarm in alarms(tmp_path))
    assert alarms(tmp_path)
    bucket.put(KEYS_OF_ALL)
    follower.look()
    assert follower.waiting.tried == tried + 1, "mail that has waited goes now"
    assert "fingerprint match=" in tables(tmp_path)["tls_policy"]
    assert alarms(tmp_path) == []


@CONFIGS
def test_nothing_is_fetched_again_that_did_not_change(config: Config, tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, config)
    for _ in range(3):
        follower.look()
    assert len(bucket.keys_fetched) == len(set(bucket.keys_fetched)) > 0
    assert isinstance(follower.waiting, NoQueue)
    assert follower.waiting.tried == 1


def test_a_new_machine_s_key_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    bucket.put(published("branches/osaka", "ms2.example.jp", of="the next machine"))
    follower.look()
    assert of(OSAKA_KEY) not in "".join(tables(tmp_path).values())
    assert tables(tmp_path)["branch_certs"].endswith(" branches/osaka\n")


GOOD = KEYS_OF_ALL[OSAKA_KEY]
HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "no object": b"null",
    "not UTF-8": b"\xff" + GOOD.encode(),
    "too large": GOOD.encode() + b" " * LARGEST_KEY,
    "a field more": altered(GOOD, relay=True),
    "a field twice": GOOD.replace('"owner"', '"owner": "x", "owner"').encode(),
    "another version": altered(GOOD, version=1),
    "a version that is no number": altered(GOOD, version=True),
    "another's": altered(GOOD, owner="environment"),
    "another host's": altered(GOOD, host="ms.example.jp"),
    "lower case": altered(GOOD, fingerprint=of(OSAKA_KEY).lower()),
    "no colons": altered(GOOD, fingerprint=of(OSAKA_KEY).replace(":", "")),
    "too short": altered(GOOD, fingerprint="AB"),
    "two": altered(GOOD, fingerprint=f"{of(OSAKA_KEY)}|{of(HUB_KEY)}"),
    "a newline and more": altered(GOOD, fingerprint=f"{of(OSAKA_KEY)}\n[10.1.1.4] none"),
    "a newline at its end": altered(GOOD, fingerprint=f"{of(OSAKA_KEY)}\n"),
    "a level": altered(GOOD, fingerprint="none"),
    "a list of them": altered(GOOD, fingerprint=[of(OSAKA_KEY)]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_the_last_good_key_stays_and_the_wrong_one_is_named(what: str, tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    before = tables(tmp_path)
    bucket.objects[OSAKA_KEY] = HOSTILE[what]
    follower.look()
    assert tables(tmp_path) == before
    [alarm] = alarms(tmp_path)
    assert alarm.startswith(f"refused {OSAKA_KEY}: ")
    again = follow(tmp_path, bucket, HUB, keys={OSAKA_KEY: HOSTILE[what].decode("latin-1")})
    again.look()
    assert tables(tmp_path) == before, "it is on disk, too"
    bucket.put(KEYS_OF_ALL)
    follower.look()
    assert alarms(tmp_path) == []


def test_nobody_gets_another_s_rights_by_publishing_its_fingerprint(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA, NAGOYA)
    relay = published("branches/osaka", "ms2.example.jp", of="dmz-ms.example.jp")
    follower = follow(tmp_path, bucket, HUB, keys=KEYS_OF_ALL | relay)
    follower.look()
    certs = tables(tmp_path)["branch_certs"]
    assert certs.splitlines() == [f"{of('keys/branches/nagoya/ms3.json')} branches/nagoya"]
    assert "[192.168.10.5]" not in tables(tmp_path)["tls_policy"]
    assert alarms(tmp_path) == [
        f"conflict: {OSAKA_KEY}: its key belongs to keys/environment/dmz-ms.json"
    ]


def test_a_key_of_nobody_is_not_asked_for(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    stranger = {"keys/branches/kobe/x.json": "{", "keys/../people/environment.json": "{"}
    follow(tmp_path, bucket, HUB, keys=KEYS_OF_ALL | stranger).look()
    assert set(bucket.keys_fetched) == {"keys/environment/dmz-ms.json", OSAKA_KEY}
    assert alarms(tmp_path) == []


def test_a_branch_that_goes_takes_its_key_along(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    del bucket.objects["people/branches/osaka.json"]
    # Its tables follow at the look after.
    follower.look()
    assert tables(tmp_path)["branch_certs"] == ""
    assert not [file for file in follower.store.parts.iterdir() if "osaka" in file.name]


def test_without_s3_the_last_good_keys_hold(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follow(tmp_path, bucket, HUB).look()
    before = tables(tmp_path)
    bucket.away = True
    again = follow(tmp_path, bucket, HUB)
    assert again.look()
    assert tables(tmp_path) == before
    bucket.away = False
    again.look()
    assert tables(tmp_path) == before


def test_an_office_s_key_comes_by_its_settings(tmp_path: Path) -> None:
    host, _ = SERVERS["branches/nagoya"]
    bucket = Bucket(HOME, NAGOYA)
    given: dict[str, Any] = {
        item.key: item.text
        for item in [directory.identity_object("branches/nagoya", host, of(HUB_KEY))]
    }
    follow(tmp_path, bucket, replace(HUB, peers={}), keys=given).look()
    assert tables(tmp_path)["branch_certs"] == f"{of(HUB_KEY)} branches/nagoya\n"


def test_a_branch_that_comes_back_with_its_key_is_known_again(tmp_path: Path) -> None:
    bucket = Bucket(HOME, OSAKA)
    follower = follow(tmp_path, bucket, HUB)
    follower.look()
    before = tables(tmp_path)
    assert of(OSAKA_KEY) in before["branch_certs"]
    for key in OSAKA:
        del bucket.objects[key]
    follower.look()
    assert of(OSAKA_KEY) not in tables(tmp_path)["branch_certs"]
    bucket.put(OSAKA)
    for _ in range(2):
        follower.look()
    assert tables(tmp_path) == before
