"""Of several relays one at a time is renewed, and none while another does not serve."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from recording import Recorder, run

from model.fields import SettingsError
from stacks import environment

ROOT = Path(__file__).parents[2]
INSTANCES = "aws:ec2/getInstances:getInstances"
HELD = ["ami", "instanceType", "keyName", "tags", "userDataBase64"]
KEYS = ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB")


@dataclass(frozen=True, kw_only=True)
class There:
    """An instance of the account; a `birth` of "" is whatever is asked for."""

    birth: str = "old"
    state: str = "running"
    role: str = "relay"
    address: str = ""


@pytest.fixture
def prod() -> dict[str, Any]:
    text = (ROOT / "stacks" / "Pulumi.prod.yaml").read_text()
    return yaml.safe_load(text)["config"]["gatepost:environment"]


def build(raw: dict[str, Any], **there: There) -> Recorder:
    """Evaluate the environment in an account that has these instances, by their first label."""

    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        tags = dict(asked["instanceTags"])
        assert tags.pop("gatepost:stack") == "prod"
        found = [
            (name, item)
            for name, item in there.items()
            if item.state in asked["instanceStateNames"]
            and tags.get("Name", name).partition(".")[0] == name
            and tags.get("gatepost:role", item.role) == item.role
            and item.birth in ("", tags.get("gatepost:birth", item.birth))
        ]
        addresses = [item.address for _, item in found if item.address]
        return {"ids": [f"i-{name}" for name, _ in found], "privateIps": addresses}

    return run(
        lambda: environment.build("prod", raw), stack_name="prod", answers={INSTANCES: answer}
    )[0]


def waiting(recorder: Recorder) -> set[str]:
    """The hosts that keep what they have."""
    found = set()
    for instance in recorder.of("ec2/instance:Instance"):
        assert instance.ignore_changes in ([], HELD)
        if instance.ignore_changes:
            found.add(instance.name.removeprefix("gatepost-prod-"))
    return found


OLD, NEW = There(), There(birth="")
STOPPED = There(state="stopped")


@pytest.mark.parametrize(
    ("there", "held"),
    [
        ({}, set()),
        ({"mx1": OLD, "mx2": OLD, "ms": There(role="hub")}, {"mx2"}),
        ({"mx1": NEW, "mx2": OLD}, set()),
        # A relay of which only the old instance is gone; one that is stopped.
        ({"mx2": OLD}, {"mx2"}),
        ({"mx1": OLD}, {"mx1"}),
        ({"mx1": There(birth="", state="stopped"), "mx2": OLD}, {"mx2"}),
        ({"mx1": There(birth="", state="pending"), "mx2": OLD}, {"mx2"}),
        # What does not serve has nothing to lose, and nobody waits for ever.
        ({"mx1": STOPPED, "mx2": OLD}, {"mx2"}),
        ({"mx1": OLD, "mx2": STOPPED}, {"mx1"}),
        ({"mx1": STOPPED, "mx2": STOPPED}, set()),
        ({"mx2": STOPPED}, set()),
        # One that is taken out of the list goes in this very `up`.
        ({"mx1": OLD, "mx2": NEW, "mx9": OLD}, {"mx1"}),
        ({"mx1": OLD, "mx2": NEW, "mx9": STOPPED}, set()),
    ],
)
def test_a_relay_is_renewed_only_while_every_other_one_serves(
    prod: dict[str, Any], there: dict[str, There], held: set[str]
) -> None:
    assert waiting(build(prod, **there)) == held


def test_a_new_relay_is_made_first_and_then_the_others_have_their_turns(
    prod: dict[str, Any],
) -> None:
    wider = prod | {"relays": [*prod["relays"], {"host": "mx3.example.jp"}]}
    assert waiting(build(wider, mx1=OLD, mx2=OLD)) == {"mx1", "mx2"}
    assert waiting(build(wider, mx1=OLD, mx2=OLD, mx3=NEW)) == {"mx2"}
    assert waiting(build(wider, mx1=NEW, mx2=OLD, mx3=NEW)) == set()


def test_another_key_of_the_administrators_renews_relays_in_turns(prod: dict[str, Any]) -> None:
    before, after = (build(prod | {"administrator_key": key}) for key in KEYS)

    def of(recorder: Recorder, name: str) -> dict[str, Any]:
        return recorder.one("ec2/instance:Instance", f"gatepost-prod-{name}").inputs

    for name in ("mx1", "mx2", "ms"):
        old, new = of(before, name), of(after, name)
        assert old["tags"]["gatepost:birth"] != new["tags"]["gatepost:birth"]
    # The new pair is made beside the old one: nothing that depends on it is deleted first.
    names = [r.one("ec2/keyPair:KeyPair", "gatepost-prod-administrators") for r in (before, after)]
    assert names[0].inputs["keyName"] != names[1].inputs["keyName"]
    assert not any(pair.delete_before_replace for pair in names)
    old_birth = of(before, "mx1")["tags"]["gatepost:birth"]
    there = {name: There(birth=old_birth) for name in ("mx1", "mx2")}
    assert waiting(build(prod | {"administrator_key": KEYS[1]}, **there)) == {"mx2"}


def test_a_relay_keeps_its_address_whichever_one_is_taken_away(prod: dict[str, Any]) -> None:
    there = {"mx1": There(address="10.2.1.4"), "mx2": There(birth="", address="10.2.2.5")}
    fewer = prod | {"relays": prod["relays"][1:]}
    with pytest.raises(SettingsError, match=r"mx2.example.jp must keep its address 10.2.2.5, .*"):
        build(fewer, **there)
    relays = [prod["relays"][1] | {"place": 2}]
    recorder = build(prod | {"relays": relays}, **there)
    interface = recorder.one("ec2/networkInterface:NetworkInterface", "gatepost-prod-mx2")
    assert interface.inputs["privateIps"] == ["10.2.2.5"]
    with pytest.raises(SettingsError, match=r"mx2.example.jp must keep its address"):
        build(prod | {"relays": [*prod["relays"][:1], {"host": "mx2.example.jp"}]}, **there)
