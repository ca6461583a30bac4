"""A second branch, whose name comes before that of the branch whose people the checks know."""

from __future__ import annotations

import pytest

from checks import edge, firewall, inside, routes
from checks.deployment import Result
from checks.suite import Failed, Scene, all_checks
from tests.checks.fakes import BRANCH, HUB, RELAY, FakeDeployment, outputs

OSAKA, KOBE = "ms2.example.jp", "ms3.example.jp"
KOBE_IN, KOBE_OUT = "192.168.11.5", "198.51.100.31"
TAKES = ("sh", "-c", 'postmap -s "$(postconf -hx relay_recipient_maps)"')
SENT = ("journalctl", "-q", "--no-pager", "-o", "short", "-b", "-t", "postfix/relay/smtp")


def ok(out: str) -> Result:
    return Result(code=0, out=out, err="")


def deployment(kobe: str = "") -> FakeDeployment:
    """Both branches; `kobe` is who lives at the second, a line each."""
    found = FakeDeployment(told=outputs())
    host = BRANCH | {"host": KOBE, "private_ip": KOBE_IN, "public_ip": KOBE_OUT}
    found.told["dev-kobe"] = found.told["dev-osaka"] | {
        "network": "192.168.11.0/24",
        "hosts": [host],
        "shell": "eice-kobe",
    }
    found.replies[OSAKA, TAKES] = ok("jiro@example.jp\tOK\nsaburo@example.jp\tOK\n")
    found.replies[KOBE, TAKES] = ok(kobe)
    return found


def sent(found: FakeDeployment, *ways: tuple[str, str]) -> None:
    """Have each source's log tell that it sent to each address, which had proved its key."""
    for host in {source for source, _ in ways}:
        lines = [
            f"Nov 24 04:00:00 h postfix/relay/smtp[{n}]: {text}"
            for n, (source, to) in enumerate(ways)
            for text in (
                f"Verified TLS connection established to {to}[{to}]:25: TLSv1.3",
                f"A1: to=<a@b>, relay={to}[{to}]:25, dsn=2.0.0, status=sent (250 ok)",
            )
            if source == host
        ]
        found.replies[host, SENT] = ok("\n".join(lines))


def test_the_branch_is_the_one_whose_people_the_checks_know() -> None:
    scene = Scene(deployment())
    assert [branch.name for branch in scene.branches] == [KOBE, OSAKA]
    assert scene.branch is not None
    assert scene.branch.name == OSAKA


def test_where_nobody_knows_them_a_branch_is_judged_all_the_same() -> None:
    found = deployment()
    del found.replies[OSAKA, TAKES]
    scene = Scene(found)
    assert scene.branch is not None
    assert scene.branch.name == KOBE


def test_only_a_second_branch_has_more_checks() -> None:
    assert routes.other_branches in all_checks(Scene(deployment()))
    assert routes.other_branches not in all_checks(Scene(FakeDeployment()))


def test_nothing_need_go_to_where_nobody_lives_and_everything_else_must() -> None:
    ways = (
        (RELAY["host"], HUB["private_ip"]),
        (HUB["host"], RELAY["private_ip"]),
        (HUB["host"], BRANCH["private_ip"]),
        (OSAKA, HUB["private_ip"]),
        (KOBE, HUB["private_ip"]),
    )
    found = deployment()
    sent(found, *ways)
    assert inside.verified(Scene(found)) == "5 messages on 5 ways"
    found.replies[KOBE, TAKES] = ok("shiro@example.jp\tOK\n")
    with pytest.raises(Failed, match=f"^{HUB['host']} sent {KOBE} none$"):
        inside.verified(Scene(found))
    sent(found, *ways, (HUB["host"], KOBE_IN))
    assert inside.verified(Scene(found)) == "6 messages on 6 ways"
    found.replies[KOBE, SENT] = ok("")
    with pytest.raises(Failed, match=f"^{KOBE} sent {HUB['host']} none$"):
        inside.verified(Scene(found))


def test_of_two_relays_one_must_have_had_something_to_do() -> None:
    other = RELAY | {"host": "dmz-ms2.example.jp", "private_ip": "10.1.2.4"}
    told = outputs(branch=False)
    told["dev"]["hosts"] = [RELAY, other, HUB]
    found = FakeDeployment(told=told)
    both = f"{RELAY['host']} or {other['host']}"
    with pytest.raises(Failed, match=f"^{both} sent {HUB['host']} none$"):
        inside.verified(Scene(found))
    sent(found, (other["host"], HUB["private_ip"]))
    with pytest.raises(Failed, match=f"^{HUB['host']} sent {both} none$"):
        inside.verified(Scene(found))
    sent(found, (other["host"], HUB["private_ip"]), (HUB["host"], RELAY["private_ip"]))
    assert inside.verified(Scene(found)) == "2 messages on 2 ways"
    found.told["dev"]["outbound"] = "direct"
    found.replies[HUB["host"], SENT] = ok("")
    assert inside.verified(Scene(found)) == "1 messages on 1 ways"


def test_what_cannot_be_read_is_not_empty() -> None:
    found = deployment()
    found.replies[KOBE, TAKES] = Result(code=1, out="", err="postmap: fatal: open table\n")
    scene = Scene(found)
    assert all_checks(scene)
    with pytest.raises(Failed, match=f"^postmap on {KOBE} ended with 1: postmap: fatal: open"):
        scene.residents(scene.branches[0])
    found = deployment()
    found.replies[KOBE, SENT] = Result(code=1, out="", err="no journal\n")
    with pytest.raises(Failed, match=f"^journalctl on {KOBE} ended with 1: no journal$"):
        inside.verified(Scene(found))


def test_every_branch_is_kept_from_the_relay() -> None:
    found = deployment()
    found.open = {(KOBE, RELAY["public_ip"], 25)}
    with pytest.raises(Failed, match=f"^{KOBE} reaches the relay's port 25"):
        firewall.branch_and_relay(Scene(found))


def test_every_branch_must_have_the_unknown_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def rcpt(_scene: Scene, _source: str, address: str, *_: object, **__: object) -> str:
        return "550 5.1.1 no" if address == KOBE_IN else "450 4.1.1 wait"

    monkeypatch.setattr(edge, "rcpt", rcpt)
    with pytest.raises(Failed, match=f"^{KOBE} should say 450, said '550"):
        edge.behind_the_edge(Scene(deployment()))
