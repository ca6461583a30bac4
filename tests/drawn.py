"""Random stack files: environments, right ones of every shape and wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from model import addressing, hosts

DOMAINS = ("example.jp", "example.co.jp", "mail.example.net")
ALIASES = ("example.ne.jp", "example.org")
LEGACY = ("172.20.0.25", "192.0.2.25")
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
WRONG: dict[str, list[Any]] = {
    "zones": [[], ["eu-west-1a"], [*ZONES, "us-east-1d"], ["us-east-1a", "us-east-1a"]],
    "network": ["10.0.0.0/8", "8.8.0.0/16", "10.1.0.0/24", 7],
    "branches": ["8.8.0.0/16", "192.168.0.0/30"],
    "domains": [[], ["EXAMPLE.jp"], ["example.jp", "example.jp"]],
    "relays": [
        [],
        [{"host": "a.example.jp"}] * 2,
        [{"host": f"a.{site}.{domain}"} for site in "xy" for domain in DOMAINS],
        [{"host": f"{'x' * 35}.{domain}"} for domain in DOMAINS],
        [{"host": f"nat-a.{domain}"} for domain in DOMAINS],
        [{"host": "a.example.org"}],
        [{"hots": 1}],
    ],
    "hub": [{"host": "mx0.example.org"}, {"host": f"{'x' * 63}.jp"}, {"host": "EXAMPLE"}, {}, None],
    "disks": [{"queue": 0}, {"spool": 8}],
    "colour": ["red"],
}


@st.composite
def right(draw: st.DrawFn) -> dict[str, Any]:
    """Right settings of every shape."""
    domains = draw(st.permutations(DOMAINS).map(list))[: draw(st.integers(1, 3))]
    stand_in = draw(st.dictionaries(st.sampled_from(ALIASES), st.sampled_from(domains), max_size=2))
    zones = list(ZONES[: draw(st.integers(1, 3))])
    relay = st.fixed_dictionaries({}, optional={"zone": st.sampled_from(zones)})
    relays = draw(st.lists(relay, min_size=1, max_size=4))
    if draw(st.booleans()):
        places = draw(st.permutations(range(1, addressing.PLACES[1] + 1)))
        relays = [each | {"place": place} for each, place in zip(relays, places, strict=False)]
    legacy = draw(st.lists(st.sampled_from(LEGACY), max_size=2, unique=True))
    label = "x" * draw(st.integers(1, hosts.LABEL_LENGTH))
    return {
        "region": "us-east-1",
        "zones": zones,
        "network": draw(st.sampled_from(["10.1.0.0/16", "10.9.0.0/20", "172.16.0.0/18"])),
        "branches": "192.168.0.0/16",
        "nat": draw(st.sampled_from(["one", "per-zone"])),
        "domains": domains,
        "relays": [{"host": f"mx{i}.{domains[0]}", **each} for i, each in enumerate(relays)],
        "hub": {"host": f"{label}.{draw(st.sampled_from(DOMAINS))}"},
        "forwarding": draw(st.sampled_from(["none", "srs"])),
        "outbound": draw(st.sampled_from(["relay", "direct", "smarthost"])),
        "smarthost": {
            "host": "smtp.example.net",
            "port": draw(st.sampled_from([25, 587, 2587])),
            "secret": draw(st.sampled_from(["smarthost", "ses-2026"])),
            "drain": draw(st.booleans()),
        },
        "alias_domains": stand_in,
        "legacy": [{"name": f"old{i}", "address": each} for i, each in enumerate(legacy)],
        "senders_outside": draw(st.sampled_from([[], ["198.51.100.0/24", "203.0.113.9/32"]])),
        "blocklists": draw(st.sampled_from([[], ["zen.spamhaus.org=127.0.0.[2..11]"]])),
        "dns": {"spf_includes": []},
        "delegated": draw(st.booleans()),
        "people": "people.yaml",
        "image": "ami-01b1eba85c1cd6a3d",
        "disks": draw(st.fixed_dictionaries({}, optional={"queue": st.integers(1, 20)})),
        "protect": draw(st.booleans()),
        "administrator_key": "ssh-ed25519 AAAA",
    }


@st.composite
def stack_files(draw: st.DrawFn) -> dict[str, Any]:
    """Right settings, half of them with one thing wrong or missing, as `fault` tells."""
    raw = draw(right())
    fault = draw(st.sampled_from(["none", "none", "wrong", "missing"]))
    if fault == "wrong":
        key = draw(st.sampled_from(sorted(WRONG)))
        raw[key] = draw(st.sampled_from(WRONG[key]))
    elif fault == "missing":
        del raw[draw(st.sampled_from(["zones", "domains", "hub", "people", "image"]))]
    return raw | {"fault": fault}


def people(folder: Path, domains: list[str]) -> None:
    """Write a file of people that suits these mail domains."""
    user = f"taro@{(domains or ['example.jp'])[0]}"
    aliases = {f"{role}@{domain}": [user] for domain in domains for role in ("postmaster", "abuse")}
    (folder / "people.yaml").write_text(yaml.safe_dump({"users": [user], "aliases": aliases}))
