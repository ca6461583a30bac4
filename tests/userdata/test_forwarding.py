"""Forwarding outside: what the hub and the relays are told, and that otherwise they are not."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from rendered import VOLUMES, directory, hosts, master, parameters

from model import mail, ports
from model.settings import Environment, read_environment
from userdata import render, software
from userdata.machine.gatepost_directory.objects import Config

MODES = ("relay", "direct", "smarthost")
WORDS = re.compile(r"srs|forward|returned|recipient_canonical|verif", re.IGNORECASE)


def settings(dev: dict[str, Any], forwarding: str = "srs", outbound: str = "relay") -> Environment:
    changes: dict[str, Any] = {"forwarding": forwarding, "outbound": outbound}
    if outbound == "smarthost":
        changes |= {"smarthost": {"host": "smtp.example.net"}, "dns": {"spf_includes": []}}
    values, problems = read_environment(dev | changes)
    assert problems == []
    return Environment(**values)


def document(host: mail.Postfix) -> dict[str, Any]:
    return yaml.safe_load(render.cloud_config(host, directory(host.role), VOLUMES))


def files(host: mail.Postfix) -> dict[str, str]:
    return {file["path"]: file["content"] for file in document(host)["write_files"]}


@pytest.mark.parametrize("outbound", MODES)
def test_without_the_setting_no_host_hears_of_it(dev: dict[str, Any], outbound: str) -> None:
    for host in hosts(settings(dev, "none", outbound)).values():
        text = re.sub("(?m)^ *#.*$", "", json.dumps(document(host)["packages"]))
        text += "".join(
            content
            for path, content in files(host).items()
            if path.startswith(("/etc/postfix/ma", "/etc/gatepost", "/etc/default"))
        )
        text = re.sub("(?m)^#.*$", "", text)
        # The service of Postfix that there always is.
        text = re.sub("(?m)^verify .*$", "", text).replace("address_verify_map", "")
        assert WORDS.findall(text) == []
        assert "/etc/default/postsrsd" not in files(host)


@pytest.mark.parametrize("outbound", MODES)
def test_only_the_hub_rewrites_and_only_what_is_forwarded(
    dev: dict[str, Any], outbound: str
) -> None:
    chosen = settings(dev, outbound=outbound)
    found = {role: master(chosen, role) for role in hosts(chosen)}
    assert {role for role in found if "forward smtp" in found[role]} == {"hub"}
    rewriting = {
        (role, name)
        for role, options in found.items()
        for name, values in options.items()
        if "sender_canonical_maps" in values
    }
    assert rewriting == {("hub", "cleanup-forward cleanup")}
    cleanup = found["hub"]["cleanup-forward cleanup"]
    assert cleanup["sender_canonical_maps"] == f"tcp:127.0.0.1:{ports.SRS_FORWARD}"
    assert cleanup["sender_canonical_classes"] == "envelope_sender"
    assert cleanup["virtual_alias_maps"] == cleanup["recipient_canonical_maps"] == ""
    assert cleanup["force_mime_input_conversion"] == "no", "a signature must stay valid"
    for host in hosts(chosen).values():
        assert not {name for name in parameters(render.main_cf(host)) if "sender_canon" in name}


def test_the_service_is_on_loopback_and_greets_by_a_name_of_its_own(dev: dict[str, Any]) -> None:
    chosen = settings(dev)
    hub = master(chosen, "hub")
    service = hub[f"127.0.0.1:{ports.FORWARDING} smtpd"]
    assert service["myhostname"] == "forwarding.example.jp"
    assert service["smtpd_hide_client_session"] == "yes"
    # Its cleanup expands no alias, the postmaster's neither.
    assert service["notify_classes"] == ""
    ways = render.postfix_files(hosts(chosen)["hub"])["forwarded.regexp"]
    assert f"\n/@/ forward:[127.0.0.1]:{ports.FORWARDING}\n" in ways


@pytest.mark.parametrize(
    ("sender", "forwarded"),
    [
        ("<>", False),
        # As Postfix looks the former up first (mail_addr_find.c, MA_FORM_EXTERNAL).
        ('"<>"', False),
        ("taro@example.jp", False),
        ("TARO@EXAMPLE.CO.JP", False),
        ("SRS0=AAAAAA=AA=example.net=a@example.jp", False),
        ("root@ms.example.jp", False),
        ("a@example.net", True),
        ("a@www.example.jp", True),
        ("a@fooexample.jp", True),
        ("a@examplexjp", True),
    ],
)
def test_what_is_forwarded_is_told_by_its_sender(
    dev: dict[str, Any], sender: str, forwarded: bool
) -> None:
    text = render.postfix_files(hosts(settings(dev))["hub"])["forwarded.regexp"]
    rows = re.findall(r"(?m)^/(.*)/ (.*)$", text)
    found = (to for pattern, to in rows if re.search(pattern, sender, re.IGNORECASE))
    first = next(found, "")
    assert first.startswith("forward:") is forwarded


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("SRS0=AAAAAA=AA=example.net=a@example.jp", True),
        ("srs1=aaaaaa=example.net==AAAA=AA=example.com=a+b@EXAMPLE.JP", True),
        ("SRS0=AAAAAA=AA=example.net=a@example.co.jp", False),
        ("SRS0=AAAAAA=AA=example.net=a@www.example.jp", False),
        ("SRS0=AAAAAA=AA=example.net=a@example.jp@example.net", False),
        ("SRS0@example.jp", False),
        ("xSRS0=a@example.jp", False),
    ],
)
def test_a_return_address_is_told_from_others(
    dev: dict[str, Any], address: str, known: bool
) -> None:
    chosen = hosts(settings(dev))
    for role in ("hub", "relay"):
        text = render.postfix_files(chosen[role])["returned.regexp"]
        [(pattern, to)] = re.findall(r"(?m)^/(.*)/ (.*)$", text)
        assert to == "$1"
        assert (re.search(pattern, address, re.IGNORECASE) is not None) is known


def test_a_relay_takes_bounces_only_and_asks_the_hub_first(dev: dict[str, Any]) -> None:
    relay = parameters(render.main_cf(hosts(settings(dev))["relay"]))
    assert relay["smtpd_restriction_classes"] == "unproven, returned"
    assert relay["returned"] == (
        "check_sender_access regexp:{ {!/^<>$$/ 550 5.7.1 This address takes bounces only} }, "
        "reject_unverified_recipient"
    )
    rules = relay["smtpd_recipient_restrictions"]
    returned = "check_recipient_access pipemap:{ regexp:/etc/postfix/returned.regexp, static:"
    # Before the rule that turns a 550 into a 450 while the directory is away.
    assert rules.index(f"{returned}returned }}") < rules.index("cdb:$tables/stale")
    assert relay["unverified_recipient_reject_code"] == "550"
    assert "unverified_recipient_reject_reason" in relay, "the hub's own words name the hub"


def test_the_hub_knows_which_return_addresses_are_true(dev: dict[str, Any]) -> None:
    hub = parameters(render.main_cf(hosts(settings(dev))["hub"]))
    true = "regexp:/etc/postfix/returned.regexp, tcp:127.0.0.1:10002"
    assert hub["recipient_canonical_maps"] == f"pipemap:{{ {true} }}"
    assert hub["recipient_canonical_classes"] == "envelope_recipient"
    rules = hub["smtpd_recipient_restrictions"]
    taken = rules.index(f"pipemap:{{ {true}, static:permit_auth_destination }}")
    refused = rules.index("static:{550 5.1.1 ")
    assert taken < refused < rules.index("reject_unlisted_recipient")


def test_each_hop_of_what_is_forwarded_takes_more_than_the_one_before(dev: dict[str, Any]) -> None:
    chosen = settings(dev)
    relay, hub = master(chosen, "relay"), master(chosen, "hub")
    way = [
        hub["10.1.11.5:smtp smtpd"],
        hub["cleanup-inside cleanup"],
        hub[f"127.0.0.1:{ports.FORWARDING} smtpd"],
        hub["cleanup-forward cleanup"],
        relay[f"{ports.INSIDE} smtpd"],
        relay["cleanup-inside cleanup"],
    ]
    limits = [int(options["message_size_limit"]) for options in way]
    assert limits == [mail.EDGE_SIZE + hop * mail.HOP_MARGIN for hop in (1, 1, 2, 2, 3, 3)]


def test_the_hub_s_synchroniser_is_told_and_no_other(dev: dict[str, Any]) -> None:
    told = {
        role: Config(**json.loads(files(host)[render.SETTINGS])).forwarding
        for role, host in hosts(settings(dev)).items()
    }
    assert told == {"relay": False, "hub": True, "branch": False}


def test_postsrsd_is_on_the_hub_only_and_no_file_holds_its_secret(dev: dict[str, Any]) -> None:
    for role, host in hosts(settings(dev)).items():
        packages, found = document(host)["packages"], files(host)
        assert ("postsrsd" in packages) is (role == "hub")
        assert ("/etc/default/postsrsd" in found) is (role == "hub")
        assert "/etc/postsrsd.secret" not in found
    found = files(hosts(settings(dev))["hub"])["/etc/default/postsrsd"]
    defaults = dict(line.split("=", 1) for line in found.splitlines())
    assert defaults["SRS_DOMAIN"] == "example.jp"
    assert defaults["SRS_HASHLENGTH"] == defaults["SRS_HASHMIN"] == "6"


def header_action(dev: dict[str, Any], header: str) -> str:
    text = render.postfix_files(hosts(settings(dev))["hub"])["forwarding.regexp"]
    rows = re.findall(r"(?m)^/(.*)/ (\w+)", text)
    rows = [(pattern.replace("[[:space:]]", r"\s"), action) for pattern, action in rows]
    return next((to for pattern, to in rows if re.search(pattern, header, re.IGNORECASE)), "")


@pytest.mark.parametrize(
    ("header", "action"),
    [
        ("X-Spam: Yes", "DISCARD"),
        ("X-Spam-Flag: YES", "DISCARD"),
        ("X-Spam-Flag: NO", ""),
        ("X-Spam-Status: Yes, score=7", ""),
        ("X-Loop: forwarding.example.jp", "REJECT"),
        ("X-Loop: forwarding.example.net", ""),
        ("Received: by forwarding.example.jp (Postfix) id 4X", "PREPEND"),
        ("Subject: X-Spam: yes", ""),
    ],
)
def test_spam_and_what_was_forwarded_before_is_not_forwarded(
    dev: dict[str, Any], header: str, action: str
) -> None:
    assert header_action(dev, header) == action


def test_the_secret_is_made_once_and_used_again(tmp_path: Path) -> None:
    script = (software.HERE / "gatepost-srs-secret").read_text()
    kept, used = tmp_path / "queue" / "gatepost" / "srs.secret", tmp_path / "used"
    for path, here in (
        ("/var/spool/postfix/gatepost/srs.secret", kept),
        ("/etc/postsrsd.secret", used),
    ):
        assert path in script
        script = script.replace(path, str(here))
    secrets = set()
    for _ in range(2):
        subprocess.run(["sh", "-c", script], check=True)
        assert kept.read_text() == used.read_text()
        secrets.add(used.read_text())
        # What a package brings, and a machine that was replaced.
        used.write_text("the package's own")
        assert [path.name for path in kept.parent.iterdir()] == ["srs.secret"]
    [secret] = secrets
    assert len(secret.strip()) == 32
    assert kept.stat().st_mode & 0o077 == kept.parent.stat().st_mode & 0o077 == 0
